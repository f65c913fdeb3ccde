#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <lastcall/http/method.hpp>
#include <lastcall/http/request_head.hpp>

namespace lastcall {

/// What a server asks of a WebSocket handshake.
struct WebSocketRules {
  /// Origins that may connect, as browsers send them ("https://example.org"); empty: all. A request without
  /// Origin comes from no browser, and may.
  std::span<const std::string> allowed_origins;
  /// Subprotocols, the favourite first: the first one that the client offers is chosen.
  std::span<const std::string> subprotocols;
};

/// The verdict on a client's handshake (RFC 6455 4.2).
struct WebSocketHandshake {
  uint16_t status = 101;    ///< 400, 403 or 426 where it is refused
  const char* what = "";    ///< why; static
  std::string accept;       ///< Sec-WebSocket-Accept
  std::string subprotocol;  ///< Sec-WebSocket-Protocol; empty for none

  [[nodiscard]] bool accepted() const noexcept { return status == 101; }
};

inline constexpr std::string_view kWebSocketVersion = "13";
/// Subprotocols that a client may offer; 400 beyond.
inline constexpr size_t kMaxOfferedSubprotocols = 32;

/// Judges a request by its method, minor version of HTTP and fields.
[[nodiscard]] WebSocketHandshake judge_handshake(Method method, int version_minor,
                                                 std::span<const Field> fields, const WebSocketRules& rules);

/// Sec-WebSocket-Accept for a Sec-WebSocket-Key (RFC 6455 4.2.2).
[[nodiscard]] std::string websocket_accept(std::string_view key);

}  // namespace lastcall
