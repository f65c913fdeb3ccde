#pragma once

#include <cstdint>

namespace lastcall {

/// Which field of a request a trusted proxy names its client in. One of them only: what a proxy does not
/// write it passes on as its client sent it, so a second one would be anybody's word.
enum class ForwardedHeader : uint8_t {
  off,              ///< none: the client is the other end of the connection
  x_forwarded_for,  ///< X-Forwarded-For: addresses, each proxy adds the one it was asked by
  forwarded,        ///< Forwarded, RFC 7239: its `for` parameters
};

}  // namespace lastcall
