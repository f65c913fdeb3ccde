#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <csignal>
#include <functional>
#include <set>
#include <stdexcept>
#include <thread>

#include <lastcall/core/clock.hpp>
#include <lastcall/core/log.hpp>
#include <lastcall/shutdown/runner.hpp>

namespace lastcall {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr StopOptions kPatient{.deadline = 1h};
// Forcing begins after 20 ms, and then there is an hour for it: no deadline that a slow machine could miss.
constexpr StopOptions kSoonForced{.deadline = 1h, .force_margin = 1h - 20ms};

/// A thread that watches the broadcast like a reactor and calls `on_phase` for what it sees, until it sees
/// `stopped`.
const RunningHandler kSpin{.route = "/spin", .method = "GET", .fd = 7, .began = monotonic_now() - 1h};
const RunningHandler kSpinN{.route = "/spin/{n}", .method = "GET", .fd = 7, .began = monotonic_now() - 1h};

class FakeReactor {
 public:
  using OnPhase = std::function<void(Phase)>;

  FakeReactor(StopControl& control, OnPhase on_phase)
      : thread_([&control, on_phase = std::move(on_phase)] {
          Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
          epoll_event event{.events = EPOLLIN | EPOLLET, .data = {}};  // edges, as the counter is never read
          ::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, control.broadcast_fd(), &event);
          for (Phase seen = Phase::running; seen != Phase::stopped;) {
            ::epoll_wait(epoll.get(), &event, 1, -1);
            Phase phase = control.phase();
            if (phase != seen) on_phase(phase);
            seen = phase;
          }
        }) {}

 private:
  std::jthread thread_;
};

class RunnerTest : public testing::Test {
 protected:
  RunnerTest() { log_configure(LogFormat::text, LogLevel::off); }
  ~RunnerTest() override { log_configure(LogFormat::text, LogLevel::info); }

  /// Acknowledges everything at once.
  FakeReactor::OnPhase obedient(uint32_t reactor = 0) {
    return [this, reactor](Phase phase) { control_.acknowledge(reactor, phase); };
  }
  /// Holds one exchange that only forcing ends.
  FakeReactor::OnPhase stubborn(std::function<void()> when_draining = [] {}) {
    ReactorCounters& counters = control_.counters(0);
    counters.accepted = 1;
    counters.active = 1;
    return [this, &counters, when_draining](Phase phase) {
      if (phase == Phase::forcing) {
        control_.report_aborted({"127.0.0.1:1", "GET", "/slow", "writing", 5, 6, control_.why()});
        counters.aborted = 1;
        counters.active = 0;
      }
      control_.acknowledge(0, phase);
      if (phase == Phase::draining) when_draining();
    };
  }
  static std::vector<Phase> phases(const DrainReport& report) {
    std::vector<Phase> seen;
    for (const PhaseSpan& span : report.phases) seen.push_back(span.phase);
    return seen;
  }
  /// Returns when the runner has taken the last wake-up, or has gone on to another phase.
  void wait_until_taken() {
    pollfd wake{.fd = control_.wake_fd(), .events = POLLIN, .revents = 0};
    while (control_.phase() == Phase::draining && ::poll(&wake, 1, 0) == 1) std::this_thread::yield();
  }
  static void send(int number) { ::kill(::getpid(), number); }

  Signals signals_;  // before any thread
  StopControl control_{1};
};

TEST_F(RunnerTest, LeadsThroughACleanStop) {
  Runner runner(control_, {.io = "epoll"});
  ReactorCounters& counters = control_.counters(0);
  counters.accepted = 5;
  counters.completed = 3;
  counters.idle = 2;
  counters.late_requests = 7;
  FakeReactor reactor(control_, [&](Phase phase) {
    if (phase == Phase::draining) {
      counters.accepted_while_stopping = 1;
      counters.accepted = 6;
      counters.completed = 4;
    }
    control_.acknowledge(0, phase);
    if (phase != Phase::draining) return;
    counters.idle_closed = 2;
    counters.idle = 0;
    control_.wake_runner();
  });
  runner.request_stop(kPatient, "test");
  DrainReport report = runner.run();

  EXPECT_EQ(report.reason, "test");
  EXPECT_EQ(report.io, "epoll");
  EXPECT_EQ(report.exit_code, 0);
  EXPECT_THAT(phases(report), ElementsAre(Phase::draining, Phase::stopped));
  EXPECT_EQ(report.phases.back().end_ms, report.duration_ms);
  ASSERT_EQ(report.reactors.size(), 1u);
  EXPECT_EQ(report.reactors[0].accepted, 6u);
  EXPECT_EQ(report.reactors[0].accepted_while_stopping, 1u);
  EXPECT_EQ(report.reactors[0].idle_closed, 2u);
  EXPECT_EQ(report.reactors[0].completed, 4u);
  EXPECT_EQ(report.late_requests, 7u);
  EXPECT_THAT(report.aborted, IsEmpty());
  EXPECT_THAT(runner.stuck(), IsEmpty());
}

