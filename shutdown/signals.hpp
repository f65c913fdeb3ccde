#pragma once

#include <csignal>
#include <optional>
#include <string>

#include <lastcall/core/fd.hpp>

namespace lastcall {

/// TERM INT QUIT HUP USR1 USR2 as a descriptor. Make it before any thread starts, since threads inherit the
/// mask and an unblocked thread would be killed; destroy it on the same thread, where what is then pending is
/// delivered.
class Signals {
 public:
  /// Blocks the signals in the calling thread and ignores SIGPIPE, which stays ignored: threads may still be
  /// writing. Throws std::system_error when the process has no descriptors left.
  Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;
  /// Gives the calling thread its former mask back.
  ~Signals();

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }  ///< readable while a signal is pending
  /// Takes one pending signal, never waits. Equal signals that were sent before one is taken may be one
  /// (signal(7)).
  [[nodiscard]] std::optional<int> next() noexcept;

 private:
  sigset_t former_;
  Fd fd_;
};

/// "SIGTERM".
[[nodiscard]] std::string signal_name(int number);

}  // namespace lastcall
