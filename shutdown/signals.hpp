#pragma once

#include <array>
#include <csignal>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <lastcall/core/fd.hpp>

namespace lastcall {

/// Signals as a descriptor, TERM INT QUIT HUP USR1 USR2 or some of them, for the thread that makes it: it
/// alone may ask next() and destroy it, where what is then pending is delivered. Threads that it makes
/// afterwards inherit its mask and see none of the signals; threads that were there before pass theirs on to
/// it. Of several, the newest gets what others pass on.
class Signals {
 public:
  static constexpr std::array kAll = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2};

  /// Blocks the signals in the calling thread, catches them in all others, unless they are ignored, and
  /// ignores SIGPIPE, which stays ignored: threads may still be writing. Other signals stay as they are.
  /// Throws std::system_error when the process has no descriptors left.
  explicit Signals(std::span<const int> handled = kAll);
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;
  /// Gives the calling thread its former mask, and the process its former actions.
  ~Signals();

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }  ///< readable while a signal is pending
  /// Takes one pending signal, never waits. Equal signals that were sent before one is taken may be one
  /// (signal(7)).
  [[nodiscard]] std::optional<int> next() noexcept;
  /// From here on those of TERM, INT and QUIT that it handles end the process by _exit(exit_code), also while
  /// this thread waits for something; what is pending is dropped. By the thread that made it.
  void leave_on_next(int exit_code) noexcept;

 private:
  std::vector<int> handled_;
  sigset_t former_;
  std::vector<struct sigaction> former_actions_;
  Fd fd_;
};

/// "SIGTERM".
[[nodiscard]] std::string signal_name(int number);

}  // namespace lastcall
