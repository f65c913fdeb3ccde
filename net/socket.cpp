#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <climits>

#include <lastcall/net/socket.hpp>

namespace lastcall {
namespace {

template <class T>
Result<void> set_option(int fd, int level, int option, const T& value, const char* name) {
  if (::setsockopt(fd, level, option, &value, sizeof value) == 0) return {};
  return system_error(std::string("set ") + name, errno);
}

}  // namespace

Result<Fd> make_stream_socket(int family) {
  Fd fd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return system_error("socket", errno);
  return fd;
}

Result<void> set_reuse_address(int fd) {
  return set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR");
}

Result<void> set_reuse_port(int fd) {
  return set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1, "SO_REUSEPORT");
}

Result<void> set_v6_only(int fd, bool only) {
  return set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, int{only}, "IPV6_V6ONLY");
}

Result<void> set_no_delay(int fd) {
  return set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY");
}

Result<void> set_linger_zero(int fd) {
  return set_option(fd, SOL_SOCKET, SO_LINGER, linger{.l_onoff = 1, .l_linger = 0}, "SO_LINGER");
}

Result<void> set_user_timeout(int fd, Duration timeout) {
  auto timeout_ms = static_cast<int>(std::clamp<int64_t>(to_ms(timeout), 0, INT_MAX));
  return set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, timeout_ms, "TCP_USER_TIMEOUT");
}

Result<int> socket_option(int fd, int option) {
  int value = 0;
  socklen_t length = sizeof value;
  if (::getsockopt(fd, SOL_SOCKET, option, &value, &length) != 0) return system_error("getsockopt", errno);
  return value;
}

uint16_t SocketAddress::port() const noexcept {
  if (storage.ss_family == AF_INET) return ntohs(reinterpret_cast<const sockaddr_in*>(&storage)->sin_port);
  if (storage.ss_family == AF_INET6) return ntohs(reinterpret_cast<const sockaddr_in6*>(&storage)->sin6_port);
  return 0;
}

Result<SocketAddress> local_address(int fd) {
  SocketAddress address;
  address.length = sizeof address.storage;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address.storage), &address.length) != 0)
    return system_error("getsockname", errno);
  return address;
}

PeerState peer_state(int fd) noexcept {
  pollfd look{.fd = fd, .events = POLLRDHUP, .revents = 0};
  if (::poll(&look, 1, 0) != 1) return PeerState::there;
  if ((look.revents & (POLLERR | POLLHUP)) != 0) return PeerState::broken;
  return (look.revents & POLLRDHUP) != 0 ? PeerState::ended : PeerState::there;
}

}  // namespace lastcall
