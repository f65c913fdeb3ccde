#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include <lastcall/net/peer_address.hpp>

namespace lastcall {

inline constexpr size_t kMaxProxyLineBytes = 107;     ///< version 1 with its CRLF (proxy-protocol.txt, 2.1)
inline constexpr size_t kMaxProxyHeaderBytes = 4096;  ///< version 2 with addresses and TLVs

/// What stands at the front of a connection by HAProxy's PROXY protocol.
struct ProxyHeader {
  enum class Outcome : uint8_t { incomplete, complete, refused };

  Outcome outcome = Outcome::incomplete;
  size_t length = 0;     ///< complete: bytes of the header
  PeerAddress source{};  ///< complete: whom the proxy speaks for; unknown: itself (LOCAL, UNKNOWN, a socket)
  const char* what = nullptr;  ///< refused: why; static
};

/// Reads versions 1 and 2 (https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt) from all that has
/// come so far. What does not begin as one is refused at its first wrong byte, what is too long as soon as
/// that is known: so `incomplete` never holds more than kMaxProxyHeaderBytes. Only streams over TCP and Unix
/// sockets; TLVs are checked to fit and skipped. Takes no memory.
[[nodiscard]] ProxyHeader parse_proxy_header(std::string_view bytes) noexcept;

}  // namespace lastcall
