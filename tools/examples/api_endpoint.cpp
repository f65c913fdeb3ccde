// An API endpoint inside a larger program: it starts beside the program's own work, and stops when that is
// done.
#include <cstdio>
#include <thread>

#include <lastcall/lastcall.hpp>

using namespace std::chrono_literals;

class ApiEndpoint {
 public:
  explicit ApiEndpoint(std::string address)
      : server_({.listen = {std::move(address)},
                 .stop = {.deadline = 5s},
                 .header_timeout = 10s,
                 .body_timeout = 10s,
                 .write_timeout = 30s,
                 .idle_timeout = 1min}) {
    server_.get("/slow", [](lastcall::Request&, lastcall::Response& response) -> lastcall::Task<> {
      co_await lastcall::sleep_for(1500ms);
      response.json(R"({"status":"done"})");
    });
  }

  /// The address in use, or why there is none.
  lastcall::Result<std::string> start() {
    const auto addresses = server_.start();
    if (!addresses) return std::unexpected(addresses.error());
    return addresses->front();
  }

  /// Waits for who is inside, at most 5 s; an error when somebody had to be cut off.
  lastcall::Result<void> stop() {
    const auto report = server_.shutdown();
    if (!report) return std::unexpected(report.error());
    if (report->exit_code != 0) return lastcall::error("not everybody was served");
    return {};
  }

 private:
  lastcall::Server server_;
};

int main(int argc, char** argv) {
  std::string address = argc > 1 ? argv[1] : "127.0.0.1:8080";
  for (int round = 1; round <= 2; ++round) {  // the second one needs the port that the first one had
    ApiEndpoint endpoint(address);
    const auto started = endpoint.start();
    if (!started) return std::fprintf(stderr, "start: %s\n", started.error().message.c_str()), 1;
    address = *started;
    std::this_thread::sleep_for(1s);  // the program's own work
    if (const auto stopped = endpoint.stop(); !stopped)
      return std::fprintf(stderr, "stop: %s\n", stopped.error().message.c_str()), 1;
    std::fprintf(stderr, "round %d over\n", round);
  }
}
