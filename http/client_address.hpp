#pragma once

#include <cstdint>
#include <string>

namespace lastcall {

/// Who asks, as far as can be known: the other end of the connection, or whom trusted proxies name.
struct ClientAddress {
  /// "203.0.113.7", "2001:db8::1", "unix:", "?"; or what a proxy says in its place (RFC 7239 6): "unknown",
  /// "_hidden".
  std::string address;
  uint16_t port = 0;  ///< 0: not known

  /// "203.0.113.7", "203.0.113.7:53124", "[2001:db8::1]:53124".
  [[nodiscard]] std::string text() const;
};

}  // namespace lastcall
