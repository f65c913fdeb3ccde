#include <gtest/gtest.h>
#include <unistd.h>

#include <lastcall/core/clock.hpp>
#include <lastcall/shutdown/watchdog.hpp>

namespace lastcall {
namespace {

/// As a thread that is stuck in a system call for ever.
[[noreturn]] void hang() {
  for (;;) ::pause();
}

class WatchdogDeathTest : public testing::Test {
 protected:
  WatchdogDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(WatchdogDeathTest, EndsAProcessThatHangs) {
  auto hung = [] {
    Watchdog dog;
    dog.arm(monotonic_now() + 5ms);
    hang();
  };
  EXPECT_EXIT(hung(), testing::ExitedWithCode(2), "");
}

TEST_F(WatchdogDeathTest, ExitsWithTheCodeItWasGiven) {
  auto hung = [] {
    Watchdog dog;
    dog.arm(monotonic_now() + 1h);
    dog.exit_with(3);
    dog.arm(monotonic_now() + 5ms);  // moved while it waits
    hang();
  };
  EXPECT_EXIT(hung(), testing::ExitedWithCode(3), "");
}

TEST_F(WatchdogDeathTest, AnInstantThatHasPassedIsNow) {
  auto hung = [] {
    Watchdog dog;
    dog.arm(Instant{});
    hang();
  };
  EXPECT_EXIT(hung(), testing::ExitedWithCode(2), "");
}

TEST(Watchdog, IsCalledOff) {
  Watchdog never_armed;
  Watchdog armed;
  armed.arm(monotonic_now() + 1h);
  Watchdog far;
  far.arm(kNever);
}

}  // namespace
}  // namespace lastcall
