#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <string_view>
#include <vector>

/// What the two floors share. A floor parses nothing and answers with canned bytes, so that what remains is
/// the price of the kernel: nothing that speaks HTTP through the same calls can be cheaper.
namespace lastcall::floors {

[[noreturn]] inline void die(const char* what, int error) {
  std::fprintf(stderr, "%s: %s\n", what, std::strerror(error));
  std::exit(1);
}

inline int check(int result, const char* what) {
  if (result < 0) die(what, errno);
  return result;
}

struct Options {
  uint16_t port = 0;  // 0 picks one
  bool close = false;
};

/// `--port N`, and where `can_close`, `--close`: each connection ends with its first answer. Exits with usage
/// on anything else.
inline Options options_from(int argc, char** argv, bool can_close) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view flag = argv[i];
    const std::string_view text = flag == "--port" && i + 1 < argc ? argv[++i] : "";
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), options.port);
    if (flag == "--close" && can_close) {
      options.close = true;
    } else if (text.empty() || error != std::errc() || end != text.data() + text.size()) {
      std::fprintf(stderr, "usage: %s [--port N]%s\n", argv[0], can_close ? " [--close]" : "");
      std::exit(1);
    }
  }
  return options;
}

/// A listener on 127.0.0.1 that says where it is. Sockets stay blocking: they are read when there is
/// something, and an answer waits for a client that does not read (under io_uring O_NONBLOCK would turn that
/// wait into -EAGAIN).
inline int listen_on(uint16_t port) {
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGTERM, [](int) { _exit(0); });
  const int fd = check(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
  const int on = 1;
  check(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), "SO_REUSEADDR");
  check(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on), "SO_REUSEPORT");
  check(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on),
        "TCP_NODELAY");  // accepted sockets inherit it
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  check(bind(fd, reinterpret_cast<sockaddr*>(&address), size), "bind");
  check(listen(fd, 4096), "listen");
  check(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), "getsockname");
  std::printf("listening 127.0.0.1:%d\n", ntohs(address.sin_port));
  std::fflush(stdout);
  return fd;
}

/// The answer of lastcall's /plaintext, field by field, many times over: n answers are one piece of memory.
class Answers {
 public:
  static constexpr size_t kMost = 1024;

  explicit Answers(bool close = false) {
    char date[64];
    const std::time_t now = std::time(nullptr);
    std::tm parts{};
    gmtime_r(&now, &parts);
    std::strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &parts);
    const std::string one = std::string("HTTP/1.1 200 OK\r\nServer: lastcall\r\nDate: ") + date +
                            "\r\nContent-Type: text/plain\r\nContent-Length: 13" +
                            (close ? "\r\nConnection: close" : "") + "\r\n\r\nHello, World!";
    one_size_ = one.size();
    for (size_t i = 0; i < kMost; ++i) bytes_ += one;
  }
  [[nodiscard]] std::string_view of(size_t count) const {
    return std::string_view(bytes_).substr(0, std::min(count, kMost) * one_size_);
  }

 private:
  std::string bytes_;
  size_t one_size_ = 0;
};

/// Counts the ends of request heads ("\r\n\r\n") in what arrives on each descriptor, however it is cut.
class HeadCounter {
 public:
  void forget(int fd) { matched(fd) = 0; }

  size_t count(int fd, std::string_view bytes) {
    uint8_t& carried = matched(fd);
    size_t heads = 0;
    while (carried != 0 && !bytes.empty()) {
      const bool next = bytes.front() == kEnd[carried];
      carried = next ? static_cast<uint8_t>(carried + 1) : uint8_t{bytes.front() == '\r'};
      bytes.remove_prefix(1);
      if (carried == kEnd.size()) carried = 0, ++heads;
    }
    if (bytes.empty()) return heads;
    while (const void* end = memmem(bytes.data(), bytes.size(), kEnd.data(), kEnd.size())) {
      ++heads;
      bytes.remove_prefix(static_cast<size_t>(static_cast<const char*>(end) - bytes.data()) + kEnd.size());
    }
    for (carried = 3; carried != 0 && !bytes.ends_with(kEnd.substr(0, carried));) --carried;
    return heads;
  }

 private:
  static constexpr std::string_view kEnd = "\r\n\r\n";

  uint8_t& matched(int fd) {
    const auto index = static_cast<size_t>(fd);
    if (index >= matched_.size()) matched_.resize(index + 1);
    return matched_[index];
  }
  std::vector<uint8_t> matched_;
};

}  // namespace lastcall::floors
