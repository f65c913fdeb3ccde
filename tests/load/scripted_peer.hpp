#pragma once

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include <lastcall/core/check.hpp>
#include <lastcall/core/fd.hpp>
#include <lastcall/core/time.hpp>

#include "tests/support/real_peer.hpp"

namespace lastcall::load {

/// One connection in the hands of a script; blocking. Ends in order with the script unless it ended before.
class Visit {
 public:
  explicit Visit(Fd fd) : fd_(std::move(fd)) {}
  Visit(const Visit&) = delete;
  Visit& operator=(const Visit&) = delete;

  /// Reads until `end` has come `count` times; false when the client is gone before.
  bool read(int count = 1, std::string_view end = "\r\n\r\n") {
    for (; count > 0; --count) {
      size_t found;
      while ((found = pending_.find(end)) == std::string::npos) {
        char bytes[65536];
        ssize_t got = ::recv(fd_.get(), bytes, sizeof bytes, 0);
        if (got <= 0) return false;
        pending_.append(bytes, static_cast<size_t>(got));
      }
      seen_ += pending_.substr(0, found + end.size());
      pending_.erase(0, found + end.size());
    }
    return true;
  }
  void read_to_end() {
    while (read()) {
    }
    seen_ += std::exchange(pending_, {});
  }
  void write(std::string_view bytes) {
    LASTCALL_CHECK(::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
                   static_cast<ssize_t>(bytes.size()));
  }
  /// The bytes and the end of the stream in one segment: the client never sees one without the other.
  void write_and_end(std::string_view bytes) {
    int one = 1;
    ::setsockopt(fd_.get(), IPPROTO_TCP, TCP_CORK, &one, sizeof one);
    write(bytes);
    ::shutdown(fd_.get(), SHUT_WR);
  }
  void reset() {
    linger hard{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    fd_.reset();
  }
  void stall(Duration duration) { ::poll(nullptr, 0, static_cast<int>(to_ms(duration))); }
  [[nodiscard]] const std::string& seen() const { return seen_; }

 private:
  Fd fd_;
  std::string pending_;
  std::string seen_;
};

/// A server on 127.0.0.1 that does to its connections what the test says, one after the other.
class ScriptedPeer {
 public:
  /// `script` is called with each connection and its number, from 0; false: it was the last.
  explicit ScriptedPeer(std::function<bool(Visit&, int)> script)
      : listener_(listen_tcp()), address_(address_of(listener_.get())) {
    thread_ = std::jthread([this, script = std::move(script)] {
      for (int number = 0;; ++number) {
        Fd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
        if (!fd) return;
        Visit visit(std::move(fd));
        if (!script(visit, number)) break;
      }
      ::shutdown(listener_.get(), SHUT_RDWR);  // from here on, connections are refused
    });
  }
  ScriptedPeer(const ScriptedPeer&) = delete;
  ScriptedPeer& operator=(const ScriptedPeer&) = delete;
  ~ScriptedPeer() { end(); }

  /// After the load has ended: everything that the script did has been done.
  void end() {
    if (!thread_.joinable()) return;
    ::shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
  }
  [[nodiscard]] const std::string& address() const { return address_; }

 private:
  static std::string address_of(int fd) {
    sockaddr_in local{};
    socklen_t size = sizeof local;
    LASTCALL_CHECK(::getsockname(fd, reinterpret_cast<sockaddr*>(&local), &size) == 0);
    return "127.0.0.1:" + std::to_string(ntohs(local.sin_port));
  }

  Fd listener_;
  std::string address_;
  std::jthread thread_;
};

}  // namespace lastcall::load
