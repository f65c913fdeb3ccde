#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <lastcall/core/error.hpp>
#include <lastcall/core/fd.hpp>
#include <lastcall/net/address.hpp>

namespace lastcall {

/// Sockets that the service manager has opened and passed to this process: sd_listen_fds(3).
class PassedSockets {
 public:
  static constexpr int kFirst = 3;           ///< SD_LISTEN_FDS_START
  static constexpr int kMostSockets = 1024;  ///< that may be passed; with more none is taken

  PassedSockets() = default;  ///< none
  /// Reads LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES and removes them, so that no child takes them for its
  /// own, and makes the descriptors close-on-exec. None where they are another process's; what makes no sense
  /// is logged. Not while another thread reads the environment: call it before there are others.
  [[nodiscard]] static PassedSockets take();

  /// The addresses that one text stands for. "fd:NAME", where NAME begins with a letter or '_': all sockets
  /// that were passed with that name, in their order; an error says which were passed. Everything else is
  /// what parse_address() makes of it. Each is to be opened, or is closed by nobody.
  [[nodiscard]] Result<std::vector<Address>> resolve(std::string_view text);
  /// "fd:NAME", and not "fd:N".
  [[nodiscard]] static bool is_named(std::string_view address) noexcept;
  /// The first with exactly this name, now the caller's; none: an empty one.
  [[nodiscard]] Fd take_one(std::string_view name);
  /// Of those that nobody has asked for so far.
  [[nodiscard]] std::vector<std::string> names() const;
  /// What nobody has asked for is closed, and named in the log.
  void close_rest();

 private:
  struct Passed {
    Fd socket;
    std::string name;
  };

  std::vector<Passed> passed_;  // a socket that was asked for is gone from it
  std::string names_;           // of all, for messages
};

}  // namespace lastcall
