#include <signal.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <lastcall/core/check.hpp>
#include <lastcall/core/log.hpp>
#include <lastcall/core/thread.hpp>
#include <lastcall/net/offload_pool.hpp>

namespace lastcall {
namespace {

void run_and_destroy(OffloadPool::Task task) noexcept {
  try {
    task();
  } catch (const std::exception& thrown) {
    log_event(LogLevel::error, "offload_exception", {{"what", thrown.what()}});
  } catch (...) {
    log_event(LogLevel::error, "offload_exception", {{"what", "not a std::exception"}});
  }
}

/// CLOCK_MONOTONIC is libstdc++'s steady_clock.
std::chrono::steady_clock::time_point to_steady(Instant instant) {
  return std::chrono::steady_clock::time_point(instant.time_since_epoch());
}

}  // namespace

struct OffloadPool::Shared {
  std::mutex mutex;
  std::function<void()> begin;
  std::string name;
  std::condition_variable work;      // for threads: the queue has a task, or closed
  std::condition_variable finished;  // for join_until: nothing is queued or running
  struct Waiting {
    Task task;
    const OffloadPool* whose;  // without threads: under whose limits it waits
  };
  std::deque<Waiting> queue;
  uint32_t running = 0;
  uint32_t lent = 0;  // tasks with other pools
  bool closed = false;

  [[nodiscard]] bool done() const { return queue.empty() && running == 0 && lent == 0; }
  void took_back() {
    std::lock_guard lock(mutex);
    --lent;
    if (closed && done()) finished.notify_all();
  }
};

/// The pool's alone: a thread that is left behind must not own itself.
struct OffloadPool::Threads : std::vector<std::thread> {};

OffloadPool::OffloadPool(uint32_t max_threads, uint32_t queue_limit, std::function<void()> begin,
                         std::string name)
    : shared_(std::make_shared<Shared>()),
      threads_(std::make_unique<Threads>()),
      max_threads_(max_threads),
      queue_limit_(queue_limit) {
  LASTCALL_CHECK(max_threads > 0);
  shared_->begin = std::move(begin);
  shared_->name = std::move(name);
}

OffloadPool::OffloadPool(NoThreads, uint32_t queue_limit)
    : shared_(std::make_shared<Shared>()),
      threads_(std::make_unique<Threads>()),
      max_threads_(0),
      queue_limit_(queue_limit) {}

OffloadPool::~OffloadPool() {
  if (!joined_) static_cast<void>(join_until(kNever));
}

bool OffloadPool::try_submit(Task task) {
  LASTCALL_CHECK(static_cast<bool>(task));
  if (max_threads_ == 0) return keep(*this, std::move(task));
  std::lock_guard lock(shared_->mutex);
  const uint64_t unfinished = shared_->queue.size() + shared_->running;
  if (shared_->closed || unfinished >= uint64_t{max_threads_} + queue_limit_) return false;
  const bool wants_thread = unfinished >= threads_->size() && threads_->size() < max_threads_;
  if (wants_thread && !start_thread() && threads_->empty()) return false;
  shared_->queue.push_back({std::move(task), this});
  shared_->work.notify_one();
  return true;
}

/// Without threads: queues it under the limits of `whose`.
bool OffloadPool::keep(const OffloadPool& whose, Task task) {
  std::lock_guard lock(shared_->mutex);
  const auto waiting = std::ranges::count(shared_->queue, &whose, &Shared::Waiting::whose);
  const uint64_t most = uint64_t{whose.max_threads_} + whose.queue_limit_;
  if (shared_->closed || static_cast<uint64_t>(waiting) >= most) return false;
  shared_->queue.push_back({std::move(task), &whose});
  return true;
}

bool OffloadPool::try_submit_to(OffloadPool& other, Task task) {
  LASTCALL_CHECK(static_cast<bool>(task));
  if (max_threads_ == 0) return keep(other, std::move(task));
  {
    std::lock_guard lock(shared_->mutex);
    if (shared_->closed) return false;
    ++shared_->lent;
  }
  // The ledger outlives this pool where join_until() gave up.
  const bool taken = other.try_submit([shared = shared_, work = std::move(task)]() mutable {
    if (shared->begin) shared->begin();
    run_and_destroy(std::move(work));
    shared->took_back();
  });
  if (!taken) shared_->took_back();
  return taken;
}

bool OffloadPool::start_thread() {
  SignalsBlocked blocked;
  try {
    const auto index = static_cast<uint32_t>(threads_->size());
    threads_->emplace_back([shared = shared_, index] { run(shared, index); });
  } catch (const std::system_error&) {  // EAGAIN: the limit of threads of this user or cgroup
    return false;
  }
  return true;
}

void OffloadPool::run(const std::shared_ptr<Shared>& shared, uint32_t index) {
  set_thread_name(shared->name + "-" + std::to_string(index));
  if (shared->begin) shared->begin();
  std::unique_lock lock(shared->mutex);
  while (true) {
    shared->work.wait(lock, [&] { return shared->closed || !shared->queue.empty(); });
    if (shared->queue.empty()) return;
    Task task = std::move(shared->queue.front().task);
    shared->queue.pop_front();
    ++shared->running;
    lock.unlock();
    run_and_destroy(std::move(task));
    lock.lock();
    --shared->running;
    if (shared->closed && shared->done()) shared->finished.notify_all();
  }
}

bool OffloadPool::run_one() {
  if (max_threads_ != 0) return false;
  std::unique_lock lock(shared_->mutex);
  if (shared_->queue.empty()) return false;
  Task task = std::move(shared_->queue.front().task);
  shared_->queue.pop_front();
  lock.unlock();
  run_and_destroy(std::move(task));
  return true;
}

void OffloadPool::close() noexcept {
  std::lock_guard lock(shared_->mutex);
  shared_->closed = true;
  shared_->work.notify_all();
}

bool OffloadPool::join_until(Instant deadline) {
  LASTCALL_CHECK(!std::exchange(joined_, true));
  close();
  std::deque<Shared::Waiting>
      unrun;  // destroyed after the lock is given back: its destructors are the caller's code
  std::unique_lock lock(shared_->mutex);
  auto done = [&] { return max_threads_ == 0 || shared_->done(); };
  const bool in_time = deadline == kNever ? (shared_->finished.wait(lock, done), true)
                                          : shared_->finished.wait_until(lock, to_steady(deadline), done);
  unrun.swap(shared_->queue);
  const std::unique_ptr<Threads> threads = std::exchange(threads_, std::make_unique<Threads>());
  lock.unlock();
  for (std::thread& thread : *threads) in_time ? thread.join() : thread.detach();
  return in_time;
}

uint32_t OffloadPool::queued() const noexcept {
  std::lock_guard lock(shared_->mutex);
  return static_cast<uint32_t>(shared_->queue.size());
}

uint32_t OffloadPool::running() const noexcept {
  std::lock_guard lock(shared_->mutex);
  return shared_->running + shared_->lent;
}

uint32_t OffloadPool::threads() const noexcept {
  std::lock_guard lock(shared_->mutex);
  return static_cast<uint32_t>(threads_->size());
}

}  // namespace lastcall
