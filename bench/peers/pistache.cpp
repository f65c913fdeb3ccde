// Pistache as a peer: one worker thread beside the one that accepts. Argument: PORT.
#include <pistache/endpoint.h>
#include <pistache/http.h>
#include <pistache/net.h>

#include <csignal>
#include <cstdlib>

#include "json_body.hpp"

namespace {

namespace http = Pistache::Http;

class Handler : public http::Handler {
 public:
  HTTP_PROTOTYPE(Handler)

  void onRequest(const http::Request& request, http::ResponseWriter response) override {
    const std::string& path = request.resource();
    if (path == "/plaintext") {
      response.send(http::Code::Ok, "Hello, World!", MIME(Text, Plain));
    } else if (path == "/json") {
      response.send(http::Code::Ok, message_body(), MIME(Application, Json));
    } else if (path.starts_with("/users/")) {
      response.send(http::Code::Ok, user_body(std::string_view(path).substr(7)), MIME(Application, Json));
    } else if (path == "/bytes") {
      response.send(http::Code::Ok, megabyte().data(), megabyte().size(), MIME(Application, OctetStream));
    } else if (path == "/upload") {
      response.send(http::Code::Ok, bytes_body(request.body().size()), MIME(Application, Json));
    } else {
      response.send(http::Code::Not_Found);
    }
  }
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 1;
  sigset_t stops;
  sigemptyset(&stops);
  sigaddset(&stops, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &stops, nullptr);
  const Pistache::Address address(Pistache::Ipv4::loopback(),
                                  Pistache::Port(static_cast<uint16_t>(std::atoi(argv[1]))));
  http::Endpoint endpoint(address);
  endpoint.init(http::Endpoint::options()
                    .threads(1)
                    .backlog(4096)
                    .maxRequestSize(size_t{64} << 20)
                    .flags(Pistache::Tcp::Options::ReuseAddr | Pistache::Tcp::Options::NoDelay));
  endpoint.setHandler(http::make_handler<Handler>());
  endpoint.serveThreaded();
  int signal = 0;
  sigwait(&stops, &signal);
  endpoint.shutdown();
}
