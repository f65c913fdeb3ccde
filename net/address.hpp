#pragma once

#include <sys/socket.h>

#include <string>
#include <string_view>

#include <lastcall/core/error.hpp>

namespace lastcall {

/// A place to listen on.
struct Address {
  enum class Kind { inet, unix_path, inherited };

  Kind kind = Kind::inet;
  sockaddr_storage storage{};  ///< inet and unix_path
  socklen_t length = 0;
  bool dual_stack = false;  ///< ":PORT": IPv6 any address that takes IPv4 too
  int fd = -1;              ///< inherited
  std::string text;         ///< as given, for messages

  [[nodiscard]] uint16_t port() const noexcept;  ///< 0 for unix_path
};

/// HOST:PORT, [::1]:PORT, :PORT (dual stack), unix:PATH, fd:N. HOST is numeric or a name that resolves (first
/// address). Errors say what is wrong with which address.
[[nodiscard]] Result<Address> parse_address(std::string_view text);

/// "127.0.0.1:8080", "[::1]:8080", "unix:/run/x.sock" ("unix:" when unnamed).
[[nodiscard]] std::string format_address(const sockaddr* address, socklen_t length);
/// The peer of a connected socket, or "?" when it is gone.
[[nodiscard]] std::string peer_address(int fd);

}  // namespace lastcall
