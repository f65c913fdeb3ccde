#include <netinet/in.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <thread>

#include <lastcall/core/time.hpp>
#include <lastcall/net/parking.hpp>
#include <lastcall/net/socket.hpp>
#include <lastcall/net/steering.hpp>
#include <lastcall/net/tcp_table.hpp>

namespace lastcall {
namespace {

constexpr int kFillAttempts = 8;
constexpr int kConnectTimeoutMs = 20;     // to ourselves: the kernel does it before connect(2) returns
constexpr int kLooksForHandshakes = 200;  // some 200 ms, as the gate waits for them
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

/// A socket of this host with a port of its own, from which `target` can be reached.
Result<Fd> bind_filler(SocketAddress target) {
  Fd socket(::socket(target.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return system_error("socket", errno);
  if (target.storage.ss_family == AF_INET) {
    reinterpret_cast<sockaddr_in&>(target.storage).sin_port = 0;
  } else {
    reinterpret_cast<sockaddr_in6&>(target.storage).sin6_port = 0;
  }
  if (::bind(socket.get(), target.get(), target.length) == 0) return socket;
  // EADDRINUSE, which is of the address to listen on elsewhere, says here that no port is left.
  if (errno == EADDRINUSE) return error("connect to ourselves: no port is free");
  return system_error("connect to ourselves", errno);
}

Result<void> connect_to(int socket, const SocketAddress& target) {
  if (::connect(socket, target.get(), target.length) == 0) return {};
  if (errno != EINPROGRESS) return system_error("connect to ourselves", errno);
  pollfd connected{.fd = socket, .events = POLLOUT, .revents = 0};
  if (::poll(&connected, 1, kConnectTimeoutMs) != 1) return system_error("connect to ourselves", ETIMEDOUT);
  const Result<int> failed = socket_option(socket, SO_ERROR);
  if (!failed) return std::unexpected(failed.error());
  if (*failed != 0) return system_error("connect to ourselves", *failed);
  return {};
}

/// Is there a connection at the other end of `filler`, past its handshake?
Result<bool> is_connected(int filler, uint16_t our_port, uint16_t port) {
  if (const Result<uint8_t> state = state_of_other_end(filler)) return *state == TcpRow::established;
  // Without sock_diag: each row of the table.
  const Result<std::vector<TcpRow>> rows = read_tcp_table(port);
  if (!rows) return std::unexpected(rows.error());
  return std::ranges::any_of(*rows, [our_port](const TcpRow& row) {
    return row.remote_port == our_port && row.state == TcpRow::established && row.waits_for_accept();
  });
}

/// Waits for those who are shaking hands now. Whoever begins later does so with another listener of the
/// group, but which is whose cannot be seen.
void await_handshakes(uint16_t port) {
  std::vector<uint16_t> begun = clients_in_handshake(port).value_or(std::vector<uint16_t>());
  for (int looks = 0; !begun.empty() && looks < kLooksForHandshakes; ++looks) {
    std::this_thread::sleep_for(kLookAgain);
    const std::vector<uint16_t> now = clients_in_handshake(port).value_or(std::vector<uint16_t>());
    std::erase_if(begun, [&now](uint16_t client) { return !std::ranges::binary_search(now, client); });
  }
}

uint16_t remote_port(int fd) {
  SocketAddress peer;
  peer.length = sizeof peer.storage;
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&peer.storage), &peer.length) != 0) return 0;
  return peer.port();
}

}  // namespace

Result<ParkingListener> ParkingListener::listen(Fd bound, int backlog) {
  if (::listen(bound.get(), backlog) != 0) return system_error("listen", errno);
  ParkingListener parking;
  parking.listener_ = std::move(bound);
  parking.backlog_ = backlog;
  return parking;
}

Result<void> ParkingListener::fill(uint32_t reactors, std::span<const uint32_t> cpus) {
  const Result<SocketAddress> local = local_address(listener_.get());
  if (!local) return std::unexpected(local.error());
  take_queue(local->port(), 0);
  for (int attempts = 0; attempts < kFillAttempts; ++attempts) {
    const Result<bool> filled = fill_once(*local, reactors, cpus);
    const Result<void> steered = steer_to_reactors(listener_.get(), reactors, cpus);
    if (!filled) return std::unexpected(filled.error());
    if (!steered || *filled) return steered;
  }
  return error("parking listener: others are always faster");
}

/// Everybody in it becomes a stray, but for the one who comes from `filler_port`.
void ParkingListener::take_queue(uint16_t port, uint16_t filler_port) {
  await_handshakes(port);
  pollfd readable{.fd = listener_.get(), .events = POLLIN, .revents = 0};
  while (::poll(&readable, 1, 0) == 1) {
    Fd connection(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!connection) break;
    if (filler_port == 0 || remote_port(connection.get()) != filler_port)
      strays_.push_back(std::move(connection));
  }
}

/// False when somebody else was in the queue, of those who were led here before; the queue is empty then.
Result<bool> ParkingListener::fill_once(const SocketAddress& local, uint32_t reactors,
                                        std::span<const uint32_t> cpus) {
  SocketAddress target = reachable(local);
  Result<Fd> filler = bind_filler(target);
  if (!filler && local.storage.ss_family == AF_INET6) {
    target = ipv4_loopback(local.port());
    filler = bind_filler(target);
  }
  if (!filler) return std::unexpected(filler.error());
  const Result<SocketAddress> ours = local_address(filler->get());
  if (!ours) return std::unexpected(ours.error());
  auto led = steer_port_aside(listener_.get(), reactors, cpus, ours->port());
  if (!led) return std::unexpected(led.error());

  if (::listen(listener_.get(), 0) != 0) return system_error("listen", errno);
  const Result<void> connected = connect_to(filler->get(), target);
  if (!connected && connected.error().code != ETIMEDOUT) return std::unexpected(connected.error());
  if (connected) {
    const Result<uint32_t> queued = accept_queue_length(listener_.get());
    if (!queued) return std::unexpected(queued.error());
    const Result<bool> inside = is_connected(filler->get(), ours->port(), local.port());
    if (!inside) return inside;
    filler_ = std::move(*filler);
    if (*inside && *queued == 1) return true;
  }
  if (::listen(listener_.get(), backlog_) != 0) return system_error("listen", errno);
  take_queue(local.port(), ours->port());
  return false;
}

}  // namespace lastcall
