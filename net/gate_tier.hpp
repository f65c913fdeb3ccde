#pragma once

#include <cstdint>
#include <string_view>

namespace lastcall {

/// How newcomers are kept from a listener that is about to close, so that nobody is in its queue then.
enum class GateTier : uint8_t {
  parking,  ///< new handshakes are led to a ParkingListener, the group's first member, and try again a second
            ///< later
  syn_filter,   ///< each listener drops SYNs; needs CAP_NET_ADMIN
  unix_socket,  ///< connect(2) is refused from one instant on (shutdown(2) of the listener), the queue is
                ///< served
  plain,        ///< the queue is served and closed: who connects between the two is reset
  handed_over,  ///< nobody is kept away: the listener lives on in the process that replaces this one
};
/// "parking", "syn_filter", "unix", "plain", "handed_over". Static storage.
[[nodiscard]] std::string_view to_string(GateTier tier) noexcept;

}  // namespace lastcall