TEST_F(RunnerTest, WaitsForAConnectionThatIsBetweenActiveAndIdle) {
  // Neither active nor idle while it changes sides, but accepted and not ended: still open.
  Runner runner(control_, {});
  ReactorCounters& counters = control_.counters(0);
  counters.accepted = 1;
  bool still_draining = false;
  FakeReactor reactor(control_, [&](Phase phase) {
    control_.acknowledge(0, phase);
    if (phase != Phase::draining) return;
    wait_until_taken();  // the runner begins to look ...
    control_.wake_runner();
    wait_until_taken();  // ... and has looked
    still_draining = control_.phase() == Phase::draining;
    counters.completed = 1;
    control_.wake_runner();
  });
  runner.request_stop(kPatient, "test");
  EXPECT_EQ(runner.run().exit_code, 0);
  EXPECT_TRUE(still_draining);
}

TEST_F(RunnerTest, ManyRequestsFromManyThreadsAreOneStop) {
  Runner runner(control_, {});
  FakeReactor reactor(control_, obedient());
  std::set<std::string> reasons;
  std::vector<std::jthread> threads;
  for (int i = 0; i < 8; ++i) {
    std::string reason = "thread " + std::to_string(i);
    reasons.insert(reason);
    threads.emplace_back([&runner, reason] { runner.request_stop(kPatient, reason); });
  }
  DrainReport report = runner.run();
  EXPECT_THAT(reasons, testing::Contains(report.reason));
  EXPECT_THAT(phases(report), ElementsAre(Phase::draining, Phase::stopped));
  threads.clear();
  runner.request_stop(kPatient, "after the end");
}

TEST_F(RunnerTest, TermStopsAndAnnounces) {
  Runner runner(control_, {.stop = {.announce = 10ms, .deadline = 1h}, .signals = &signals_});
  FakeReactor reactor(control_, obedient());
  send(SIGTERM);
  DrainReport report = runner.run();
  EXPECT_EQ(report.reason, "SIGTERM");
  EXPECT_EQ(report.exit_code, 0);
  EXPECT_THAT(phases(report), ElementsAre(Phase::announcing, Phase::draining, Phase::stopped));
}

TEST_F(RunnerTest, QuitStopsWithoutAnnounce) {
  Runner runner(control_, {.stop = {.announce = 30min, .deadline = 1h}, .signals = &signals_});
  FakeReactor reactor(control_, obedient());
  send(SIGQUIT);
  DrainReport report = runner.run();
  EXPECT_EQ(report.reason, "SIGQUIT");
  EXPECT_THAT(phases(report), ElementsAre(Phase::draining, Phase::stopped));
}

TEST_F(RunnerTest, TheSecondSignalForces) {
  Runner runner(control_, {.stop = {.deadline = 1h, .force_margin = 30min}, .signals = &signals_});
  FakeReactor reactor(control_, stubborn([] { send(SIGINT); }));
  send(SIGTERM);
  DrainReport report = runner.run();
  EXPECT_EQ(report.exit_code, 2);
  EXPECT_EQ(report.reason, "SIGTERM");
  EXPECT_THAT(phases(report), ElementsAre(Phase::draining, Phase::forcing, Phase::stopped));
  ASSERT_EQ(report.aborted.size(), 1u);
  EXPECT_EQ(report.aborted[0].target, "/slow");
  EXPECT_EQ(report.aborted[0].why, "second signal");
  EXPECT_EQ(report.reactors[0].aborted, 1u);
}

