#pragma once

#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include <lastcall/http/background_task.hpp>
#include <lastcall/shutdown/task_counters.hpp>

namespace lastcall {

/// Logs what a background task or hook threw, if it did, and says what it counts as.
[[nodiscard]] TaskCounters::Ending judge_ending(const std::string& name, const std::exception_ptr& error,
                                                bool cancelled);

/// The background coroutines on one reactor. On its thread, but for post().
class ReactorTasks {
 public:
  /// `cancel` is given to each task, and ends their waits when a stop is requested on it.
  ReactorTasks(Loop& loop, OffloadPool& pool, std::stop_token cancel, StopControl& control);
  ReactorTasks(const ReactorTasks&) = delete;
  ReactorTasks& operator=(const ReactorTasks&) = delete;
  ~ReactorTasks();  ///< those that still wait end here, by the destruction of what they hold

  /// Starts it in the reactor's next turn. It has begun to count, and ends that itself. From any thread, as
  /// long as the reactor is there.
  void post(std::string name, BackgroundCoroutine function, TaskCounters& counters);
  /// The loop is left: nothing that is started could go on.
  void close() noexcept { closed_ = true; }

 private:
  struct Running;
  void start(std::unique_ptr<Running> task);
  void cancel_all();
  static void ended(TaskContext& context);

  struct Cancel {
    ReactorTasks& tasks;
    void operator()() const {
      tasks.loop_.mailbox.post([&t = tasks] { t.cancel_all(); });
    }
  };

  Loop& loop_;
  OffloadPool& pool_;
  std::stop_token cancel_;
  StopControl& control_;
  std::vector<std::unique_ptr<Running>> running_;
  std::stop_callback<Cancel> on_cancel_;
  bool closed_ = false;
};

}  // namespace lastcall
