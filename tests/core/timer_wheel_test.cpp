#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <lastcall/core/timer_wheel.hpp>

namespace lastcall {
namespace {

constexpr Instant kStart{1000s + 123ns};  // not on a millisecond

struct Fixture {
  TimerWheel wheel{kStart};
  std::vector<uint32_t> fired;
  void advance(Duration since_start) {
    wheel.advance(kStart + since_start, [this](Timer& timer) { fired.push_back(timer.slot); });
  }
  /// Turns as a reactor would: straight from one promised instant to the next. How many it took is returned.
  int run_until(Duration since_start) {
    int turns = 0;
    for (; wheel.next_due() <= kStart + since_start; ++turns) advance(wheel.next_due() - kStart);
    advance(since_start);
    return turns;
  }
};

using Slots = std::vector<uint32_t>;

TEST(TimerWheel, NeverFiresEarlyAndRoundsUpToTheTick) {
  Fixture f;
  Timer timer;
  f.wheel.arm(timer, kStart + 5ms + 1ns);
  EXPECT_TRUE(timer.armed());
  f.advance(5ms + 1ns);
  EXPECT_TRUE(f.fired.empty());
  f.advance(6ms - 1ns);
  EXPECT_TRUE(f.fired.empty());
  f.advance(6ms);
  EXPECT_EQ(f.fired.size(), 1u);
  EXPECT_FALSE(timer.armed());
  EXPECT_EQ(f.wheel.size(), 0u);
}

TEST(TimerWheel, TellsWhenATimerIsDue) {
  Fixture f;
  Timer timer;
  f.wheel.arm(timer, kStart + 5ms + 1ns);
  EXPECT_EQ(f.wheel.due(timer), kStart + 6ms);
  f.advance(9ms);
  EXPECT_EQ(f.fired.size(), 1u);
  EXPECT_EQ(f.wheel.due(timer), kStart + 6ms) << "still, so that it can be told how late it was";
}

TEST(TimerWheel, NothingArmedIsNeverDue) {
  Fixture f;
  EXPECT_EQ(f.wheel.next_due(), kNever);
  f.advance(100h);
  Timer timer;
  f.wheel.arm(timer, kStart + 101h);
  EXPECT_NE(f.wheel.next_due(), kNever);
  f.wheel.cancel(timer);
  EXPECT_EQ(f.wheel.next_due(), kNever);
  f.wheel.cancel(timer);
  EXPECT_EQ(f.wheel.size(), 0u);
}

TEST(TimerWheel, PastInstantsFireAtTheNextAdvance) {
  Fixture f;
  f.advance(50ms);
  Timer past{.slot = 1}, present{.slot = 2}, ancient{.slot = 3};
  f.wheel.arm(past, kStart + 20ms);
  f.wheel.arm(present, kStart + 50ms);
  f.wheel.arm(ancient, Instant{});
  EXPECT_LE(f.wheel.next_due(), kStart + 50ms);
  f.advance(50ms);
  EXPECT_EQ(f.fired, (Slots{1, 2, 3}));
}

TEST(TimerWheel, ArmMovesAnArmedTimer) {
  Fixture f;
  Timer timer{.slot = 7};
  f.wheel.arm(timer, kStart + 10ms);
  f.wheel.arm(timer, kStart + 5min);
  EXPECT_EQ(f.wheel.size(), 1u);
  f.advance(5min - 1ms);
  EXPECT_TRUE(f.fired.empty());
  f.wheel.arm(timer, kStart);
  f.advance(5min - 1ms);
  EXPECT_EQ(f.fired, Slots{7});
}

TEST(TimerWheel, EveryLevelBoundaryFiresOnItsTick) {
  // Distances around the span of each level, from beginnings around the turns of the levels.
  std::vector<int64_t> spans;
  for (int shift : {0, 6, 8, 14, 20, 26, 32}) {
    for (int64_t delta : {-2, -1, 0, 1, 2}) spans.push_back((int64_t{1} << shift) + delta);
  }
  for (int64_t begin : spans) {
    for (int64_t distance : spans) {
      if (begin < 0 || distance <= 0) continue;
      Fixture f;
      const Duration from = begin * 1ms;
      const Duration due = from + distance * 1ms;
      f.advance(from);
      Timer timer;
      f.wheel.arm(timer, kStart + due);
      int turns = f.run_until(due - 1ns);
      EXPECT_TRUE(f.fired.empty()) << begin << " + " << distance;
      EXPECT_LE(turns, 6) << begin << " + " << distance;  // one re-filing a level
      EXPECT_EQ(f.wheel.next_due(), kStart + due) << begin << " + " << distance;
      f.advance(due);
      EXPECT_EQ(f.fired.size(), 1u) << begin << " + " << distance;
    }
  }
}

TEST(TimerWheel, TimersBeyondTheHorizonAreNotLost) {
  Fixture f;
  Timer year{.slot = 1}, never{.slot = 2};
  f.wheel.arm(year, kStart + 365 * 24h);
  f.wheel.arm(never, kNever);
  int turns = f.run_until(365 * 24h - 1ms);
  EXPECT_TRUE(f.fired.empty());
  EXPECT_LE(turns, 40);
  f.run_until(365 * 24h);
  EXPECT_EQ(f.fired, Slots{1});
  EXPECT_TRUE(never.armed());
  f.wheel.cancel(never);
}

TEST(TimerWheel, OneLongAdvanceFiresInOrderOfTicks) {
  Fixture f;
  std::vector<Timer> timers(1000);
  std::minstd_rand random(1);
  for (Timer& timer : timers) {
    timer.slot = static_cast<uint32_t>(random() % (1u << 22));
    f.wheel.arm(timer, kStart + timer.slot * 1ms);
  }
  f.advance(48h);
  ASSERT_EQ(f.fired.size(), timers.size());
  EXPECT_TRUE(std::ranges::is_sorted(f.fired));
}

TEST(TimerWheel, FireMayArmAndCancelAnyTimer) {
  TimerWheel wheel(kStart);
  Timer first{.slot = 1}, cancelled{.slot = 2}, moved{.slot = 3}, last{.slot = 4};
  wheel.arm(first, kStart + 1ms);
  wheel.arm(cancelled, kStart + 1ms);
  wheel.arm(moved, kStart + 2ms);
  wheel.arm(last, kStart + 3ms);
  Slots fired;
  auto fire = [&](Timer& timer) {
    fired.push_back(timer.slot);
    if (timer.slot != 1) return;
    wheel.cancel(cancelled);
    wheel.arm(moved, kStart + 20ms);
    wheel.arm(first, kStart);  // due at once: the next advance, not this one
  };
  wheel.advance(kStart + 10ms, fire);
  EXPECT_EQ(fired, (Slots{1, 4}));
  EXPECT_FALSE(cancelled.armed());
  EXPECT_EQ(wheel.size(), 2u);
  fired.clear();
  wheel.advance(kStart + 10ms, [&](Timer& timer) { fired.push_back(timer.slot); });
  EXPECT_EQ(fired, Slots{1});
  wheel.advance(kStart + 20ms, fire);
  EXPECT_EQ(fired, (Slots{1, 3}));
}

TEST(TimerWheel, FireMayDestroyItsTimer) {
  TimerWheel wheel(kStart);
  std::map<uint32_t, std::unique_ptr<Timer>> owners;
  for (uint32_t i = 0; i < 10; ++i) {
    owners[i] = std::make_unique<Timer>(Timer{.slot = i});
    wheel.arm(*owners[i], kStart + 1ms);
  }
  wheel.advance(kStart + 1ms, [&](Timer& timer) { owners.erase(timer.slot); });
  EXPECT_TRUE(owners.empty());
}

TEST(TimerWheel, TimeThatStandsStillOrGoesBackIsHarmless) {
  Fixture f;
  f.advance(100ms);
  Timer timer{.slot = 1};
  f.wheel.arm(timer, kStart + 101ms);
  f.advance(50ms);
  f.advance(100ms);
  EXPECT_TRUE(f.fired.empty());
  f.advance(101ms);
  EXPECT_EQ(f.fired, Slots{1});
}

TEST(TimerWheel, DestructionDisarms) {
  Timer near, far, late;
  {
    TimerWheel wheel(kStart);
    wheel.arm(near, kStart + 1ms);
    wheel.arm(far, kStart + 1h);
    wheel.arm(late, kStart);
  }
  EXPECT_FALSE(near.armed() || far.armed() || late.armed());
}

TEST(TimerWheel, AHundredThousandTimers) {
  Fixture f;
  std::vector<Timer> timers(100'000);
  for (uint32_t i = 0; i < timers.size(); ++i) {
    timers[i].slot = i;
    f.wheel.arm(timers[i], kStart + 75s + (i % 1000) * 1ms);
  }
  EXPECT_EQ(f.wheel.size(), timers.size());
  for (uint32_t i = 0; i < timers.size(); i += 2) f.wheel.cancel(timers[i]);
  int turns = f.run_until(80s);
  EXPECT_EQ(f.fired.size(), timers.size() / 2);
  EXPECT_LE(turns, 500 + 20);
}

/// What the wheel ought to do, in the simplest form: ticks in a multimap.
class Oracle {
 public:
  void arm(uint32_t slot, int64_t tick) {
    cancel(slot);
    by_slot_[slot] = due_.emplace(std::max(tick, now_), slot);
  }
  void cancel(uint32_t slot) {
    auto found = by_slot_.find(slot);
    if (found == by_slot_.end()) return;
    due_.erase(found->second);
    by_slot_.erase(found);
  }
  std::multimap<int64_t, uint32_t> advance(int64_t now) {
    now_ = std::max(now_, now);
    std::multimap<int64_t, uint32_t> fired(due_.begin(), due_.upper_bound(now_));
    for (auto [tick, slot] : fired) cancel(slot);
    return fired;
  }
  int64_t earliest() const { return due_.empty() ? INT64_MAX : due_.begin()->first; }
  size_t size() const { return due_.size(); }

 private:
  std::multimap<int64_t, uint32_t> due_;
  std::map<uint32_t, std::multimap<int64_t, uint32_t>::iterator> by_slot_;
  int64_t now_ = 0;
};

void compare_with_oracle(uint64_t seed) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  auto below = [&](uint64_t limit) { return static_cast<int64_t>(random() % limit); };
  auto distance = [&] { return below(uint64_t{1} << (1 + below(35))); };  // each magnitude as likely
  std::vector<Timer> timers(200);
  TimerWheel wheel(kStart);
  Oracle oracle;
  for (uint32_t i = 0; i < timers.size(); ++i) timers[i].slot = i;
  int64_t now = 0;
  for (int step = 0; step < 3000; ++step) {
    auto slot = static_cast<uint32_t>(below(timers.size()));
    switch (below(4)) {
      case 0:
      case 1: {
        int64_t tick = now + distance() - 3;
        wheel.arm(timers[slot], kStart + tick * 1ms - below(1'000'000) * 1ns);
        oracle.arm(slot, tick);
        break;
      }
      case 2:
        wheel.cancel(timers[slot]);
        oracle.cancel(slot);
        break;
      default: {
        now += distance();
        auto expected = oracle.advance(now);
        std::multimap<int64_t, uint32_t> fired;
        int64_t before = INT64_MIN;
        wheel.advance(kStart + now * 1ms + below(1'000'000) * 1ns, [&](Timer& timer) {
          ASSERT_LE(before, timer.due_tick) << "out of order in step " << step;
          before = timer.due_tick;
          fired.emplace(timer.due_tick, timer.slot);
        });
        using Pairs = std::vector<std::pair<int64_t, uint32_t>>;
        Pairs left(expected.begin(), expected.end()), right(fired.begin(), fired.end());
        std::ranges::sort(left);
        std::ranges::sort(right);
        ASSERT_EQ(left, right) << "in step " << step;
      }
    }
    ASSERT_EQ(wheel.size(), oracle.size());
    if (oracle.size() == 0) {
      ASSERT_EQ(wheel.next_due(), kNever);
    } else {
      ASSERT_LE(wheel.next_due(), kStart + oracle.earliest() * 1ms) << "in step " << step;
    }
  }
}

TEST(TimerWheel, AgreesWithAMultimapOnRandomOperations) {
  for (uint64_t seed = 1; seed <= 30 && !testing::Test::HasFatalFailure(); ++seed) compare_with_oracle(seed);
}

}  // namespace
}  // namespace lastcall
