#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include <lastcall/core/fd.hpp>
#include <lastcall/shutdown/control.hpp>
#include <lastcall/shutdown/coordinator.hpp>
#include <lastcall/shutdown/progress_observer.hpp>
#include <lastcall/shutdown/report.hpp>
#include <lastcall/shutdown/service_reporter.hpp>
#include <lastcall/shutdown/signals.hpp>
#include <lastcall/shutdown/task_counters.hpp>
#include <lastcall/shutdown/watchdog.hpp>

namespace lastcall {

/// A connection that waited in the queue of a listener whose reactor is stuck.
struct QueuedConnection {
  std::string peer;
  bool asked = false;  ///< bytes of a request had come
};

struct RunnerOptions {
  StopOptions stop{};                  ///< of a stop by signal
  Signals* signals = nullptr;          ///< nullptr: the program handles its signals itself
  std::string io{};                    ///< name of the I/O backend, for the report
  ServiceReporter* service = nullptr;  ///< tells the service manager how it goes; outlives the runner
  /// Called once each, on the runner's thread, as the stop begins, before anybody is told of it, and when
  /// forcing has begun. Must return at once.
  std::move_only_function<void()> on_begin{};
  std::move_only_function<void()> on_force{};
  /// Ends the taking of tasks, if none runs or `in_any_case`; true when none runs. Asked before the stop
  /// ends, so that no task is taken that nobody would wait for. Empty: tasks are as TaskCounters say.
  std::move_only_function<bool(bool in_any_case)> close_tasks{};
  /// Called once, on the runner's thread, just before the reactors are told to drain, or to force where
  /// draining is skipped. Must return at once.
  std::move_only_function<void()> on_drain{};
  /// "127.0.0.1:53124" of a connection's descriptor, for the report of a stuck reactor. Empty: not told.
  std::move_only_function<std::string(int) const> name_peer{};
  /// Takes the connections out of the queues of a stuck reactor's listeners, answers and ends them, at the
  /// deadline. Empty: nobody does, and they are reset.
  std::move_only_function<std::vector<QueuedConnection>(uint32_t reactor)> end_queue{};
  /// Called with SIGHUP, SIGUSR1 or SIGUSR2, in any phase, on the runner's thread: the deadline waits for it,
  /// so it must return soon. What it throws is logged. Empty: the signal is logged as ignored.
  std::move_only_function<void(int)> on_signal{};
  /// The process is ended by a watchdog (_exit) just after the deadline of a stop, whatever a thread is stuck
  /// in, until the runner is destroyed. For servers that are the purpose of their process.
  bool leave_at_deadline = false;
};

/// Waits for a stop, leads the reactors through it, and tells how it went. The only waiting of the main
/// thread: signals, the reactors' acknowledgements, requests to stop, and the next instant that matters; no
/// polling. As long as there is a runner, no log line waits for whoever reads the log (log_may_wait): a full
/// pipe holds up neither signals nor reactors.
///
/// SIGTERM and SIGINT stop, SIGQUIT stops without announce; a second one of the three forces; a third leaves
/// at once by _exit(2), without a report. A stop that was requested by the program is not a signal: the first
/// signal after it is one more request, which may only shorten the stop.
class Runner {
 public:
  /// `control` must outlive the runner. Throws std::system_error when the process has no descriptors left.
  Runner(StopControl& control, RunnerOptions options);
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;
  ~Runner();

  /// Asks for a stop, before or during run(), from any thread. The first request starts the stop and names
  /// it; a further one may only shorten it; after the end it does nothing. Time counts from when run() sees
  /// it.
  void request_stop(const StopOptions& options, std::string reason);

  /// Options of stops by signal from here on. From any thread; one that has begun keeps its own.
  void set_stop_options(const StopOptions& options);
  [[nodiscard]] StopOptions stop_options();  ///< these, from any thread

  /// As a second signal: what is under way is cut off now. It does nothing before a request to stop.
  void request_force(std::string why);

  /// Returns when every reactor has acknowledged `stopped`, or at the deadline. Once only. Where stuck() is
  /// not empty, threads still run: write the report, flush, and leave by _exit(report.exit_code) without
  /// destroying anything they may use.
  [[nodiscard]] DrainReport run();

  /// After run(), for hooks that are the last to run: waits until no task runs, and returns whether that is
  /// so. Cut short by the limit, a second signal or request_force(); a third signal leaves as before.
  [[nodiscard]] bool wait_for_tasks(Instant limit);
  [[nodiscard]] const std::vector<uint32_t>& stuck() const noexcept { return stuck_; }  ///< after run()
  /// When the process must be gone; after run().
  [[nodiscard]] Instant deadline() const noexcept { return coordinator_.deadline(); }
  [[nodiscard]] TaskCounters& tasks() noexcept { return tasks_; }
  /// After run(): what the watchdog of leave_at_deadline exits with, should what is left to do (the report,
  /// the log) outlast the deadline. 2 before.
  void leave_with(int exit_code) { watchdog_.exit_with(exit_code); }

 private:
  struct Request {
    StopOptions options;
    std::string reason;
    bool force = false;
  };
  void queue(Request request);
  void wait_until(Instant instant);
  [[nodiscard]] bool all_acknowledged(Phase phase) const noexcept;
  [[nodiscard]] bool is_forced_at_the_end();
  void wake_at(Instant instant);
  void take_signals();
  void on_stop_signal(int number);
  void on_other_signal(int number);
  void take_requests();
  void look_at_reactors();
  [[nodiscard]] bool take_aborted();
  void ask(const Coordinator::StopRequested& request);
  void feed(std::span<const Coordinator::Input> inputs);
  [[nodiscard]] std::vector<Coordinator::Action> decide(std::span<const Coordinator::Input> inputs);
  void guard_deadline();
  void act_on(const std::vector<Coordinator::Action>& actions);
  void tell_of_tasks(uint64_t open, uint64_t tasks);
  [[nodiscard]] ProgressObserver::Moment moment(Phase phase) const noexcept;
  [[nodiscard]] Instant service_due() const noexcept;
  [[nodiscard]] ServiceReporter::Moment service_moment() const noexcept;
  void tell_service();

  void act(const Coordinator::Enter& entered);
  void act(const Coordinator::Progress&);
  void act(const Coordinator::Silent& silent);
  void act(const Coordinator::Finish& finish);

  [[nodiscard]] AbortedExchange stuck_exchange(uint32_t reactor) const;
  void report_stuck(uint32_t reactor, Instant limit);
  void report_queue(uint32_t reactor);
  void fill_report(int exit_code);
  void log_stopped() const;

  StopControl& control_;
  RunnerOptions options_;
  Coordinator coordinator_;
  ProgressObserver observer_;
  TaskCounters tasks_;
  int stop_signals_ = 0;
  bool started_ = false;
  bool told_of_tasks_ = false;
  DrainReport report_;
  std::vector<uint32_t> stuck_;
  Instant guarded_ = kNever;  // the deadline that the watchdog knows

  Fd request_fd_;
  Fd timer_;                  // ready from wake_at_ on
  Instant wake_at_ = kNever;  // what it is set to
  std::mutex mutex_;          // guards requests_ and options_.stop
  std::vector<Request> requests_;

  Watchdog watchdog_;  // destroyed first
};

}  // namespace lastcall
