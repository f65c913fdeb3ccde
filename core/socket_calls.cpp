#include <fcntl.h>
#include <linux/sockios.h>
#include <linux/tcp.h>  // not <netinet/tcp.h>: glibc's tcp_info ends before tcpi_bytes_acked
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

#include <lastcall/core/check.hpp>
#include <lastcall/core/socket_calls.hpp>

namespace lastcall {

ssize_t receive(int fd, void* bytes, size_t size, int flags) noexcept {
  return ::syscall(SYS_recvfrom, fd, bytes, size, flags, nullptr, nullptr);
}

ssize_t transmit(int fd, const void* bytes, size_t size, int flags) noexcept {
  return ::syscall(SYS_sendto, fd, bytes, size, flags, nullptr, 0);
}

void set_nonblocking(int fd, bool on) noexcept {
  int flags = ::fcntl(fd, F_GETFL);
  LASTCALL_CHECK(flags >= 0);
  int wanted = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
  if (wanted != flags) LASTCALL_CHECK(::fcntl(fd, F_SETFL, wanted) == 0);
}

bool is_transient_accept_error(int code) noexcept {
  switch (code) {
    case EINTR:
    case ECONNABORTED:
    case EPERM:  // a firewall rule forbids this connection
    case EPROTO:
    case ENOPROTOOPT:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENONET:
    case EOPNOTSUPP:  // accept(2): pending network errors of the new socket are passed on
      return true;
    default: return false;
  }
}

int accept_one(int fd, int flags) noexcept {
  constexpr int kMaxSkipped = 64;
  for (int skipped = 1;; ++skipped) {
    int accepted = ::accept4(fd, nullptr, nullptr, flags | SOCK_CLOEXEC);
    if (accepted >= 0) return accepted;
    if (!is_transient_accept_error(errno) || skipped == kMaxSkipped) return -errno;
  }
}

int unread_bytes(int fd) noexcept {
  int bytes = 0;
  return ::ioctl(fd, SIOCINQ, &bytes) == 0 ? bytes : 0;
}

uint64_t send_progress(int fd) noexcept {
  tcp_info info{};
  socklen_t size = sizeof info;
  constexpr size_t kNeeded = offsetof(tcp_info, tcpi_bytes_acked) + sizeof info.tcpi_bytes_acked;
  if (::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 && size >= kNeeded)
    return info.tcpi_bytes_acked;
  int queued = 0;
  return ::ioctl(fd, SIOCOUTQ, &queued) == 0 ? UINT64_MAX - static_cast<uint64_t>(queued) : 0;
}

}  // namespace lastcall
