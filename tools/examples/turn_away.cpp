// New work is turned away as soon as a stop is asked for; what has begun is finished. A balancer in front
// tries the refused requests elsewhere.
#include <lastcall/lastcall.hpp>

using namespace std::chrono_literals;

int main() {
  lastcall::WorkerPool db("db", {.threads = 4, .queue = 64});
  lastcall::Server server({.listen = {"127.0.0.1:8080"}});

  lastcall::Group api = server.group("/api", {.handler_timeout = 10s, .max_in_flight = 100});
  api.before([&server](const lastcall::Request&, lastcall::Response& response) {
    if (!server.stopping()) return true;
    response.status(503).header("Retry-After", "1").text("stopping, ask somebody else\n");
    return false;
  });
  api.get("/orders/{id}",
          [&db](lastcall::Request& request, lastcall::Response& response) -> lastcall::Task<> {
            auto order =
                co_await lastcall::offload(db, [&] { return "order " + std::string(*request.param("id")); });
            response.text(order.value());  // a full queue: 503
          });
  return server.run();
}
