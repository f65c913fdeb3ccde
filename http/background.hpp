#pragma once

#include <functional>
#include <mutex>
#include <stop_token>
#include <string>
#include <vector>

#include <lastcall/http/background_task.hpp>
#include <lastcall/http/reactor_tasks.hpp>
#include <lastcall/net/offload_pool.hpp>

namespace lastcall {

/// The background tasks and the hooks of one run of a server: counts them, keeps their exceptions from
/// spreading, tells them when to give up. From any thread where not said otherwise.
class BackgroundTasks {
 public:
  struct Options {
    uint32_t threads = 8;           ///< for blocking tasks, started as needed
    uint32_t queue = 1024;          ///< blocking tasks that wait for a thread
    uint32_t most = 10'000;         ///< tasks of both kinds that have not ended
    uint32_t hooks = 0;             ///< that run_hooks() will be given
    std::function<void()> begin{};  ///< each thread begins with it
  };

  BackgroundTasks(StopControl& control, TaskCounters& counters, const Options& options);
  BackgroundTasks(const BackgroundTasks&) = delete;
  BackgroundTasks& operator=(const BackgroundTasks&) = delete;

  /// False when there are too many or the stop is over; the task is then as it was. A coroutine runs on
  /// that reactor.
  [[nodiscard]] bool start(const std::string& name, BackgroundTask& task, uint32_t reactor);
  /// Refuses tasks from now on, if none runs or `in_any_case`; true when none runs.
  bool close(bool in_any_case);
  /// Each on a thread of its own. Returns at once.
  void run_hooks(std::vector<StopHook> hooks);
  /// Tells every task to give up.
  void cancel() { request(cancel_); }
  [[nodiscard]] std::stop_token cancel_token() const noexcept { return cancel_.get_token(); }
  /// Requests a stop on `source`, on another thread: callbacks are the user's code. Few times.
  void request(std::stop_source source);
  /// In order, before any start(): coroutines run there.
  void add_reactor(ReactorTasks* tasks) { reactors_.push_back(tasks); }

  /// Refuses tasks, and waits for the threads. False when one is still in a task at the deadline. Once.
  [[nodiscard]] bool close_until(Instant deadline);
  /// Runs the hooks in their order on a thread of their own, and counts them; returns at once. Once, after
  /// close_until().
  void run_last_hooks(std::vector<StopHook> hooks);
  /// … and waits for them; false when they have not ended by the deadline. Once.
  [[nodiscard]] bool join_last_hooks(Instant deadline) { return last_pool_.join_until(deadline); }

 private:
  void run(const std::string& name, BackgroundTask::Blocking& function, bool may_be_cancelled);

  StopControl& control_;
  TaskCounters& counters_;
  uint32_t most_;
  std::stop_source cancel_;
  std::vector<ReactorTasks*> reactors_;
  std::mutex mutex_;  // guards closed_, and so what close_until() ends
  bool closed_ = false;
  OffloadPool pool_;
  OffloadPool hook_pool_;
  OffloadPool last_pool_;
};

}  // namespace lastcall
