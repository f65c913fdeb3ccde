#include "tests/support/notify_socket.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include <lastcall/core/check.hpp>
#include <lastcall/core/clock.hpp>

namespace lastcall {

NotifySocket::NotifySocket(std::string path) : name_(std::move(path)) {
  static std::atomic<int> made{0};
  if (name_.empty()) name_ = "@lastcall-test-" + std::to_string(::getpid()) + "-" + std::to_string(++made);
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  LASTCALL_CHECK(name_.size() < sizeof at.sun_path);
  std::memcpy(at.sun_path, name_.data(), name_.size());
  if (name_.front() == '@') at.sun_path[0] = '\0';
  const size_t length = offsetof(sockaddr_un, sun_path) + name_.size() + (name_.front() == '@' ? 0 : 1);
  socket_.reset(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  LASTCALL_CHECK(::setsockopt(socket_.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on) == 0);
  LASTCALL_CHECK(
      ::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&at), static_cast<socklen_t>(length)) == 0);
}

NotifySocket::~NotifySocket() {
  if (name_.front() != '@') ::unlink(name_.c_str());
}

std::optional<NotifySocket::Message> NotifySocket::receive(Duration patience) {
  pollfd readable{.fd = socket_.get(), .events = POLLIN, .revents = 0};
  if (::poll(&readable, 1, static_cast<int>(to_ms(patience))) != 1) return std::nullopt;
  char text[4096];
  alignas(cmsghdr) char control[CMSG_SPACE(253 * sizeof(int)) + CMSG_SPACE(sizeof(ucred))];
  iovec segment{.iov_base = text, .iov_len = sizeof text};
  msghdr header{};
  header.msg_iov = &segment;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  const ssize_t got = ::recvmsg(socket_.get(), &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (got < 0) return std::nullopt;
  Message message;
  message.text.assign(text, static_cast<size_t>(got));
  for (cmsghdr* part = CMSG_FIRSTHDR(&header); part != nullptr; part = CMSG_NXTHDR(&header, part)) {
    const size_t bytes = part->cmsg_len - CMSG_LEN(0);
    if (part->cmsg_type == SCM_CREDENTIALS) {
      ucred sender{};
      std::memcpy(&sender, CMSG_DATA(part), sizeof sender);
      message.sender = sender.pid;
    } else if (part->cmsg_type == SCM_RIGHTS) {
      std::vector<int> received(bytes / sizeof(int));
      std::memcpy(received.data(), CMSG_DATA(part), bytes);
      for (int fd : received) message.descriptors.emplace_back(fd);
    }
  }
  return message;
}

std::string NotifySocket::wait_for(std::string_view line, Duration patience) {
  const std::string wanted = "\n" + std::string(line);
  for (const Instant limit = monotonic_now() + patience;;) {
    const Duration left = limit - monotonic_now();
    std::optional<Message> message = receive(std::max<Duration>(left, 0s));
    if (!message) return "";
    if (("\n" + message->text).find(wanted) != std::string::npos) return message->text;
  }
}

std::string notify_field(std::string_view message, std::string_view name) {
  const std::string whole = "\n" + std::string(message);
  const std::string mark = "\n" + std::string(name) + "=";
  const size_t at = whole.find(mark);
  if (at == std::string::npos) return "";
  const size_t begin = at + mark.size();
  return whole.substr(begin, whole.find('\n', begin) - begin);
}

}  // namespace lastcall
