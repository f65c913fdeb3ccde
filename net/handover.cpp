#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include <lastcall/core/clock.hpp>
#include <lastcall/net/handover.hpp>

namespace lastcall {
namespace {

using Control = std::array<std::byte, CMSG_SPACE(sizeof(int) * HandoverChannel::kMaxDescriptors)>;

/// Bytes sent, or -errno.
ssize_t send_message(int socket, char kind, std::string_view text,
                     std::span<const int> descriptors) noexcept {
  iovec parts[] = {{.iov_base = &kind, .iov_len = 1},
                   {.iov_base = const_cast<char*>(text.data()), .iov_len = text.size()}};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = std::size(parts);
  alignas(cmsghdr) Control control;
  if (!descriptors.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
    std::fill_n(control.data(), message.msg_controllen, std::byte{});
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(descriptors.size_bytes());
    std::memcpy(CMSG_DATA(header), descriptors.data(), descriptors.size_bytes());
  }
  for (;;) {
    const ssize_t sent = ::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) return sent;
    if (errno != EINTR) return -errno;
  }
}

std::vector<Fd> take_descriptors(msghdr& message) {
  std::vector<Fd> taken;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof fd, sizeof fd);
      taken.emplace_back(fd);
    }
  }
  return taken;
}

}  // namespace

Result<std::pair<Fd, Fd>> HandoverChannel::open_pair() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
    return system_error("socketpair", errno);
  return std::pair(Fd(ends[0]), Fd(ends[1]));
}

Result<void> HandoverChannel::wait(short events, Instant limit) const {
  for (;;) {
    const Duration left = limit - monotonic_now();
    if (left <= Duration::zero()) return system_error("hand-over", ETIMEDOUT);
    const timespec timeout = to_timespec(left);
    pollfd ready{.fd = socket_.get(), .events = events, .revents = 0};
    const int count = ::ppoll(&ready, 1, limit == kNever ? nullptr : &timeout, nullptr);
    if (count > 0) return {};
    if (count < 0 && errno != EINTR) return system_error("hand-over: poll", errno);
  }
}

Result<void> HandoverChannel::send(HandoverKind kind, std::string_view text, std::span<const int> descriptors,
                                   Instant limit) {
  if (text.size() > kMaxText || descriptors.size() > kMaxDescriptors)
    return system_error("hand-over: send", EMSGSIZE);
  for (;;) {
    const ssize_t sent = send_message(socket_.get(), static_cast<char>(kind), text, descriptors);
    if (sent >= 0) return {};
    if (sent != -EAGAIN && sent != -ETOOMANYREFS)
      return system_error("hand-over: send", static_cast<int>(-sent));
    if (Result<void> room = wait(POLLOUT, limit); !room) return room;
  }
}

Result<HandoverMessage> HandoverChannel::receive(Instant limit) {
  if (Result<void> readable = wait(POLLIN, limit); !readable) return std::unexpected(readable.error());
  std::array<char, kMaxText + 1> bytes;
  alignas(cmsghdr) Control control;
  iovec part{.iov_base = bytes.data(), .iov_len = bytes.size()};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  ssize_t got;
  // Not by recvmsg(3): the thread sanitizer would take the descriptors for older ones of that number, which
  // io_uring has closed without its knowledge.
  do got = ::syscall(SYS_recvmsg, socket_.get(), &header, MSG_CMSG_CLOEXEC);
  while (got < 0 && errno == EINTR);
  if (got < 0) return system_error("hand-over: receive", errno == ECONNRESET ? EPIPE : errno);
  HandoverMessage message{.kind = {}, .text = {}, .descriptors = take_descriptors(header)};
  if (got == 0) return system_error("hand-over", EPIPE);
  if ((header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0)
    return system_error("hand-over: message too long, or too many descriptors for this process", EPROTO);
  message.kind = static_cast<HandoverKind>(bytes[0]);
  message.text.assign(bytes.data() + 1, static_cast<size_t>(got) - 1);
  return message;
}

ConnectionTaker::Answer HandoverChannel::take(HandoverKind kind, int fd, std::string_view note) noexcept {
  const ssize_t sent = send_message(socket_.get(), static_cast<char>(kind), note, {&fd, 1});
  if (sent >= 0) {
    ::syscall(SYS_close, fd);  // as above
    return Answer::taken;
  }
  // ETOOMANYREFS: as many descriptors are on their way as this user may have open.
  const bool full = sent == -EAGAIN || sent == -ENOBUFS || sent == -ENOMEM || sent == -ETOOMANYREFS;
  return full ? Answer::not_now : Answer::never;
}

void HandoverChannel::close_input() noexcept {
  ::shutdown(socket_.get(), SHUT_RD);
}

void HandoverChannel::end() noexcept {
  ::shutdown(socket_.get(), SHUT_RDWR);
}

}  // namespace lastcall
