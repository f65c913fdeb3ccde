#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include <lastcall/core/time.hpp>

namespace lastcall {

/// Reads the configuration again when asked to, on a thread of its own: that may take its time, and neither
/// the runner nor a reactor waits for it.
class ReloadThread {
 public:
  /// `reload` must not throw. Throws std::system_error when the process may not have another thread.
  explicit ReloadThread(std::move_only_function<void()> reload);
  ReloadThread(const ReloadThread&) = delete;
  ReloadThread& operator=(const ReloadThread&) = delete;
  ~ReloadThread();  ///< waits for what is under way

  /// From any thread. However often it is asked while one reload is under way, one more follows, which sees
  /// all that was written before. False after close(): nothing happens.
  bool request();
  /// None begins from here on. From any thread.
  void close();
  /// After close(): false when one is still under way at the deadline. Then this object must live for ever.
  [[nodiscard]] bool wait_until(Instant deadline);

 private:
  void run();
  void quit();

  std::move_only_function<void()> reload_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool wanted_ = false;
  bool closed_ = false;
  bool busy_ = false;
  bool quit_ = false;
  std::thread thread_;
};

}  // namespace lastcall
