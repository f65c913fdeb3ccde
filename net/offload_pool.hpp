#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include <lastcall/core/time.hpp>

namespace lastcall {

/// A bounded pool of threads for work that blocks. Threads are started when work finds none free, up to the
/// maximum, and stay: a server that never offloads has none. They take no signals and are named "NAME-N".
///
/// A task should not throw: what escapes is logged as event=offload_exception and dropped. A task is
/// destroyed on the thread that ran it, before it stops counting as running.
///
/// What the threads share is owned by them as well as by the pool, since join_until() may have to leave a
/// thread behind in a task that does not return: such a thread touches nothing of the pool when its task ends
/// after all. What the task itself refers to is the caller's concern; leave by _exit(2).
///
/// A pool without threads runs nothing by itself: tasks wait until somebody calls run_one(). For tests.
class OffloadPool {
 public:
  using Task = std::move_only_function<void()>;
  struct NoThreads {};

  /// At most `max_threads` (from 1) tasks run and `queue_limit` more wait. Each thread begins with `begin`.
  OffloadPool(uint32_t max_threads, uint32_t queue_limit, std::function<void()> begin = {},
              std::string name = "offload");
  /// At most `queue_limit` tasks wait for run_one(); what waits at the end is destroyed unrun.
  OffloadPool(NoThreads mode, uint32_t queue_limit);
  OffloadPool(const OffloadPool&) = delete;
  OffloadPool& operator=(const OffloadPool&) = delete;
  ~OffloadPool();  ///< close() and, unless join_until() was called, join without limit

  /// False, with the task destroyed, when max_threads + queue_limit tasks are unfinished, after close(), or
  /// when there is no thread and none can be made. From any thread.
  [[nodiscard]] bool try_submit(Task task);

  /// Has `other` run the task, under its limits; join_until() of this one waits for it, too. So work for a
  /// server's handlers is over when the server's own pool is, wherever it runs. False as try_submit() of
  /// either. A pool without threads keeps the task to itself, and other's limits. From any thread; `other`
  /// outlives what it runs.
  [[nodiscard]] bool try_submit_to(OffloadPool& other, Task task);

  /// Without threads: runs the task that has waited longest, here; false when none waits. With threads:
  /// false.
  bool run_one();

  /// Refuses work from now on. Tasks that were taken still run. From any thread.
  void close() noexcept;

  /// close(), then waits until every task has run and joins the threads. False when some still runs at
  /// `deadline`: tasks that wait are destroyed unrun, the threads are left to themselves. By the owner, once;
  /// not from a task.
  [[nodiscard]] bool join_until(Instant deadline);

  // From any thread; a moment later they may be different.
  [[nodiscard]] uint32_t queued() const noexcept;   ///< taken, not started
  [[nodiscard]] uint32_t running() const noexcept;  ///< in a task now, or with another pool
  [[nodiscard]] uint32_t threads() const noexcept;  ///< started so far

 private:
  struct Shared;
  struct Threads;
  static void run(const std::shared_ptr<Shared>& shared, uint32_t index);
  [[nodiscard]] bool start_thread();  // with the lock held
  [[nodiscard]] bool keep(const OffloadPool& whose, Task task);

  std::shared_ptr<Shared> shared_;
  std::unique_ptr<Threads> threads_;  // guarded by shared_->mutex
  uint32_t max_threads_;
  uint32_t queue_limit_;
  bool joined_ = false;
};

}  // namespace lastcall