TEST_F(RunnerTest, AForceThatAbortsNothingIsNoFailure) {
  Runner runner(control_, {.stop = {.deadline = 1h, .force_margin = 30min}, .signals = &signals_});
  ReactorCounters& counters = control_.counters(0);
  counters.accepted = 1;
  counters.active = 1;
  FakeReactor reactor(control_, [&](Phase phase) {
    if (phase == Phase::draining) send(SIGTERM);
    if (phase == Phase::forcing) {
      counters.completed = 1;
      counters.active = 0;
    }
    control_.acknowledge(0, phase);
  });
  send(SIGINT);
  DrainReport report = runner.run();
  EXPECT_EQ(report.exit_code, 0);
  EXPECT_EQ(report.phases[1].phase, Phase::forcing);
}

TEST_F(RunnerTest, TheFirstSignalAfterAProgrammaticStopDoesNotForce) {
  ReactorCounters& counters = control_.counters(0);
  counters.accepted = 1;
  counters.active = 1;
  Runner runner(control_, {.stop = kPatient, .signals = &signals_, .on_signal = [&](int) {
                             counters.completed = 1;
                             counters.active = 0;
                             control_.wake_runner();
                           }});
  FakeReactor reactor(control_, [&](Phase phase) {
    control_.acknowledge(0, phase);
    if (phase != Phase::draining) return;
    send(SIGINT);
    send(SIGUSR1);  // taken after SIGINT, and lets the connection end
  });
  runner.request_stop(kPatient, "admin");
  DrainReport report = runner.run();
  EXPECT_EQ(report.reason, "admin");
  EXPECT_THAT(phases(report), ElementsAre(Phase::draining, Phase::stopped));
}

TEST_F(RunnerTest, TheDeadlineForces) {
  Runner runner(control_, {});
  FakeReactor reactor(control_, stubborn());
  runner.request_stop(kSoonForced, "test");
  DrainReport report = runner.run();
  EXPECT_EQ(report.exit_code, 2);
  EXPECT_THAT(phases(report), ElementsAre(Phase::draining, Phase::forcing, Phase::stopped));
  ASSERT_EQ(report.aborted.size(), 1u);
  EXPECT_EQ(report.aborted[0].why, "deadline");
}

TEST_F(RunnerTest, AStuckReactorIsReportedAndNotWaitedFor) {
  // Nobody plays the reactor.
  Runner runner(control_, {.name_peer = [](int fd) { return "peer of " + std::to_string(fd); }});
  control_.counters(0).handler = &kSpin;
  control_.counters(0).accepted = 10;
  control_.counters(0).completed = 4;
  control_.counters(0).idle_closed = 3;
  control_.counters(0).aborted = 1;
  runner.request_stop({.deadline = 30ms}, "test");
  DrainReport report = runner.run();
  EXPECT_EQ(report.exit_code, 2);
  EXPECT_THAT(runner.stuck(), ElementsAre(0u));
  ASSERT_EQ(report.aborted.size(), 1u);
  EXPECT_EQ(report.aborted[0].target, "/spin");
  EXPECT_EQ(report.aborted[0].state, "handling");
  EXPECT_EQ(report.aborted[0].why, "stuck reactor");
  EXPECT_EQ(report.aborted[0].method, "GET");
  EXPECT_EQ(report.aborted[0].peer, "peer of 7");
  EXPECT_GE(report.aborted[0].age_ms, 3'600'000);
  EXPECT_EQ(report.reactors[0].aborted, 3u) << "what it held ends with the process";
  EXPECT_GE(report.duration_ms, 30);
}

TEST_F(RunnerTest, OtherSignalsGoToTheHookWhichMayThrow) {
  std::vector<int> seen;
  Runner* waiting = nullptr;
  Runner runner(control_, {.signals = &signals_, .on_signal = [&](int number) {
                             seen.push_back(number);
                             if (number == SIGUSR2) waiting->request_stop(kPatient, "upgrade");
                             if (number == SIGHUP) throw std::runtime_error("bad configuration");
                             if (number == SIGUSR1) throw 1;
                           }});
  waiting = &runner;
  FakeReactor reactor(control_, obedient());
  for (int number : {SIGUSR2, SIGUSR1, SIGHUP}) send(number);
  DrainReport report = runner.run();
  EXPECT_EQ(report.reason, "upgrade");
  EXPECT_THAT(seen, testing::UnorderedElementsAre(SIGHUP, SIGUSR1, SIGUSR2));
}

