// A clock as server-sent events: curl -N, or new EventSource("/") in a browser. When the server stops, each
// client is told goodbye and its stream ends in order.
#include <ctime>

#include <lastcall/lastcall.hpp>

using namespace std::chrono_literals;

int main(int argc, char** argv) {
  lastcall::Server server({.listen = {argc > 1 ? argv[1] : "127.0.0.1:8080"}});
  server.get("/", [](lastcall::Request& request, lastcall::Response& response) -> lastcall::Task<> {
    lastcall::EventStream stream(response);
    const std::stop_token drain = request.drain_token();
    while (!drain.stop_requested()) {
      const std::string seconds = std::to_string(std::time(nullptr));
      if (!co_await stream.send({.data = seconds, .event = "tick"})) co_return;  // the client has gone
      co_await lastcall::sleep_for(1s, drain);
    }
    if (!co_await stream.send({.data = "come back soon", .event = "bye", .retry = 5s})) co_return;
  });
  return server.run();
}
