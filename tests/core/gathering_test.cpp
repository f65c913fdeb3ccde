#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include <lastcall/core/gathering.hpp>

namespace lastcall {
namespace {

/// Traffic in even steps; time is the test's.
struct Traffic {
  explicit Traffic(size_t connections, uint32_t always = 0) : gathering(always), marks(connections) {
    turn();  // the first window begins
  }
  void turn() {
    gathering.on_turn(now, [this] { return cpu; });
  }
  /// So many receives a millisecond, from each connection in its turn; of each step that share is worked.
  void run(Duration length, uint32_t receives_per_ms, int busy_percent = 80) {
    const Duration step = Duration(1ms) / receives_per_ms;
    for (const Instant end = now + length; now < end;) {
      now += step;
      cpu += step * busy_percent / 100;
      gathering.on_receive(marks[next++ % marks.size()]);
      turn();
    }
  }
  void stay_silent(Duration length) {
    now += length;
    turn();
  }
  Instant now = Instant() + 1h;
  Duration cpu = 5min;
  Gathering gathering;
  std::vector<Gathering::Mark> marks;
  size_t next = 0;
};

TEST(Gathering, WaitsForAsManyAsComeSoonEnough) {
  Traffic many(1000);
  EXPECT_EQ(many.gathering.events(), 1u) << "before anything is known";
  many.run(5ms, 60);
  EXPECT_EQ(many.gathering.events(), 7u) << "that come in 120 us";
  many.run(5ms, 200);
  EXPECT_EQ(many.gathering.events(), Gathering::kMostEvents);
  many.run(5ms, 49);
  EXPECT_EQ(many.gathering.events(), 1u);
}

TEST(Gathering, WaitsForOneWhereThereIsTimeToSleep) {
  Traffic many(1000);
  many.run(10ms, 200, 60);
  EXPECT_EQ(many.gathering.events(), 1u);
  many.run(5ms, 200, 70);
  EXPECT_EQ(many.gathering.events(), 8u);
  many.run(10ms, 200, 60);
  EXPECT_EQ(many.gathering.events(), 8u) << "what it saves does not end it";
  many.run(5ms, 200, 50);
  EXPECT_EQ(many.gathering.events(), 1u);
  many.run(10ms, 200, 60);
  EXPECT_EQ(many.gathering.events(), 1u);
}

TEST(Gathering, IsOverAMillisecondAfterTheTraffic) {
  Traffic many(1000);
  many.run(10ms, 200);
  ASSERT_GT(many.gathering.events(), 1u);
  for (int windows = 0; windows < 2; ++windows) many.stay_silent(1ms);  // one may have begun before
  EXPECT_EQ(many.gathering.events(), 1u);
  many.stay_silent(10s);
  many.run(1500us, 200);  // a window, of which the CPU time is not known from its beginning
  EXPECT_EQ(many.gathering.events(), 1u);
}

TEST(Gathering, WaitsForAnEighthOfTheConnectionsAtMost) {
  for (const uint32_t connections : {1u, 8u, 40u, 47u, 48u, 56u, 64u, 100u}) {
    Traffic busy(connections);
    busy.run(5ms, 200);
    const uint32_t eighth = connections / 8;
    EXPECT_EQ(busy.gathering.events(), eighth < 6 ? 1 : std::min(eighth, 8u))
        << connections << " connections";
  }
}

TEST(Gathering, ConnectionsCountAnewInEachWindow) {
  Traffic busy(64);
  busy.run(600ms, 200);  // more windows than a mark can tell apart
  EXPECT_EQ(busy.gathering.events(), 8u);
  Traffic alone(1);
  alone.run(600ms, 200);
  EXPECT_EQ(alone.gathering.events(), 1u);
}

TEST(Gathering, RestsWhereThoseItWaitedForDidNotCome) {
  Traffic busy(64);
  busy.run(5ms, 200);
  busy.gathering.on_missing(busy.now, 100us);
  EXPECT_EQ(busy.gathering.events(), 8u) << "the wait had only begun";
  busy.gathering.on_missing(busy.now, 250us);
  EXPECT_EQ(busy.gathering.events(), 1u);
  busy.run(Gathering::kRest - 2ms, 200);
  EXPECT_EQ(busy.gathering.events(), 1u);
  busy.run(5ms, 200);
  EXPECT_EQ(busy.gathering.events(), 8u);
}

TEST(Gathering, CanBeRefusedForGood) {
  for (const uint32_t always : {0u, 4u}) {
    Traffic busy(64, always);
    busy.run(5ms, 200);
    EXPECT_GT(busy.gathering.events(), 1u);
    busy.gathering.refuse();
    EXPECT_EQ(busy.gathering.events(), 1u);
    busy.gathering.on_missing(busy.now, 1ms);
    busy.run(1s, 200);
    EXPECT_EQ(busy.gathering.events(), 1u);
  }
}

TEST(Gathering, MayBeToldHowManyAlways) {
  Traffic quiet(1, 4);
  EXPECT_EQ(quiet.gathering.events(), 4u);
  quiet.gathering.on_missing(quiet.now, 1s);
  quiet.stay_silent(1s);
  EXPECT_EQ(quiet.gathering.events(), 4u);
}

}  // namespace
}  // namespace lastcall
