#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace lastcall {

/// Why a client was turned away without having been served.
enum class TurnedAway : uint8_t {
  max_connections,      ///< a connection: there are as many as may be
  per_client,           ///< a connection: its client has as many as it may
  in_flight,            ///< a request: there are as many as may be
  untrusted_proxy,      ///< a connection that was to begin with a PROXY header, from somebody not trusted
  bad_proxy_header,     ///< … from a trusted one, without such a header
  bad_forwarded_header  ///< a request: a trusted proxy names its client in a way that nobody can read
};
inline constexpr size_t kTurnedAwayReasons = 6;

[[nodiscard]] constexpr std::string_view to_string(TurnedAway reason) noexcept {
  constexpr std::array<std::string_view, kTurnedAwayReasons> kNames = {
      "max_connections", "per_client",       "in_flight",
      "untrusted_proxy", "bad_proxy_header", "bad_forwarded_header"};
  return kNames[static_cast<size_t>(reason)];
}

/// How many, by reason.
using TurnedAwayCounters = std::array<std::atomic<uint64_t>, kTurnedAwayReasons>;

}  // namespace lastcall
