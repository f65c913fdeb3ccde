// Handlers that notice the stop, a stopping flag in front of them, and a database that goes last.
#include <cstdio>
#include <thread>

#include <lastcall/lastcall.hpp>

using namespace std::chrono_literals;
using lastcall::Request;
using lastcall::Response;
using lastcall::Task;

struct Database {
  explicit Database(const char* name) : name_(name) { std::fprintf(stderr, "%s opened\n", name_); }
  ~Database() { std::fprintf(stderr, "%s closed\n", name_); }
  int rows = 0;

 private:
  const char* name_;
};

int main(int argc, char** argv) {
  auto db = std::make_unique<Database>("database");
  lastcall::Server server({.listen = {argc > 1 ? argv[1] : "127.0.0.1:8080"}, .stop = {.deadline = 5s}});

  server.before([&server](const Request&, Response& response) {
    if (!server.stopping()) return true;
    response.status(503).header("Retry-After", "1").text("stopping\n");
    return false;
  });

  // Long work in steps: it ends with a part of its result when the server stops, and gives up when nobody
  // waits for it.
  server.get("/report", [&db](Request& request, Response& response) -> Task<> {
    int step = 0;
    while (step < 100 && !request.aborted() && co_await lastcall::sleep_for(100ms, request.drain_token()))
      ++step;
    response.text("steps " + std::to_string(step) + ", rows " + std::to_string(db->rows) + "\n");
  });

  // Work that cannot be cut into steps, on another thread: it watches the token by itself.
  server.get("/compute", [](Request& request, Response& response) -> Task<> {
    auto compute = [token = request.stop_token()] {
      int count = 0;
      for (; count < 20 && !token.stop_requested(); ++count) std::this_thread::sleep_for(50ms);
      return count;
    };
    const auto count = co_await lastcall::offload(compute);
    response.text("computed " + std::to_string(count.value()) + "\n");
  });

  server.on_stopped([&db] { db.reset(); });  // nobody uses it any more
  return server.run();
}
