#include <netinet/in.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <thread>

#include <lastcall/core/time.hpp>
#include <lastcall/net/parking.hpp>
#include <lastcall/net/socket.hpp>
#include <lastcall/net/tcp_table.hpp>

namespace lastcall {
namespace {

constexpr int kFillAttempts = 8;
constexpr int kStrayBacklog = 128;
constexpr int kConnectTimeoutMs = 20;  // to ourselves: the kernel does it before connect(2) returns
constexpr int kLooksForHandshakes = 50;
constexpr Duration kLookAgain = 1ms;

/// Where a socket of this host reaches the listener: its own address, or the loopback one for the any
/// address.
SocketAddress reachable(SocketAddress address) {
  if (address.storage.ss_family == AF_INET) {
    auto& inet = reinterpret_cast<sockaddr_in&>(address.storage);
    if (inet.sin_addr.s_addr == htonl(INADDR_ANY)) inet.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  } else {
    auto& inet6 = reinterpret_cast<sockaddr_in6&>(address.storage);
    if (IN6_IS_ADDR_UNSPECIFIED(&inet6.sin6_addr)) inet6.sin6_addr = in6addr_loopback;
  }
  return address;
}

SocketAddress ipv4_loopback(uint16_t port) {
  SocketAddress address;
  auto& inet = reinterpret_cast<sockaddr_in&>(address.storage);
  inet.sin_family = AF_INET;
  inet.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  inet.sin_port = htons(port);
  address.length = sizeof inet;
  return address;
}

Result<Fd> connect_to(const SocketAddress& address) {
  Fd socket(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return system_error("socket", errno);
  if (::connect(socket.get(), address.get(), address.length) == 0) return socket;
  if (errno != EINPROGRESS) return system_error("connect to ourselves", errno);
  pollfd connected{.fd = socket.get(), .events = POLLOUT, .revents = 0};
  if (::poll(&connected, 1, kConnectTimeoutMs) != 1) return system_error("connect to ourselves", ETIMEDOUT);
  const Result<int> failed = socket_option(socket.get(), SO_ERROR);
  if (!failed || *failed != 0)
    return system_error("connect to ourselves", failed ? *failed : failed.error().code);
  return socket;
}

/// Is `filler` in the queue of the listener, and nobody else, not even in a handshake?
Result<bool> is_alone(int listener, int filler, uint16_t port) {
  const Result<uint8_t> state = state_of_other_end(filler);
  const Result<uint32_t> queued = accept_queue_length(listener);
  const Result<bool> more = handshakes_under_way({&port, 1});
  if (state && queued && more) return *state == TcpRow::established && *queued == 1 && !*more;
  // Without sock_diag: each row of the table.
  const Result<SocketAddress> ours = local_address(filler);
  if (!ours) return std::unexpected(ours.error());
  const Result<std::vector<TcpRow>> rows = read_tcp_table(port);
  if (!rows) return std::unexpected(rows.error());
  bool filled = false;
  bool stranger = false;
  for (const TcpRow& row : *rows) {
    if (row.waits_for_accept()) (row.remote_port == ours->port() ? filled : stranger) = true;
  }
  return filled && !stranger;
}

/// Everybody in the queue, waiting for those who are still shaking hands.
std::vector<Fd> empty_queue(int listener, uint16_t port) {
  for (int looks = 0; looks < kLooksForHandshakes; ++looks) {
    if (!handshakes_under_way({&port, 1}).value_or(false)) break;
    std::this_thread::sleep_for(kLookAgain);
  }
  std::vector<Fd> accepted;
  pollfd readable{.fd = listener, .events = POLLIN, .revents = 0};
  while (::poll(&readable, 1, 0) == 1) {
    Fd connection(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
    if (!connection) break;
    accepted.push_back(std::move(connection));
  }
  return accepted;
}

uint16_t remote_port(int fd) {
  SocketAddress peer;
  peer.length = sizeof peer.storage;
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&peer.storage), &peer.length) != 0) return 0;
  return peer.port();
}

}  // namespace

Result<ParkingListener> ParkingListener::open(Fd bound) {
  ParkingListener parking;
  parking.listener_ = std::move(bound);
  for (int attempts = 0; attempts < kFillAttempts; ++attempts) {
    const Result<bool> filled = parking.fill();
    if (!filled) return std::unexpected(filled.error());
    if (*filled) return parking;
  }
  return error("parking listener: others are always faster");
}

/// False when somebody else was in the queue; the queue is empty then.
Result<bool> ParkingListener::fill() {
  if (::listen(listener_.get(), 0) != 0) return system_error("listen", errno);
  const Result<SocketAddress> local = local_address(listener_.get());
  if (!local) return std::unexpected(local.error());
  Result<Fd> filler = connect_to(reachable(*local));
  if (!filler && local->storage.ss_family == AF_INET6) filler = connect_to(ipv4_loopback(local->port()));
  if (!filler && filler.error().code != ETIMEDOUT) return std::unexpected(filler.error());
  uint16_t our_port = 0;
  if (filler) {
    filler_ = std::move(*filler);
    const Result<SocketAddress> ours = local_address(filler_.get());
    if (!ours) return std::unexpected(ours.error());
    our_port = ours->port();
    const Result<bool> alone = is_alone(listener_.get(), filler_.get(), local->port());
    if (!alone || *alone) return alone;
  }

  if (::listen(listener_.get(), kStrayBacklog) != 0) return system_error("listen", errno);
  for (Fd& connection : empty_queue(listener_.get(), local->port())) {
    if (remote_port(connection.get()) != our_port) strays_.push_back(std::move(connection));
  }
  return false;
}

}  // namespace lastcall
