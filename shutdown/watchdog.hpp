#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>

#include <lastcall/core/time.hpp>

namespace lastcall {

/// Ends the process by _exit(2) when its time is up, whatever any other thread is stuck in: a write to a pipe
/// that nobody reads, a lock, the end of static objects. Its thread does nothing else; no log line, for that
/// could be what is stuck. When it wakes up more than 50 ms late, the whole process was held, and the others
/// get 200 ms more, once. There is no thread before arm().
class Watchdog {
 public:
  Watchdog() = default;
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;
  /// Calls it off.
  ~Watchdog();

  /// The process is gone at `instant`. A later call moves it. Throws std::system_error when the process may
  /// not have another thread.
  void arm(Instant instant);
  /// What it exits with; 2 unless told otherwise. Any thread.
  void exit_with(int code);

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable changed_;
  Instant instant_ = kNever;
  int exit_code_ = 2;
  bool over_ = false;
  std::thread thread_;
};

}  // namespace lastcall