TEST_F(RunnerTest, ARunningTaskHoldsTheStopAndItsFailureIsThree) {
  Runner runner(control_, {});
  TaskCounters& tasks = runner.tasks();
  tasks.running = 2;
  tasks.completed = 4;
  bool failed = false;
  bool failed_before_stop = false;
  FakeReactor reactor(control_, [&](Phase phase) {
    if (phase == Phase::stopped) failed_before_stop = failed;
    control_.acknowledge(0, phase);
    if (phase != Phase::draining) return;
    tasks.completed += 1;
    tasks.running -= 1;
    control_.wake_runner();
    failed = true;
    tasks.failed += 1;
    tasks.running -= 1;
    control_.wake_runner();
  });
  runner.request_stop(kPatient, "test");
  DrainReport report = runner.run();
  EXPECT_EQ(report.exit_code, 3);
  EXPECT_TRUE(failed_before_stop);
  EXPECT_EQ(report.background.completed, 5u);
  EXPECT_EQ(report.background.failed, 1u);
  EXPECT_EQ(report.background.abandoned, 0u);
}

TEST_F(RunnerTest, ATaskThatDoesNotEndIsAbandoned) {
  Runner runner(control_, {});
  runner.tasks().running = 1;
  runner.request_stop({.deadline = 30ms}, "test");
  DrainReport report = runner.run();
  EXPECT_EQ(report.exit_code, 2);
  EXPECT_EQ(report.background.abandoned, 1u);
}

TEST_F(RunnerTest, LogsTheStopAsEvents) {
  log_configure(LogFormat::text, LogLevel::info);
  Runner runner(control_, {.stop = {.announce = 1ms, .deadline = 1h}, .signals = &signals_});
  control_.counters(0).handler = &kSpinN;
  FakeReactor reactor(control_, stubborn([] { send(SIGTERM); }));
  send(SIGHUP);
  send(SIGINT);
  testing::internal::CaptureStderr();
  DrainReport report = runner.run();
  std::string log = testing::internal::GetCapturedStderr();

  size_t from = 0;
  for (const char* line : {" info event=signal_ignored signal=SIGHUP\n",
                           " info event=stop_requested reason=SIGINT deadline=3600s\n",
                           " info event=announcing reason=SIGINT deadline=3600s\n",
                           " info event=drain_started reason=SIGINT deadline=3600s active=1 idle=0\n",
                           " warning event=forcing why=\"second signal\" active=1 idle=0\n",
                           " warning event=stopped duration="}) {
    size_t found = log.find(line, from);
    ASSERT_NE(found, std::string::npos) << "missing after byte " << from << ":" << line << "in\n" << log;
    from = found;
  }
  EXPECT_THAT(log, testing::EndsWith(" completed=0 idle_closed=0 handed_over=0 aborted=1 exit_code=2\n"));
}

TEST_F(RunnerTest, LogsTheRouteAStuckReactorIsIn) {
  log_configure(LogFormat::text, LogLevel::info);
  Runner runner(control_, {});
  control_.counters(0).handler = &kSpin;
  runner.request_stop({.deadline = 20ms}, "test");
  testing::internal::CaptureStderr();
  DrainReport report = runner.run();
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              HasSubstr(" error event=reactor_stuck reactor=0 route=/spin\n"));
}

TEST_F(RunnerTest, LogsProgressForEachReactor) {
  log_configure(LogFormat::text, LogLevel::info);
  StopControl control(2);
  Runner runner(control, {});
  control.counters(0).active = 3;
  control.counters(0).idle = 10;
  control.counters(1).active = 2;
  control.counters(1).idle = 8;
  runner.request_stop({.deadline = 1200ms, .force_margin = 0s}, "test");
  testing::internal::CaptureStderr();
  DrainReport report = runner.run();
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              HasSubstr(" info event=drain_progress active=5 idle=18 reactors=\"r0:3/10 r1:2/8\"\n"));
}

TEST_F(RunnerTest, LogsTheOldestRequestOfAnyReactor) {
  log_configure(LogFormat::text, LogLevel::info);
  StopControl control(3);
  Runner runner(control, {});
  int64_t now = monotonic_now().time_since_epoch().count();
  control.counters(0).oldest_since_ns = now - Duration(5s).count();
  control.counters(0).oldest_route = "/young";
  control.counters(1).oldest_since_ns = now - Duration(1h).count();
  control.counters(1).oldest_route = "/old/{n}";
  runner.request_stop({.deadline = 1200ms, .force_margin = 0s}, "test");
  testing::internal::CaptureStderr();
  DrainReport report = runner.run();
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              HasSubstr(" reactors=\"r0:0/0 r1:0/0 r2:0/0\" oldest=/old/{n} age=3601"));
}

