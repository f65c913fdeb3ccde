#include <lastcall/lastcall.hpp>

using namespace std::chrono_literals;

int main() {
  lastcall::Server server({.listen = {"127.0.0.1:8080"}});
  server.get("/", [](const lastcall::Request&, lastcall::Response& response) { response.text("hello\n"); });
  server.get("/slow/{name}",
             [](lastcall::Request& request, lastcall::Response& response) -> lastcall::Task<> {
               co_await lastcall::sleep_for(2s);
               response.text("hello, " + std::string(*request.param("name")) + "\n");
             });
  return server.run();  // until Ctrl-C: whoever is inside gets an answer first
}
