#pragma once

#include <sys/types.h>

#include <condition_variable>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <lastcall/core/fd.hpp>
#include <lastcall/core/time.hpp>

namespace lastcall {

/// What a process is started with.
struct ProcessOptions {
  std::vector<std::string> environment = {};  ///< "NAME=value", on top of the test's own without LASTCALL_*
  std::vector<std::pair<int, int>> inherited =
      {};                      ///< a descriptor of the test, and its number in the process
  uint64_t descriptors = 0;    ///< RLIMIT_NOFILE, soft and hard; 0: as here
  bool deny_io_uring = false;  ///< io_uring_setup(2) fails with EPERM, as under container runtimes
};

/// A program under test in a process of its own. Collects what it writes; kills it when destroyed, and the
/// kernel does so should the test die first. For one thread of the test.
class ServerProcess {
 public:
  /// Starts `program`; the arguments come without its name.
  ServerProcess(const std::string& program, std::vector<std::string> arguments, ProcessOptions options = {});
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;
  ~ServerProcess();

  [[nodiscard]] pid_t pid() const noexcept { return pid_; }
  void signal(int number) const { ::kill(pid_, number); }

  /// Waits until standard error holds a complete line with `text` in it: the first such line, or nothing when
  /// the process ended or the time ran out before.
  [[nodiscard]] std::optional<std::string> wait_for_line(std::string_view text,
                                                         Duration patience = 20s) const;
  /// The same for the log line of an event, in either format.
  [[nodiscard]] std::optional<std::string> wait_for_event(std::string_view name,
                                                          Duration patience = 20s) const;
  /// The addresses of the `listening` events so far.
  [[nodiscard]] std::vector<std::string> addresses() const;
  /// Exit code, or 128 + signal number; nothing when it still runs after `patience`.
  [[nodiscard]] std::optional<int> wait_exit(Duration patience = 30s);

  /// The process has been told to replace itself: waits for its end, and is about its successor from here on.
  /// Returns the exit code of the former; nothing, with everything as it was, when no successor became ready
  /// or the former does not end.
  [[nodiscard]] std::optional<int> follow(Duration patience = 30s);

  [[nodiscard]] std::string standard_output() const { return output_.text(); }
  [[nodiscard]] std::string log() const { return errors_.text(); }  ///< standard error

  // From /proc, as long as it runs.
  [[nodiscard]] size_t descriptors() const;
  [[nodiscard]] Duration cpu_time() const;         ///< user and system, in steps of 10 ms
  [[nodiscard]] bool is_stopped() const;           ///< by SIGSTOP, with all of its threads
  [[nodiscard]] size_t peak_memory_bytes() const;  ///< VmHWM

 private:
  /// Reads a pipe to its end on a thread of its own, so that the process never waits for the test.
  class Collector {
   public:
    void start(Fd pipe);
    void finish() { thread_.join(); }  ///< when the process is gone: reads what is left
    [[nodiscard]] std::string text() const;
    [[nodiscard]] std::optional<std::string> wait_for(
        const std::function<bool(std::string_view line)>& wanted, Duration patience) const;

   private:
    void run();

    Fd pipe_;
    mutable std::mutex mutex_;
    mutable std::condition_variable changed_;
    std::string text_;
    bool ended_ = false;
    std::jthread thread_;
  };

  pid_t pid_ = -1;
  Fd process_;  // pidfd
  std::optional<int> exit_code_;
  Collector output_;
  Collector errors_;
};

/// The value of `key` in a line of either log format; empty when it is not there.
[[nodiscard]] std::string log_field(std::string_view line, std::string_view key);

}  // namespace lastcall
