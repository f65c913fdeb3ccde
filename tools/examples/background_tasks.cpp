// Work that outlives its request: the stop waits for it. A task that fails is logged, and hurts nobody else;
// the exit code tells of it. The log is JSON, a line an event.
#include <stdexcept>
#include <thread>

#include <lastcall/core/log.hpp>
#include <lastcall/lastcall.hpp>

using namespace std::chrono_literals;
using lastcall::Request;
using lastcall::Response;

int main(int argc, char** argv) {
  lastcall::log_configure(lastcall::LogFormat::json, lastcall::LogLevel::info);
  lastcall::Server server({.listen = {argc > 1 ? argv[1] : "127.0.0.1:8080"}, .stop = {.deadline = 10s}});

  // A blocking function, on a thread of the background pool.
  server.post("/users", [&server](const Request& request, Response& response) {
    const bool taken = server.background("welcome mail", [to = std::string(request.body())] {
      std::this_thread::sleep_for(1s);  // the mail server is slow
      if (to.empty()) throw std::invalid_argument("nobody to write to");
      lastcall::log_event(lastcall::LogLevel::info, "mail_sent", {{"to", to}});
    });
    response.status(taken ? 202 : 503);
  });

  // A coroutine that goes on until the server stops.
  server.background("cleaner", [drain = server.drain_token()]() -> lastcall::Task<> {
    while (co_await lastcall::sleep_for(30s, drain)) {
      lastcall::log_event(lastcall::LogLevel::info, "cleaned_up");
    }
  });

  return server.run();  // 3 when a task has failed
}
