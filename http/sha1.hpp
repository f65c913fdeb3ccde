#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace lastcall {

/// SHA-1 (RFC 3174), for what RFC 6455 4.2.2 wants of it: proof that a handshake was understood. Nothing here
/// is a secret. By hand, since a crypto library of 5 MB in every process is much for one block a WebSocket.
[[nodiscard]] std::array<uint8_t, 20> sha1(std::string_view bytes);

/// Base64 with padding (RFC 4648 4).
[[nodiscard]] std::string base64(std::string_view bytes);

}  // namespace lastcall
