// cpp-httplib as a peer: it blocks a thread for each connection, so it has 256 of them. Argument: PORT.
#include <httplib.h>

#include <csignal>
#include <cstdlib>
#include <limits>
#include <thread>

#include "json_body.hpp"

namespace {

void add_routes(httplib::Server& server) {
  server.Get("/plaintext", [](const httplib::Request&, httplib::Response& response) {
    response.set_content("Hello, World!", "text/plain");
  });
  server.Get("/json", [](const httplib::Request&, httplib::Response& response) {
    response.set_content(message_body(), "application/json");
  });
  server.Get("/users/([^/]+)", [](const httplib::Request& request, httplib::Response& response) {
    response.set_content(user_body(request.matches[1].str()), "application/json");
  });
  server.Get("/bytes", [](const httplib::Request&, httplib::Response& response) {
    response.set_content_provider(megabyte().size(), "application/octet-stream",
                                  [](size_t offset, size_t length, httplib::DataSink& sink) {
                                    return sink.write(megabyte().data() + offset, length);
                                  });
  });
  server.Post("/upload",
              [](const httplib::Request&, httplib::Response& response, const httplib::ContentReader& body) {
                size_t bytes = 0;
                body([&](const char*, size_t length) {
                  bytes += length;
                  return true;
                });
                response.set_content(bytes_body(bytes), "application/json");
              });
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 1;
  sigset_t stops;
  sigemptyset(&stops);
  sigaddset(&stops, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &stops, nullptr);
  httplib::Server server;
  server.new_task_queue = [] { return new httplib::ThreadPool(256); };
  server.set_keep_alive_max_count(std::numeric_limits<size_t>::max());
  server.set_keep_alive_timeout(75);
  server.set_tcp_nodelay(true);
  add_routes(server);
  // With a wait of up to 75 s for each idle connection it would not end before that.
  std::thread stopper([&] {
    int signal = 0;
    sigwait(&stops, &signal);
    std::_Exit(0);
  });
  const bool served = server.listen("127.0.0.1", std::atoi(argv[1]));
  stopper.detach();
  return served ? 0 : 1;
}
