#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>

#include <lastcall/core/clock.hpp>
#include <lastcall/core/log.hpp>
#include <lastcall/shutdown/service_notify.hpp>
#include <lastcall/shutdown/service_reporter.hpp>

#include "tests/support/notify_socket.hpp"

namespace lastcall {
namespace {

class ServiceNotifyTest : public testing::Test {
 protected:
  ServiceNotifyTest() { log_configure(LogFormat::text, LogLevel::off); }
  std::string next() {
    auto message = manager.receive(0ms);
    return message ? message->text : "";
  }
  NotifySocket manager;
  ServiceNotify notify{{.socket = manager.name()}};
};

TEST_F(ServiceNotifyTest, TakesTheEnvironmentAway) {
  ::setenv("NOTIFY_SOCKET", "/run/x", 1);
  ::setenv("WATCHDOG_USEC", "3000000", 1);
  ::setenv("WATCHDOG_PID", std::to_string(::getpid()).c_str(), 1);
  ServiceEnvironment taken = ServiceEnvironment::take();
  EXPECT_EQ(taken.socket, "/run/x");
  EXPECT_EQ(taken.watchdog, 3s);
  for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"})
    EXPECT_EQ(std::getenv(name), nullptr) << name;
  taken = ServiceEnvironment::take();
  EXPECT_EQ(taken.socket, "");
  EXPECT_EQ(taken.watchdog, 0s);
}

TEST_F(ServiceNotifyTest, AWatchdogOfAnotherProcessIsNotOurs) {
  ::setenv("WATCHDOG_USEC", "3000000", 1);
  ::setenv("WATCHDOG_PID", "1", 1);
  EXPECT_EQ(ServiceEnvironment::take().watchdog, 0s);
}

TEST_F(ServiceNotifyTest, WatchdogThatIsNoNumberOrTooLong) {
  for (const char* text : {"", "x", "-1", "1.5", "3s", " 7", "99999999999999999999999"}) {
    ::setenv("WATCHDOG_USEC", text, 1);
    EXPECT_EQ(ServiceEnvironment::take().watchdog, 0s) << text;
  }
  ::setenv("WATCHDOG_USEC", "18446744073709551615", 1);
  EXPECT_GT(ServiceEnvironment::take().watchdog, 24h) << "saturates";
}

TEST_F(ServiceNotifyTest, Ready) {
  notify.ready("serving on 127.0.0.1:80");
  EXPECT_EQ(next(), "READY=1\nSTATUS=serving on 127.0.0.1:80\nMAINPID=" + std::to_string(::getpid()) + "\n");
}

TEST_F(ServiceNotifyTest, AStatusIsOneLine) {
  notify.ready("a\nMAINPID=1");
  EXPECT_EQ(notify_field(next(), "STATUS"), "a MAINPID=1");
}

TEST_F(ServiceNotifyTest, ReloadingTellsWhen) {
  notify.reloading(Instant(5s + 7us));
  const std::string text = next();
  EXPECT_EQ(notify_field(text, "RELOADING"), "1");
  EXPECT_EQ(notify_field(text, "MONOTONIC_USEC"), "5000007");
}

TEST_F(ServiceNotifyTest, NothingTakesTheStopBack) {
  notify.stopping("stopping: SIGTERM", 5s);
  EXPECT_EQ(next(), "STOPPING=1\nSTATUS=stopping: SIGTERM\nEXTEND_TIMEOUT_USEC=5000000\n");
  notify.ready("x");
  notify.reloading(Instant{});
  notify.stopping("again", 5s);
  EXPECT_EQ(next(), "");
}

TEST_F(ServiceNotifyTest, AfterTheHandOverAnotherSpeaks) {
  notify.hand_over(77);
  EXPECT_EQ(next(), "MAINPID=77\n");
  notify.stopping("x", 1s);
  notify.alive();
  EXPECT_EQ(next(), "");
}

TEST_F(ServiceNotifyTest, NobodyThereAndNamesThatAreNone) {
  for (const std::string& name : {std::string(), std::string("@"), std::string("/"), std::string("vsock:2:1"),
                                  "/" + std::string(200, 'x'), std::string("@nobody-listens-here"),
                                  std::string("/nonexistent/socket")}) {
    ServiceNotify lost({.socket = name});
    lost.ready("x");
    lost.alive();
  }
  EXPECT_FALSE(ServiceNotify({.socket = ""}).wanted());
  EXPECT_FALSE(ServiceNotify({.socket = "vsock:2:1"}).wanted());
}

TEST_F(ServiceNotifyTest, AtAPathAlso) {
  NotifySocket at_path(testing::TempDir() + "notify-" + std::to_string(::getpid()));
  ServiceNotify to_path({.socket = at_path.name()});
  to_path.alive();
  EXPECT_EQ(at_path.receive(0ms)->text, "WATCHDOG=1\n");
}

// Nobody reads: the kernel takes a few, and nobody waits for room.
TEST_F(ServiceNotifyTest, NeverWaits) {
  for (int i = 0; i < 5000; ++i) notify.alive();
  EXPECT_EQ(next(), "WATCHDOG=1\n");
}

TEST_F(ServiceNotifyTest, KeepsDescriptors) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const Fd read_end(ends[0]);
  const Fd write_end(ends[1]);
  notify.keep("a-name", ends);
  auto message = manager.receive(0ms);
  ASSERT_TRUE(message);
  EXPECT_EQ(message->text, "FDSTORE=1\nFDNAME=a-name\nFDPOLL=0\n");
  EXPECT_EQ(message->descriptors.size(), 2u);
  notify.forget("a-name");
  EXPECT_EQ(next(), "FDSTOREREMOVE=1\nFDNAME=a-name\n");
  notify.keep("too-many", std::vector<int>(254, ends[0]));
  EXPECT_EQ(next(), "");
  notify.keep("most", std::vector<int>(253, ends[0]));
  EXPECT_EQ(manager.receive(0ms)->descriptors.size(), 253u);
}

class ServiceReporterTest : public ServiceNotifyTest {
 protected:
  static constexpr Instant kStart{1000s};
  void beat(uint32_t reactor, Instant due) {
    control.counters(reactor).beat_due_ns = due.time_since_epoch().count();
  }
  StopControl control{2};
  ServiceNotify watched{{.socket = manager.name(), .watchdog = 4s, .watchdog_text = "4000000"}};
};

TEST_F(ServiceReporterTest, WithoutAWatchdogNothingIsDueBeforeTheStop) {
  ServiceReporter reporter(control, notify);
  EXPECT_EQ(reporter.next_due(), kNever);
  reporter.look({.now = kStart});
  EXPECT_EQ(next(), "");
}

TEST_F(ServiceReporterTest, AliveFourTimesInEachInterval) {
  ServiceReporter reporter(control, watched);
  EXPECT_LE(reporter.next_due(), kStart);
  beat(0, kStart + 50ms);
  reporter.look({.now = kStart});
  EXPECT_EQ(next(), "WATCHDOG=1\n");
  EXPECT_EQ(reporter.next_due(), kStart + 1s);
  reporter.look({.now = kStart + 999ms});
  EXPECT_EQ(next(), "");
}

TEST_F(ServiceReporterTest, AReactorThatIsStuckWithholdsIt) {
  ServiceReporter reporter(control, watched);
  beat(0, kStart + 100s);
  beat(1, kStart);
  reporter.look({.now = kStart + 1999ms});
  EXPECT_EQ(next(), "WATCHDOG=1\n");
  reporter.look({.now = kStart + 3s});
  EXPECT_EQ(next(), "") << "half of the interval late";
  beat(1, kStart + 4s);
  reporter.look({.now = kStart + 4s});
  EXPECT_EQ(next(), "WATCHDOG=1\n") << "it goes on, whatever it was a moment ago";
  beat(1, Instant{});
  reporter.look({.now = kStart + 50s});
  EXPECT_EQ(next(), "WATCHDOG=1\n") << "it has left";
}

TEST_F(ServiceReporterTest, TheStopOnceASecond) {
  ServiceReporter reporter(control, notify);
  control.counters(0).active = 40;
  control.counters(1).active = 1;
  control.counters(1).idle = 12;
  const Instant deadline = kStart + 25s;
  reporter.begin({.phase = Phase::draining, .deadline = deadline, .now = kStart}, "SIGTERM");
  EXPECT_EQ(next(), "STOPPING=1\nSTATUS=stopping: SIGTERM\nEXTEND_TIMEOUT_USEC=5000000\n");
  reporter.begin({.phase = Phase::draining, .deadline = deadline, .now = kStart}, "again");
  reporter.look({.phase = Phase::draining, .deadline = deadline, .now = kStart + 999ms});
  EXPECT_EQ(next(), "");
  EXPECT_EQ(reporter.next_due(), kStart + 1s);
  reporter.look({.phase = Phase::draining, .deadline = deadline, .now = kStart + 7s});
  EXPECT_EQ(next(), "STATUS=draining: 41 active, 12 idle, 18 s left\nEXTEND_TIMEOUT_USEC=5000000\n");
}

TEST_F(ServiceReporterTest, AsksForNoMoreThanTheDeadline) {
  ServiceReporter reporter(control, notify);
  const Instant deadline = kStart + 2s;
  reporter.begin({.phase = Phase::draining, .deadline = deadline, .now = kStart}, "SIGTERM");
  EXPECT_EQ(notify_field(next(), "EXTEND_TIMEOUT_USEC"), "2500000");
  reporter.look({.phase = Phase::forcing, .deadline = deadline, .now = kStart + 1500ms});
  EXPECT_EQ(next(), "STATUS=forcing: 0 active, 0 idle, 1 s left\nEXTEND_TIMEOUT_USEC=1000000\n");
  reporter.look({.phase = Phase::stopped, .deadline = deadline, .now = kStart + 3s});
  EXPECT_EQ(next(), "STATUS=finishing: 0 s left\nEXTEND_TIMEOUT_USEC=500000\n");
}

}  // namespace
}  // namespace lastcall
