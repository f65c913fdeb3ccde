#include <chrono>
#include <utility>

#include <lastcall/core/thread.hpp>
#include <lastcall/http/reload_thread.hpp>

namespace lastcall {

ReloadThread::ReloadThread(std::move_only_function<void()> reload)
    : reload_(std::move(reload)), thread_([this] { run(); }) {}

ReloadThread::~ReloadThread() {
  close();
  quit();
}

/// It lives until here: a thread that has ended and was not joined is a leak to those who look for them.
void ReloadThread::quit() {
  {
    const std::lock_guard lock(mutex_);
    quit_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

bool ReloadThread::request() {
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return false;
    wanted_ = true;
  }
  changed_.notify_all();
  return true;
}

void ReloadThread::close() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  changed_.notify_all();
}

bool ReloadThread::wait_until(Instant deadline) {
  {
    std::unique_lock lock(mutex_);
    // libstdc++'s steady_clock is CLOCK_MONOTONIC.
    const auto limit = std::chrono::steady_clock::time_point(deadline.time_since_epoch());
    if (!changed_.wait_until(lock, limit, [this] { return !busy_; })) return false;
  }
  quit();
  return true;
}

void ReloadThread::run() {
  set_thread_name("reload");
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return (wanted_ && !closed_) || quit_; });
    if (quit_) return;
    wanted_ = false;
    busy_ = true;
    lock.unlock();
    reload_();
    lock.lock();
    busy_ = false;
    changed_.notify_all();
  }
}

}  // namespace lastcall
