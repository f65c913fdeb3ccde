// A server whose reactors do share something: bench/sharing.py has to find it, or finds nothing anywhere.
#include <atomic>
#include <cstring>

#include <lastcall/lastcall.hpp>

namespace {

std::atomic<uint64_t> counted{0};  // by all reactors

}  // namespace

// Takes the options of `lastcall demo` that the bench gives: demo --listen A --admin B --io C --reactors N
int main(int argc, char** argv) {
  lastcall::ServerOptions options;
  for (int i = 2; i + 1 < argc; i += 2) {
    if (std::strcmp(argv[i], "--listen") == 0) options.listen = {argv[i + 1]};
    if (std::strcmp(argv[i], "--admin") == 0) options.admin = argv[i + 1];
    if (std::strcmp(argv[i], "--reactors") == 0)
      options.reactors = static_cast<uint32_t>(std::stoul(argv[i + 1]));
    if (std::strcmp(argv[i], "--io") == 0) {
      options.io =
          std::strcmp(argv[i + 1], "epoll") == 0 ? lastcall::IoChoice::epoll : lastcall::IoChoice::io_uring;
    }
  }
  lastcall::Server server(std::move(options));
  server.get("/plaintext", [](const lastcall::Request&, lastcall::Response& response) {
    counted.fetch_add(1, std::memory_order_relaxed);
    response.text("Hello, World!");
  });
  return server.run();
}
