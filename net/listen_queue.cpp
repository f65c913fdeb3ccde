#include <sys/socket.h>
#include <sys/time.h>

#include <lastcall/core/fd.hpp>
#include <lastcall/net/address.hpp>
#include <lastcall/net/listen_queue.hpp>

namespace lastcall {
namespace {

constexpr size_t kReadBytes = 4096;
constexpr int kMostReads = 64;  // of one connection: more of a request is not waited for

/// Whether there was anything to read.
bool read_what_is_there(int connection) {
  char request[kReadBytes];
  bool asked = false;
  for (int reads = 0; reads<kMostReads&& ::recv(connection, request, sizeof request, 0)> 0; ++reads)
    asked = true;
  return asked;
}

}  // namespace

void end_listen_queue(int listener, std::string_view answer, std::vector<QueuedConnection>& queued) {
  // It may be a blocking one, and must stay so: its reactor may yet come back.
  const timeval patience{.tv_sec = 0, .tv_usec = 1000};
  ::setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  while (queued.size() < kMostQueued) {
    const Fd connection(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!connection) return;
    const bool asked = read_what_is_there(connection.get());
    if (asked) static_cast<void>(::send(connection.get(), answer.data(), answer.size(), MSG_NOSIGNAL));
    ::shutdown(connection.get(), SHUT_WR);
    queued.push_back({.peer = peer_address(connection.get()), .asked = asked});
  }
}

}  // namespace lastcall
