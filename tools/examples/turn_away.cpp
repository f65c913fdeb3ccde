// New orders are turned away as soon as a stop is asked for, and those under way are finished. A balancer in
// front tries the refused ones elsewhere. Try it: curl localhost:8080/api/orders/7 & kill -TERM, curl again.
#include <cstdio>
#include <thread>

#include <lastcall/lastcall.hpp>

using namespace std::chrono_literals;

int main(int argc, char** argv) {
  lastcall::WorkerPool db("db", {.threads = 4, .queue = 64});  // full: 503
  lastcall::Server server({.listen = {argc > 1 ? argv[1] : "127.0.0.1:8080"}, .stop = {.announce = 3s}});

  lastcall::Group api = server.group("/api", {.handler_timeout = 10s, .max_in_flight = 100});
  api.before([&server](const lastcall::Request&, lastcall::Response& response) {
    if (!server.stopping()) return true;
    response.status(503).header("Retry-After", "1").text("stopping, ask somebody else\n");
    return false;
  });
  api.get("/orders/{id}",
          [&db](lastcall::Request& request, lastcall::Response& response) -> lastcall::Task<> {
            auto order = co_await lastcall::offload(db, [&request] {
              std::this_thread::sleep_for(2s);  // a slow query
              return "order " + std::string(*request.param("id")) + "\n";
            });
            response.text(order.value());
          });
  server.on_shutdown([] { std::fprintf(stderr, "stopping: new orders are turned away\n"); });
  return server.run();
}
