// The floor under epoll: one thread, level-triggered, one recv and one send for what a client sent at once.
#include <sys/epoll.h>

#include "bench/floor.hpp"

namespace {

namespace floors = lastcall::floors;

struct Server {
  bool close_after;
  int epoll = floors::check(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
  floors::Answers answers{close_after};
  floors::HeadCounter heads{};
  char buffer[16384]{};  // holds fewer heads than Answers::kMost

  void watch(int fd) {
    epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
    floors::check(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
  }

  void accept_one(int listener) {
    const int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0 && (errno == EINTR || errno == ECONNABORTED)) return;
    floors::check(fd, "accept4");
    heads.forget(fd);
    watch(fd);
  }

  /// Blocks while the client does not read. False when the connection is gone.
  bool answer(int fd, size_t count) {
    for (std::string_view rest = answers.of(count); !rest.empty();) {
      const ssize_t sent = send(fd, rest.data(), rest.size(), MSG_NOSIGNAL);
      if (sent < 0 && errno == EINTR) continue;
      if (sent < 0) return false;
      rest.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }

  void serve(int fd) {
    const ssize_t got = recv(fd, buffer, sizeof buffer, 0);
    if (got < 0 && errno == EINTR) return;
    const size_t count = got > 0 ? heads.count(fd, {buffer, static_cast<size_t>(got)}) : 0;
    if (got <= 0 || !answer(fd, count) || (close_after && count > 0)) close(fd);
  }
};

}  // namespace

int main(int argc, char** argv) {
  const floors::Options options = floors::options_from(argc, argv, true);
  const int listener = floors::listen_on(options.port);
  static Server server{.close_after = options.close};
  server.watch(listener);
  for (epoll_event events[512];;) {
    const int ready = epoll_wait(server.epoll, events, 512, -1);
    if (ready < 0 && errno == EINTR) continue;
    floors::check(ready, "epoll_wait");
    for (int i = 0; i < ready; ++i) {
      const int fd = events[i].data.fd;
      fd == listener ? server.accept_one(fd) : server.serve(fd);
    }
  }
}
