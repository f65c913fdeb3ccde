#pragma once

#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <lastcall/core/fd.hpp>
#include <lastcall/core/time.hpp>

namespace lastcall::bench {

/// The clients of a WarmWorker on a real backend: the other ends of socket pairs. What one end writes the
/// other has at once, so a turn of the worker never waits. For connections that stay.
class SocketClients {
 public:
  template <class Worker>
  void connect(Worker& worker, size_t count) {
    while (ends_.size() < count) {
      int pair[2];
      if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) fail("socketpair");
      worker.adopt(Fd(pair[0]));
      ends_.emplace_back(pair[1]);
    }
  }
  static void let_pass(Duration) {}
  void write(std::string_view bytes) {
    for (const Fd& end : ends_) {
      if (::send(end.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(bytes.size()))
        fail("send");
    }
  }
  [[nodiscard]] size_t fewest_bytes() const {
    size_t fewest = SIZE_MAX;
    for (const Fd& end : ends_) {
      int bytes = 0;
      if (::ioctl(end.get(), FIONREAD, &bytes) != 0) fail("ioctl FIONREAD");
      fewest = std::min(fewest, static_cast<size_t>(bytes));
    }
    return fewest;
  }
  [[nodiscard]] std::string read(size_t client) {
    std::string bytes(64 * 1024, '\0');
    const ssize_t size = ::recv(ends_[client].get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (size < 0) fail("recv");
    bytes.resize(static_cast<size_t>(size));
    return bytes;
  }
  [[nodiscard]] static bool all_ended() { return false; }
  void close() { ends_.clear(); }

 private:
  [[noreturn]] static void fail(const char* what) {
    throw std::system_error(errno, std::generic_category(), what);
  }

  std::vector<Fd> ends_;
};

}  // namespace lastcall::bench
