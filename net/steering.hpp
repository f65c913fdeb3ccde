#pragma once

#include <cstdint>
#include <span>

#include <lastcall/core/error.hpp>

namespace lastcall {

// Programs of classic BPF that decide what becomes of a new TCP connection. Each goes to the kernel with one
// setsockopt(2), and replaces the one before.

/// Which member of a SO_REUSEPORT group gets a connection (SO_ATTACH_REUSEPORT_CBPF, socket(7); no privilege
/// needed): members 1 to `reactors` by a hash of the client's address and port, or, with `cpus`, the member 1
/// + i if the packet came in on CPU cpus[i]. Member 0 gets none; where there is no parking listener, reactors
/// count from `first` = 0. `fd`: any member of the group.
[[nodiscard]] Result<void> steer_to_reactors(int fd, uint32_t reactors, std::span<const uint32_t> cpus,
                                             uint32_t first = 1);

/// The same, but a SYN goes to member 0. What ends a handshake that is under way (by SYN cookie: others do
/// not ask the program) goes where it went before.
[[nodiscard]] Result<void> steer_syns_aside(int fd, uint32_t reactors, std::span<const uint32_t> cpus);

/// As steer_to_reactors, but who comes from `client_port`, whatever the address, goes to member 0.
[[nodiscard]] Result<void> steer_port_aside(int fd, uint32_t reactors, std::span<const uint32_t> cpus,
                                            uint16_t client_port);

/// Drops each SYN that comes to the listening socket (SO_ATTACH_FILTER): needs CAP_NET_ADMIN. Connections
/// inherit the filter, and no other packet of theirs is touched by it.
[[nodiscard]] Result<void> drop_syns(int fd);
/// Whether drop_syns() would be allowed.
[[nodiscard]] Result<void> can_drop_syns();

}  // namespace lastcall
