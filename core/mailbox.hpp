#pragma once

#include <functional>
#include <mutex>
#include <vector>

#include <lastcall/core/fd.hpp>

namespace lastcall {

/// How other threads talk to a reactor: they post, an eventfd wakes it, it runs what was posted in order, on
/// its thread.
class Mailbox {
 public:
  using Message = std::move_only_function<void()>;

  Mailbox();  ///< throws std::system_error when the process has no descriptors left
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;
  ~Mailbox();

  /// From any thread. False when the mailbox is closed; the message is then destroyed unrun.
  bool post(Message message);
  /// Runs what has been posted so far; what these messages post runs in the next call. False when there was
  /// nothing. Owner thread only.
  bool run_all();
  /// Refuses messages from now on; run_all() still runs what came before. Owner thread only.
  void close();
  [[nodiscard]] int wake_fd() const noexcept { return wake_.get(); }  ///< to be watched, never read

 private:
  std::mutex mutex_;
  std::vector<Message> messages_;
  bool closed_ = false;
  Fd wake_;
};

}  // namespace lastcall
