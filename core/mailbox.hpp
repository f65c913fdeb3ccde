#pragma once

#include <sys/eventfd.h>

#include <cerrno>
#include <functional>
#include <mutex>
#include <system_error>
#include <utility>
#include <vector>

#include <lastcall/core/fd.hpp>

namespace lastcall {

/// How other threads talk to a reactor: they post, an eventfd wakes it, it runs what was posted in order, on
/// its thread.
class Mailbox {
 public:
  using Message = std::move_only_function<void()>;

  Mailbox() : wake_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    if (!wake_) throw std::system_error(errno, std::generic_category(), "eventfd");
  }

  /// From any thread. False when the mailbox is closed; the message is then destroyed unrun.
  bool post(Message message) {
    {
      std::lock_guard lock(mutex_);
      if (closed_) return false;
      messages_.push_back(std::move(message));
      if (messages_.size() > 1) return true;  // whoever put the first one rang
    }
    uint64_t one = 1;
    [[maybe_unused]] ssize_t written = ::write(wake_.get(), &one, sizeof one);
    return true;
  }

  /// Runs what has been posted so far; what these messages post runs in the next call. False when there was
  /// nothing. Owner thread only.
  bool run_all() {
    std::vector<Message> batch;
    {
      std::lock_guard lock(mutex_);
      batch.swap(messages_);
    }
    for (Message& message : batch) message();
    return !batch.empty();
  }

  /// Refuses messages from now on; run_all() still runs what came before. Owner thread only.
  void close() {
    std::lock_guard lock(mutex_);
    closed_ = true;
  }

  [[nodiscard]] int wake_fd() const noexcept { return wake_.get(); }  ///< to be watched, never read

 private:
  std::mutex mutex_;
  std::vector<Message> messages_;
  bool closed_ = false;
  Fd wake_;
};

}  // namespace lastcall
