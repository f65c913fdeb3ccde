#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <thread>

#include <lastcall/core/check.hpp>
#include <lastcall/core/time.hpp>
#include <lastcall/net/listener.hpp>
#include <lastcall/net/listener_error.hpp>
#include <lastcall/net/socket.hpp>
#include <lastcall/net/steering.hpp>

namespace lastcall {
namespace {

constexpr Duration kHolderMayLinger = 1s;
constexpr Duration kLookAgain = 10ms;

/// The failed bind(2) or listen(2) of an address that somebody else has.
std::unexpected<Error> held_by(const Address& address, int code, const std::string& holder) {
  auto failure = system_error(listening_on(address), code);
  if (code == EADDRINUSE && !holder.empty())
    return std::unexpected(Error{failure.error().message + ": held by " + holder, code});
  return failure;
}

/// The failed bind(2) or listen(2) of a TCP address, with the holder where there is one.
std::unexpected<Error> cannot_listen(const Address& address, int code) {
  return held_by(address, code, code == EADDRINUSE ? find_port_holder(address.port()) : "");
}

Result<Fd> make_tcp_socket(const SocketAddress& at, bool dual_stack) {
  auto fd = make_stream_socket(at.storage.ss_family);
  if (!fd) return fd;
  auto done = set_reuse_address(fd->get());
  if (done && at.storage.ss_family == AF_INET6) done = set_v6_only(fd->get(), !dual_stack);
  if (done) done = set_no_delay(fd->get());
  if (!done) return std::unexpected(std::move(done.error()));
  return fd;
}

/// 0, or errno.
int bind_and_listen(int fd, const SocketAddress& at, int backlog) {
  if (::bind(fd, at.get(), at.length) != 0) return errno;
  return ::listen(fd, backlog) == 0 ? 0 : errno;
}

SocketAddress any_ipv4(uint16_t port) {
  SocketAddress at;
  auto& inet = *reinterpret_cast<sockaddr_in*>(&at.storage);
  inet.sin_family = AF_INET;
  inet.sin_port = htons(port);
  at.length = sizeof inet;
  return at;
}

/// Removes a socket file that nobody listens on any more; leaves everything else and says what it is.
Result<void> remove_stale_file(const Address& address, const SocketAddress& at) {
  const char* path = reinterpret_cast<const sockaddr_un*>(at.get())->sun_path;
  struct stat before {};
  if (::lstat(path, &before) != 0) return {};  // nothing there, or bind(2) will say what is wrong
  if (!S_ISSOCK(before.st_mode))
    return error(listening_on(address) + ": the file exists and is not a socket");

  // Not blocking: a living socket whose queue is full answers EAGAIN then, instead of keeping us waiting.
  Fd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!probe) return system_error(listening_on(address), errno);
  if (::connect(probe.get(), at.get(), at.length) == 0) {
    ucred holder{};
    socklen_t length = sizeof holder;
    bool known = ::getsockopt(probe.get(), SOL_SOCKET, SO_PEERCRED, &holder, &length) == 0 &&
                 holder.pid > 0 && ::access(("/proc/" + std::to_string(holder.pid)).c_str(), F_OK) == 0;
    return held_by(address, EADDRINUSE, known ? describe_process(holder.pid) : "");
  }
  if (errno == ENOENT) return {};
  if (errno != ECONNREFUSED) return held_by(address, EADDRINUSE, "");