TEST_F(RunnerTest, LogsTheHandlerOfASilentReactorAsTheOldest) {
  log_configure(LogFormat::text, LogLevel::info);
  Runner runner(control_, {});
  control_.counters(0).handler = &kSpin;
  runner.request_stop({.deadline = 1200ms, .force_margin = 0s}, "test");
  testing::internal::CaptureStderr();
  DrainReport report = runner.run();
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr(" oldest=/spin age=360"));
}

TEST_F(RunnerTest, TakesSamplesWhileTheStopLasts) {
  Runner runner(control_, {});
  ReactorCounters& counters = control_.counters(0);
  FakeReactor reactor(control_, [&, force = stubborn()](Phase phase) {
    if (phase == Phase::forcing) {
      counters.idle_closed = 4;
      counters.idle = 0;
    }
    force(phase);
  });
  counters.accepted = 10;
  counters.completed = 5;
  counters.idle = 4;
  runner.request_stop({.deadline = 1h, .force_margin = 1h - 100ms}, "test");
  DrainReport report = runner.run();

  const std::vector<TimelineSample>& samples = report.timeline;
  ASSERT_GE(samples.size(), 6u);  // three phases and the end; every 20 ms of the first 100
  EXPECT_EQ(samples.front().at_ms, 0);
  EXPECT_EQ(samples.front().active, 1u);
  EXPECT_EQ(samples.front().idle, 4u);
  EXPECT_EQ(samples.front().completed, 5u);
  EXPECT_EQ(samples.front().aborted, 0u);
  EXPECT_EQ(samples.back().at_ms, report.duration_ms);
  EXPECT_EQ(samples.back().active, 0u);
  EXPECT_EQ(samples.back().idle, 0u);
  EXPECT_EQ(samples.back().aborted, 1u);
  for (const PhaseSpan& span : report.phases) {
    EXPECT_THAT(samples, testing::Contains(testing::Field(&TimelineSample::at_ms, span.start_ms)));
  }
}

TEST_F(RunnerTest, TheReportHasTheDeadline) {
  Runner runner(control_, {});
  FakeReactor reactor(control_, obedient());
  runner.request_stop(kPatient, "test");
  EXPECT_EQ(runner.run().deadline_ms, 3'600'000);
}

TEST(RunnerDeathTest, TheDeadlineHoldsWhateverBlocksTheRunner) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  auto blocked = [] {
    StopControl control(1);
    Runner runner(control, {.on_drain =
                                [] {
                                  for (;;) ::pause();
                                },
                            .leave_at_deadline = true});
    runner.request_stop({.deadline = 30ms}, "test");
    DrainReport report = runner.run();
  };
  EXPECT_EXIT(blocked(), testing::ExitedWithCode(2), "");
}

TEST(RunnerDeathTest, AfterTheStopTheWatchdogLeavesWithItsResult) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  auto blocked = [] {
    StopControl control(1);
    control.acknowledge(0, Phase::stopped);
    Runner runner(control, {.leave_at_deadline = true});
    runner.request_stop({.deadline = 30ms}, "test");
    DrainReport report = runner.run();
    runner.leave_with(report.exit_code);
    for (;;) ::pause();  // as a report that nobody reads
  };
  EXPECT_EXIT(blocked(), testing::ExitedWithCode(0), "");
}

TEST(RunnerDeathTest, TheThirdSignalLeavesAtOnce) {
  EXPECT_EXIT(
      {
        Signals signals;
        StopControl control(1);
        Runner runner(control, {.stop = kPatient, .signals = &signals});
        for (int number : {SIGTERM, SIGINT, SIGQUIT}) ::raise(number);
        DrainReport report = runner.run();
      },
      testing::ExitedWithCode(2), "");
}

TEST_F(RunnerTest, RunsOnce) {
  Runner runner(control_, {});
  runner.request_stop({.deadline = 0s}, "test");
  DrainReport report = runner.run();
  EXPECT_DEATH((void)runner.run(), "CHECK failed: !started_");
}

}  // namespace
}  // namespace lastcall
