#pragma once

#include <sys/socket.h>

#include <string>

#include <lastcall/core/error.hpp>
#include <lastcall/core/fd.hpp>
#include <lastcall/core/time.hpp>

namespace lastcall {

/// A stream socket of `family`, close-on-exec. Blocking: a backend sets what it needs when it starts on it.
[[nodiscard]] Result<Fd> make_stream_socket(int family);

// Socket options, the only ones net sets. Errors name the option.

[[nodiscard]] Result<void> set_reuse_address(int fd);  ///< bind in spite of TIME_WAIT
[[nodiscard]] Result<void> set_reuse_port(int fd);  ///< share the port with others of this user that ask too
[[nodiscard]] Result<void> set_v6_only(int fd, bool only);  ///< false: the IPv6 any address takes IPv4 too
[[nodiscard]] Result<void> set_no_delay(int fd);     ///< TCP; accepted sockets inherit it from the listener
[[nodiscard]] Result<void> set_linger_zero(int fd);  ///< close(2) sends RST and forgets unsent bytes
[[nodiscard]] Result<void> set_user_timeout(int fd,
                                            Duration);  ///< TCP: how long sent bytes may stay unacknowledged

/// The value of a SOL_SOCKET option that is an int: SO_TYPE, SO_DOMAIN, SO_ACCEPTCONN, SO_ERROR.
[[nodiscard]] Result<int> socket_option(int fd, int option);

/// What poll(2) knows of the other side: it has ended its stream; or the connection is gone in both
/// directions, reset or ended by both.
enum class PeerState : uint8_t { there, ended, broken };
[[nodiscard]] PeerState peer_state(int fd) noexcept;

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;

  [[nodiscard]] const sockaddr* get() const noexcept { return reinterpret_cast<const sockaddr*>(&storage); }
  [[nodiscard]] uint16_t port() const noexcept;  ///< 0 when it is no IP address
};

[[nodiscard]] Result<SocketAddress> local_address(int fd);

}  // namespace lastcall