  struct stat now {};  // another server may have replaced it meanwhile
  bool same = ::lstat(path, &now) == 0 && now.st_dev == before.st_dev && now.st_ino == before.st_ino;
  if (same && ::unlink(path) != 0)
    return system_error(listening_on(address) + ": remove stale socket", errno);
  return {};
}

/// Taken, and by nobody that can be seen.
bool is_held_by_nobody(const Error& failure) {
  return failure.code == EADDRINUSE && failure.message.find(": held by ") == std::string::npos;
}

/// A socket bound to the address, with the port to itself as soon as it listens; `at` is what it was bound
/// to.
Result<Fd> bind_first(const Address& address, SocketAddress& at) {
  auto first = make_tcp_socket(at, address.dual_stack);
  if (!first && address.dual_stack && first.error().code == EAFNOSUPPORT) {
    at = any_ipv4(address.port());
    first = make_tcp_socket(at, false);
  }
  if (!first) return prefixed(address, first.error());
  if (::bind(first->get(), at.get(), at.length) != 0) return cannot_listen(address, errno);
  return first;
}

/// Does the kernel do with steered connections what the gate relies on? Tried once a family on a scratch
/// port.
Result<void> try_steering(int family) {
  auto address = parse_address(family == AF_INET6 ? "[::1]:0" : "127.0.0.1:0");
  if (!address) return std::unexpected(address.error());
  SocketAddress at{address->storage, address->length};
  auto first = make_tcp_socket(at, false);
  if (!first) return std::unexpected(first.error());
  if (::bind(first->get(), at.get(), at.length) != 0) return system_error("bind", errno);
  auto parking = ParkingListener::listen(std::move(*first), 1);
  if (!parking) return std::unexpected(parking.error());
  auto bound = local_address(parking->fd());
  if (!bound) return std::unexpected(bound.error());
  auto member = make_tcp_socket(*bound, false);
  if (!member) return std::unexpected(member.error());
  auto done = set_reuse_port(parking->fd());
  if (done) done = set_reuse_port(member->get());
  if (!done) return done;
  if (int failed = bind_and_listen(member->get(), *bound, 1)) return system_error("join the port", failed);
  if (done = steer_to_reactors(parking->fd(), 1, {}); !done) return done;
  if (done = parking->fill(1, {}); !done) return done;

  pollfd queue{.fd = member->get(), .events = POLLIN, .revents = 0};
  const auto connects = [&] {
    Fd client(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const bool connected = ::connect(client.get(), bound->get(), bound->length) == 0 || errno == EINPROGRESS;
    return connected && ::poll(&queue, 1, 0) == 1;  // over loopback the handshake is done by now
  };
  if (!connects()) return error("steering: a connection did not come where it was led to");
  const Fd led(::accept4(member->get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (done = steer_syns_aside(parking->fd(), 1, {}); !done) return done;
  if (connects()) return error("steering: a connection came that was to be led aside");
  return {};
}

Result<void> probe_steering(int family) {
  static const Result<void> ipv4 = try_steering(AF_INET);
  if (family == AF_INET || !ipv4) return ipv4;
  static const Result<void> ipv6 = try_steering(AF_INET6);
  const bool nothing_to_try_on =
      !ipv6 && (ipv6.error().code == EAFNOSUPPORT || ipv6.error().code == EADDRNOTAVAIL);
  return nothing_to_try_on ? Result<void>() : ipv6;
}

}  // namespace

SocketFile::SocketFile(std::string path) : path_(std::move(path)) {
  struct stat made {};
  if (::lstat(path_.c_str(), &made) != 0) path_.clear();
  device_ = made.st_dev;
  inode_ = made.st_ino;
}

SocketFile::~SocketFile() {
  struct stat now {};
  if (path_.empty() || ::lstat(path_.c_str(), &now) != 0) return;
  if (now.st_dev == device_ && now.st_ino == inode_) ::unlink(path_.c_str());
}

Result<ListenerGroup> ListenerGroup::open(const Address& address, uint32_t reactors, int backlog,
                                          const GateOptions& gate) {
  LASTCALL_CHECK(reactors > 0);
  auto group = open_once(address, reactors, backlog, gate);
  // The kernel closes what was in an io_uring a moment after its process was killed: a restart need not fail
  // for that.
  for (Duration waited{}; !group && is_held_by_nobody(group.error()) && waited < kHolderMayLinger;
       waited += kLookAgain) {
    std::this_thread::sleep_for(kLookAgain);
    group = open_once(address, reactors, backlog, gate);
  }
  if (!group) return group;
  if (auto dealt = group->deal(reactors); !dealt) return prefixed(address, dealt.error());
  return group;
}

Result<ListenerGroup> ListenerGroup::open_once(const Address& address, uint32_t reactors, int backlog,
                                               const GateOptions& gate) {
  switch (address.kind) {
    case Address::Kind::unix_path: return open_unix(address, backlog);
    case Address::Kind::inherited: return open_inherited(address);
    case Address::Kind::inet: break;
  }
  return open_tcp(address, reactors, backlog, gate);
}

Result<ListenerGroup> ListenerGroup::open_tcp(const Address& address, uint32_t reactors, int backlog,
                                              const GateOptions& gate) {
  const auto wants = [&](GateTier tier) { return !gate.tier || *gate.tier == tier; };
  std::string note;
  if (wants(GateTier::parking)) {
    auto group = open_parked(address, reactors, backlog, gate);
    if (group || group.error().code == EADDRINUSE || gate.tier) return group;
    note = group.error().message;
  }
  auto group = open_unparked(address, reactors, backlog, gate);
  if (!group || gate.tier == GateTier::plain) return group;
  group->gate_note_ = std::move(note);
  if (auto allowed = can_drop_syns(); !allowed) {
    if (gate.tier) return prefixed(address, allowed.error());
    group->gate_note_ += "; " + allowed.error().message;
    return group;
  }
  group->tier_ = GateTier::syn_filter;
  if (auto copied = group->copy_sockets(); !copied) return prefixed(address, copied.error());
  return group;
}

Result<ListenerGroup> ListenerGroup::open_parked(const Address& address, uint32_t reactors, int backlog,
                                                 const GateOptions& gate) {
  if (auto works = probe_steering(address.storage.ss_family); !works) return prefixed(address, works.error());
  SocketAddress at{address.storage, address.length};
  auto first = bind_first(address, at);
  if (!first) return std::unexpected(first.error());
  auto parking = ParkingListener::listen(std::move(*first), backlog);
  if (!parking && parking.error().code == EADDRINUSE) return cannot_listen(address, EADDRINUSE);
  if (!parking) return prefixed(address, parking.error());

  ListenerGroup group;
  group.tier_ = GateTier::parking;
  group.parking_ = std::move(*parking);
  const int leader = group.parking_.fd();
  auto bound = local_address(leader);
  if (!bound) return prefixed(address, bound.error());
  group.text_ = format_address(bound->get(), bound->length);
  group.port_ = bound->port();
  group.ipv6_ = bound->storage.ss_family == AF_INET6;
  if (gate.cpus.size() == reactors) group.cpus_ = gate.cpus;
  auto done = set_reuse_port(leader);
  if (done) done = group.add_siblings(*bound, address.dual_stack, reactors, backlog);
  if (done) done = group.parking_.fill(reactors, group.cpus_);
  if (!done) return prefixed(address, done.error());
  return group;
}

Result<ListenerGroup> ListenerGroup::open_unparked(const Address& address, uint32_t reactors, int backlog,
                                                   const GateOptions& gate) {
  SocketAddress at{address.storage, address.length};
  auto first = bind_first(address, at);
  if (!first) return std::unexpected(first.error());
  // Exclusive only from listen(2) on: until then SO_REUSEADDR lets another socket bind the same port.
  if (::listen(first->get(), backlog) != 0) return cannot_listen(address, errno);

  ListenerGroup group;
  if (auto adopted = group.adopt(std::move(*first)); !adopted) return prefixed(address, adopted.error());
  if (reactors == 1) return group;
  const int leader = group.sockets_[0].get();
  auto bound = local_address(leader);
  if (!bound) return prefixed(address, bound.error());
  auto done = set_reuse_port(leader);
  if (done) done = group.add_siblings(*bound, address.dual_stack, reactors, backlog);
  if (done && gate.cpus.size() == reactors) done = steer_to_reactors(leader, reactors, gate.cpus, 0);
  if (!done) return prefixed(address, done.error());
  return group;
}

/// Until there are `reactors` of them.
Result<void> ListenerGroup::add_siblings(const SocketAddress& bound, bool dual_stack, uint32_t reactors,
                                         int backlog) {
  while (sockets_.size() < reactors) {
    auto sibling = make_tcp_socket(bound, dual_stack);
    if (!sibling) return std::unexpected(sibling.error());
    if (auto done = set_reuse_port(sibling->get()); !done) return done;
    if (int failed = bind_and_listen(sibling->get(), bound, backlog))
      return system_error("join the port", failed);
    sockets_.push_back(std::move(*sibling));
    if (!parking_) continue;
    // At once: what is not steered may be led to the parking listener, as one more stray.
    auto steered = steer_to_reactors(parking_.fd(), static_cast<uint32_t>(sockets_.size()), {});
    if (!steered) return steered;
  }
  return {};
}

std::string_view to_string(GateTier tier) noexcept {
  switch (tier) {
    case GateTier::parking: return "parking";
    case GateTier::syn_filter: return "syn_filter";
    case GateTier::unix_socket: return "unix";
    case GateTier::handed_over: return "handed_over";
    case GateTier::plain: break;
  }
  return "plain";
}

Result<void> ListenerGroup::close_gate() {
  switch (tier_) {
    case GateTier::parking:
      return steer_syns_aside(parking_.fd(), static_cast<uint32_t>(descriptors_.size()), cpus_);
    case GateTier::syn_filter:
      for (const Fd& copy : copies_) {
        if (auto done = drop_syns(copy.get()); !done) return done;
      }
      return {};
    case GateTier::unix_socket:
      if (::shutdown(copies_.front().get(), SHUT_RD) != 0)
        return system_error("shutdown of a listener", errno);
      return {};
    case GateTier::handed_over:
    case GateTier::plain: break;
  }
  return {};
}

void ListenerGroup::let_go() noexcept {
  parking_ = {};
  copies_.clear();
}

Result<ListenerGroup> ListenerGroup::open_unix(const Address& address, int backlog) {
  SocketAddress at{address.storage, address.length};
  if (auto removed = remove_stale_file(address, at); !removed) return std::unexpected(removed.error());
  auto socket = make_stream_socket(AF_UNIX);
  if (!socket) return prefixed(address, socket.error());
  if (::bind(socket->get(), at.get(), at.length) != 0) return held_by(address, errno, "");

  ListenerGroup group;
  group.file_ = SocketFile(reinterpret_cast<const sockaddr_un*>(at.get())->sun_path);
  if (::listen(socket->get(), backlog) != 0) return held_by(address, errno, "");
  auto done = group.adopt(std::move(*socket));
  if (!done) return prefixed(address, done.error());
  group.tier_ = GateTier::unix_socket;
  if (done = group.copy_sockets(); !done) return prefixed(address, done.error());
  return group;
}

Result<ListenerGroup> ListenerGroup::open_inherited(const Address& address) {
  if (auto checked = check_listening(address, address.fd); !checked) return std::unexpected(checked.error());
  Fd first(::fcntl(address.fd, F_DUPFD_CLOEXEC, 0));
  if (!first) return system_error(listening_on(address), errno);

  ListenerGroup group;
  auto done = group.adopt(std::move(first));
  if (done && group.port_ != 0) done = set_no_delay(group.sockets_[0].get());
  if (!done) return prefixed(address, done.error());
  // Or the port would stay open behind the duplicates when they are closed.
  ::close(address.fd);
  return group;
}

Result<void> ListenerGroup::adopt(Fd socket) {
  auto local = local_address(socket.get());
  if (!local) return std::unexpected(std::move(local.error()));
  text_ = format_address(local->get(), local->length);
  port_ = local->port();
  ipv6_ = local->storage.ss_family == AF_INET6;
  sockets_.push_back(std::move(socket));
  return {};
}

}  // namespace lastcall
