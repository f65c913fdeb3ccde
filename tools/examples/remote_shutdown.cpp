// The stop by request: POST /shutdown is answered in full, as is everything else under way. SIGTERM does the
// same; both at once, or twice, are one stop.
#include <cstdio>

#include <lastcall/lastcall.hpp>

using namespace std::chrono_literals;

int main(int argc, char** argv) {
  lastcall::Server server({.listen = {argc > 1 ? argv[1] : "127.0.0.1:8080"}, .stop = {.deadline = 5s}});
  server.get("/work", [](lastcall::Request&, lastcall::Response& response) -> lastcall::Task<> {
    co_await lastcall::sleep_for(1s);
    response.text("worked\n");
  });
  server.post("/shutdown", [&server](const lastcall::Request& request, lastcall::Response& response) {
    server.stop("POST /shutdown by " + request.peer());  // returns at once; shutdown() would wait for us
    response.text("the server is shutting down\n");
  });
  const int exit_code = server.run();
  const auto report = server.wait();
  if (report) std::printf("stopped by %s after %d ms\n", report->reason.c_str(), int(report->duration_ms));
  return exit_code;
}
