#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <lastcall/shutdown/progress_timeline.hpp>

namespace lastcall {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr Instant kBegin{1000s};

/// A stop that is looked at exactly when its timeline wants to be, with counts that change all the time.
class TimelineTest : public testing::Test {
 protected:
  static TimelineSample sample_at(Duration elapsed, uint64_t active = 0) {
    return {.at_ms = to_ms(elapsed), .active = active};
  }
  void begin(uint64_t active = 0) { timeline_.add_milestone(sample_at(0s, active), kBegin); }
  void offer(Duration elapsed, uint64_t active = 0) {
    timeline_.add(sample_at(elapsed, active), kBegin + elapsed);
  }
  /// Returns how often it was woken.
  size_t run(Duration from, Duration to) {
    size_t wakes = 0;
    for (Instant due = timeline_.next_due(); due < kBegin + to; due = timeline_.next_due()) {
      EXPECT_GE(due, kBegin + from);
      offer(due - kBegin, wakes++);
    }
    return wakes;
  }
  std::vector<int64_t> times() {
    std::vector<int64_t> times;
    for (const TimelineSample& sample : timeline_.take()) times.push_back(sample.at_ms);
    return times;
  }

  Timeline timeline_;
};

TEST_F(TimelineTest, AsksForNoTimeUntilAStopBegins) {
  EXPECT_EQ(timeline_.next_due(), kNever);
  offer(1s);
  EXPECT_EQ(timeline_.next_due(), kNever);
  EXPECT_THAT(timeline_.take(), IsEmpty());
}

TEST_F(TimelineTest, AsksForNoTimeAfterTheEnd) {
  begin();
  static_cast<void>(timeline_.take());
  EXPECT_EQ(timeline_.next_due(), kNever);
}

TEST_F(TimelineTest, TheFirstSecondHasASampleEvery20ms) {
  begin();
  EXPECT_EQ(run(0s, 1s), 49u);
  std::vector<int64_t> at = times();
  for (size_t i = 0; i < at.size(); ++i) EXPECT_EQ(at[i], int64_t(20 * i));
}

TEST_F(TimelineTest, LaterSamplesAreFurtherApart) {
  begin();
  run(0s, 10s);
  EXPECT_GE(timeline_.next_due(), kBegin + 10s);
  EXPECT_LE(timeline_.next_due(), kBegin + 10s + 200ms);
  std::vector<int64_t> at = times();
  EXPECT_GE(at[at.size() - 1] - at[at.size() - 2], 150);
  EXPECT_LE(at.size(), 170u);
}

TEST_F(TimelineTest, ANewPhaseIsLookedAtCloselyAgain) {
  begin();
  run(0s, 10s);
  timeline_.add_milestone(sample_at(10s), kBegin + 10s);
  EXPECT_EQ(timeline_.next_due(), kBegin + 10s + 20ms);
}

TEST_F(TimelineTest, WhatHappensBetweenTwoSamplesIsKept) {
  begin(9);
  offer(5ms, 8);
  offer(7ms, 8);  // nothing has changed
  offer(9ms, 7);
  offer(9ms + 500us, 6);  // of the same millisecond
  EXPECT_THAT(times(), ElementsAre(0, 5, 9));
}

TEST_F(TimelineTest, MilestonesOfOneInstantAreAllKept) {
  begin(3);
  timeline_.add_milestone(sample_at(0s, 2), kBegin);
  timeline_.add_milestone(sample_at(0s, 0), kBegin);
  std::vector<TimelineSample> samples = timeline_.take();
  ASSERT_EQ(samples.size(), 3u);
  EXPECT_EQ(samples[0].active, 3u);
  EXPECT_EQ(samples[2].active, 0u);
}

TEST_F(TimelineTest, IsThinnedAtTheLimit) {
  begin();
  for (size_t i = 1; i < Timeline::kMostSamples; ++i) offer(i * 1ms, i);
  offer(256ms, 256);  // the one too many
  std::vector<int64_t> at = times();
  ASSERT_EQ(at.size(), Timeline::kMostSamples / 2 + 1);
  for (size_t i = 0; i + 1 < at.size(); ++i) EXPECT_EQ(at[i], int64_t(2 * i));
  EXPECT_EQ(at.back(), 256);
}

TEST_F(TimelineTest, ThinningDoublesTheDistance) {
  begin();
  for (size_t i = 1; i <= Timeline::kMostSamples; ++i) offer(i * 1ms, i);
  EXPECT_EQ(timeline_.next_due(), kBegin + 256ms + 40ms);
  offer(257ms, 1);  // too close now
  EXPECT_EQ(times().back(), 256);
}

TEST_F(TimelineTest, NeverHoldsMoreThanItMayAndKeepsMilestones) {
  begin();
  timeline_.add_milestone(sample_at(1ms), kBegin + 1ms);
  Duration elapsed = 1ms;
  for (int i = 0; i < 200'000; ++i) offer(elapsed += 1ms, static_cast<uint64_t>(i));
  std::vector<int64_t> at = times();
  EXPECT_LE(at.size(), Timeline::kMostSamples);
  EXPECT_GE(at.size(), Timeline::kMostSamples / 2);
  EXPECT_EQ(at[0], 0);
  EXPECT_EQ(at[1], 1);
  EXPECT_THAT(at, testing::WhenSorted(testing::ElementsAreArray(at)));
}

TEST_F(TimelineTest, AnHourFits) {
  begin();
  size_t wakes = run(0s, 1h);
  EXPECT_LE(wakes, 600u);
  EXPECT_LE(times().size(), Timeline::kMostSamples);
}

}  // namespace
}  // namespace lastcall
