#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>

#include <lastcall/net/listener.hpp>
#include <lastcall/net/listener_error.hpp>
#include <lastcall/net/steering.hpp>

// ListenerGroup: sockets that come from, or go to, another process.

namespace lastcall {

Result<void> check_listening(const Address& address, int fd) {
  auto type = socket_option(fd, SO_TYPE);
  if (!type && type.error().code == EBADF)
    return error(listening_on(address) + ": no such descriptor was inherited");
  if (!type && type.error().code == ENOTSOCK) return error(listening_on(address) + ": is not a socket");
  if (!type) return prefixed(address, type.error());
  if (*type != SOCK_STREAM) return error(listening_on(address) + ": is not a stream socket");
  auto listening = socket_option(fd, SO_ACCEPTCONN);
  if (!listening) return prefixed(address, listening.error());
  if (*listening == 0) return error(listening_on(address) + ": the socket is not listening");
  return {};
}

Result<ListenerGroup> ListenerGroup::inherit(const Address& address, ListenerParts<Fd> parts,
                                             uint32_t reactors, const GateOptions& gate) {
  const auto bad = [&](const char* what) {
    return std::unexpected(Error{listening_on(address) + ": inherited: " + what, EPROTO});
  };
  if (parts.sockets.empty()) return bad("no socket");
  if (parts.tier == GateTier::parking && (!parts.parking || !parts.filler)) return bad("no parking listener");
  ListenerGroup group;
  group.tier_ = parts.tier;
  group.gate_note_ = std::move(parts.gate_note);
  for (Fd& socket : parts.sockets) {
    if (auto listens = check_listening(address, socket.get()); !listens)
      return std::unexpected(listens.error());
    if (auto adopted = group.adopt(std::move(socket)); !adopted) return prefixed(address, adopted.error());
  }
  Result<void> done;
  if (parts.tier == GateTier::parking) {
    group.parking_ = ParkingListener(std::move(parts.parking), std::move(parts.filler));
    const auto count = static_cast<uint32_t>(group.sockets_.size());
    if (gate.cpus.size() == count) group.cpus_ = gate.cpus;
    done = steer_to_reactors(group.parking_.fd(), count, group.cpus_);
  } else if (parts.tier != GateTier::plain) {
    done = group.copy_sockets();
  }
  if (address.kind == Address::Kind::unix_path) {
    const SocketAddress at{address.storage, address.length};
    group.file_ = SocketFile(reinterpret_cast<const sockaddr_un*>(at.get())->sun_path);
  }
  if (done) done = group.deal(reactors);
  if (!done) return prefixed(address, done.error());
  return group;
}

ListenerParts<int> ListenerGroup::parts() const {
  return {.sockets = descriptors_,
          .parking = parking_.fd(),
          .filler = parking_.filler(),
          .tier = tier_,
          .gate_note = gate_note_};
}

void ListenerGroup::hand_over() noexcept {
  tier_ = GateTier::handed_over;
  file_.forget();
  let_go();
}

Result<void> ListenerGroup::copy_sockets() {
  for (const Fd& socket : sockets_) {
    copies_.emplace_back(::fcntl(socket.get(), F_DUPFD_CLOEXEC, 0));
    if (!copies_.back()) return system_error("dup", errno);
  }
  return {};
}

Result<void> ListenerGroup::deal(uint32_t reactors) {
  const size_t count = sockets_.size();
  for (const Fd& socket : sockets_) descriptors_.push_back(socket.get());
  dealt_.resize(reactors);
  for (size_t i = 0; i < count; ++i) dealt_[i % reactors].push_back(std::move(sockets_[i]));
  sockets_.clear();
  shared_ = reactors > 1 && count < reactors;
  for (size_t i = count; i < reactors; ++i) {
    dealt_[i].emplace_back(::fcntl(descriptors_[i % count], F_DUPFD_CLOEXEC, 0));
    if (!dealt_[i].front()) return system_error("dup", errno);
  }
  return {};
}

}  // namespace lastcall
