#include <gtest/gtest.h>

#include <lastcall/shutdown/loop_lag.hpp>

namespace lastcall {
namespace {

constexpr Instant kStart{1000s};

TEST(LoopLag, IsTheWorstOfTheLastSecondOrTwo) {
  LoopLag lag;
  EXPECT_EQ(lag.beat(kStart, kStart + 1ms), 1ms);
  EXPECT_EQ(lag.beat(kStart + 50ms, kStart + 350ms), 300ms);
  EXPECT_EQ(lag.beat(kStart + 400ms, kStart + 401ms), 300ms);
  EXPECT_EQ(lag.beat(kStart + 1100ms, kStart + 1102ms), 300ms) << "of the window before";
  EXPECT_EQ(lag.beat(kStart + 2100ms, kStart + 2101ms), 300ms) << "still";
  EXPECT_EQ(lag.beat(kStart + 2150ms, kStart + 2153ms), 3ms);
}

TEST(LoopLag, OfALoopThatWasStuckForLongIsToldInFull) {
  LoopLag lag;
  EXPECT_EQ(lag.beat(kStart, kStart), 0ms);
  EXPECT_EQ(lag.beat(kStart + 50ms, kStart + 60s), 60s - 50ms);
}

TEST(LoopLag, GrowsWhileTheLoopIsStuck) {
  ReactorCounters counters;
  EXPECT_EQ(loop_lag(counters, kStart), 0ms) << "does not measure";
  counters.lag_ns = Duration(2ms).count();
  counters.beat_due_ns = kStart.time_since_epoch().count();
  EXPECT_EQ(loop_lag(counters, kStart - 10ms), 2ms) << "not due yet";
  EXPECT_EQ(loop_lag(counters, kStart + 1ms), 2ms);
  EXPECT_EQ(loop_lag(counters, kStart + 5s), 5s);
  counters.beat_due_ns = 0;
  EXPECT_EQ(loop_lag(counters, kStart + 5s), 2ms) << "has left";
}

}  // namespace
}  // namespace lastcall
