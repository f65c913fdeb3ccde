#include "tests/support/real_peer.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>

#include <lastcall/core/check.hpp>

namespace lastcall {

size_t RealPeer::write_some(std::string_view bytes) {
  ssize_t sent = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent >= 0) return static_cast<size_t>(sent);
  if (errno == EAGAIN) return 0;
  LASTCALL_CHECK(errno == EPIPE || errno == ECONNRESET);
  reset_ = true;
  return bytes.size();
}

void RealPeer::write(std::string_view bytes) {
  size_t written = write_some(bytes);
  LASTCALL_CHECK(written == bytes.size());
}

void RealPeer::half_close() {
  ::shutdown(fd_.get(), SHUT_WR);
}

void RealPeer::reset() {
  linger hard{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
  fd_.reset();
}

std::string RealPeer::take(size_t max_bytes) {
  std::string taken;
  while (taken.size() < max_bytes) {
    char buffer[65536];
    ssize_t got = ::recv(fd_.get(), buffer, std::min(sizeof buffer, max_bytes - taken.size()), MSG_DONTWAIT);
    if (got < 0 && errno != EAGAIN) reset_ = true;
    if (got <= 0) break;
    taken.append(buffer, static_cast<size_t>(got));
  }
  return taken;
}

bool RealPeer::saw_eof() {
  char byte;
  return !saw_reset() && ::recv(fd_.get(), &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 0;
}

bool RealPeer::saw_reset() {
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &size);  // clears it
  reset_ = reset_ || error != 0;
  return reset_;
}

Fd listen_tcp() {
  Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  LASTCALL_CHECK(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  LASTCALL_CHECK(::listen(fd.get(), SOMAXCONN) == 0);
  return fd;
}

Fd listen_unix() {
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  LASTCALL_CHECK(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(sa_family_t)) ==
                 0);  // autobind
  LASTCALL_CHECK(::listen(fd.get(), SOMAXCONN) == 0);
  return fd;
}

RealPeer connect_to(int listener) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  LASTCALL_CHECK(::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  Fd fd(::socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  LASTCALL_CHECK(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), size) == 0);
  return RealPeer(std::move(fd));
}

size_t count_descriptors() {
  DIR* directory = ::opendir("/proc/self/fd");
  LASTCALL_CHECK(directory != nullptr);
  size_t count = 0;
  while (::readdir(directory) != nullptr) ++count;
  ::closedir(directory);
  return count;
}

bool allow_descriptors(uint64_t count) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur >= count) return true;
  limit.rlim_cur = std::min<rlim_t>(count, limit.rlim_max);
  ::setrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur >= count;
}

DescriptorLimit::DescriptorLimit(int more) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  before_ = limit.rlim_cur;
  rlim_t next = 0;  // the limit is on the number of a new descriptor, and the lowest free one is taken
  for (int left = more; left >= 0; ++next) {
    if (::fcntl(static_cast<int>(next), F_GETFD) < 0) --left;
  }
  limit.rlim_cur = next - 1;
  LASTCALL_CHECK(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

DescriptorLimit::~DescriptorLimit() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = before_;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace lastcall
