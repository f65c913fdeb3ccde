// Press Ctrl-C while /hello is at work: it is answered, and only then does the program end.
#include <cstdio>

#include <lastcall/lastcall.hpp>

using namespace std::chrono_literals;

int main(int argc, char** argv) {
  lastcall::Server server({.listen = {argc > 1 ? argv[1] : "127.0.0.1:8080"}, .stop = {.deadline = 5s}});
  server.get("/hello", [](lastcall::Request&, lastcall::Response& response) -> lastcall::Task<> {
    co_await lastcall::sleep_for(2s);
    response.text("hello\n");
  });
  server.on_shutdown([] { std::fprintf(stderr, "stopping: who is inside is served\n"); });
  const int exit_code = server.run();  // SIGINT or SIGTERM; returns when the stop is over
  std::fprintf(stderr, "everybody has gone\n");
  return exit_code;
}
