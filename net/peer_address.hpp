#pragma once

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace lastcall {

/// The other end of a connection, as far as it has an address. IPv4 is kept as ::ffff:a.b.c.d, so that one
/// peer has one form, whichever listener it comes to.
struct PeerAddress {
  enum class Kind : uint8_t { unknown, ipv4, ipv6, local };  // local: a Unix socket

  std::array<uint8_t, 16> bytes{};  ///< ipv4 and ipv6; zero else
  uint32_t scope = 0;               ///< of a link-local IPv6 address
  uint16_t port = 0;
  Kind kind = Kind::unknown;

  [[nodiscard]] bool has_ip() const noexcept { return kind == Kind::ipv4 || kind == Kind::ipv6; }
  /// "192.0.2.1:53124", "[2001:db8::1]:53124", "unix:", "?" when unknown.
  [[nodiscard]] std::string text() const;
  /// Without port or brackets: "192.0.2.1", "2001:db8::1", "unix:", "?".
  [[nodiscard]] std::string host() const;

  friend bool operator==(const PeerAddress&, const PeerAddress&) = default;
};

[[nodiscard]] PeerAddress make_peer_address(const sockaddr* address, socklen_t length) noexcept;
/// Of a connected socket; unknown when it is gone. One system call.
[[nodiscard]] PeerAddress read_peer_address(int fd) noexcept;
/// "192.0.2.1" or "2001:db8::1", nothing around it, no zone; port 0. Takes no memory.
[[nodiscard]] std::optional<PeerAddress> parse_ip(std::string_view text) noexcept;
/// What text() writes, but for scopes: with a port, or of a Unix socket.
[[nodiscard]] std::optional<PeerAddress> parse_peer(std::string_view text) noexcept;
/// A whole decimal number of 0 to 65535 without leading zeros.
[[nodiscard]] std::optional<uint16_t> parse_port(std::string_view digits) noexcept;

}  // namespace lastcall
