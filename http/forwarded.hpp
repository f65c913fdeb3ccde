#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include <lastcall/http/client_address.hpp>
#include <lastcall/http/forwarded_header.hpp>
#include <lastcall/http/request_head.hpp>
#include <lastcall/net/peer_address.hpp>
#include <lastcall/net/trusted_proxies.hpp>

namespace lastcall {

inline constexpr size_t kMaxForwardedBytes = 4096;   ///< of a field that is looked at
inline constexpr size_t kMaxForwardedElements = 64;  ///< that are looked at, of all fields together

/// Whom the fields of a request name as its client.
struct ForwardedClient {
  enum class Outcome : uint8_t { none, found, malformed };

  Outcome outcome = Outcome::none;
  PeerAddress address{};  ///< port 0: not known
  std::string name{};     ///< where there is no address: "unknown", "_hidden"; empty else

  [[nodiscard]] ClientAddress client() const;
};

/// From the right, where the nearest proxy has written: who is trusted is a proxy too, and the first who is
/// not is the client; where all are, the leftmost. What is left of the client it may have written itself:
/// that is not looked at (of Forwarded, but for where the elements of its field begin and end). Only for
/// requests from a trusted proxy. Takes memory for a name of more than 15 bytes only.
[[nodiscard]] ForwardedClient find_client(std::span<const Field> fields, ForwardedHeader header,
                                          const TrustedProxies& trusted);

}  // namespace lastcall
