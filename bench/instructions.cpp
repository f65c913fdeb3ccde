// Warm requests through worker and session, for callgrind to count; instructions.py runs it.
//   instructions WORK KERNEL ROUNDS    the first rounds warm up; then the counters are set to zero. KERNEL:
//   epoll or
//                                      io_uring, simulated, or real-epoll, real-io_uring
//   instructions --list                the works, and the requests of one round
//   instructions --about               the compiler
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include <lastcall/core/epoll_backend.hpp>
#include <lastcall/core/uring_backend.hpp>

#include "bench/counted_sim.hpp"
#include "bench/sim_clients.hpp"
#include "bench/socket_clients.hpp"
#include "bench/warm_worker.hpp"
#include "bench/works.hpp"

namespace lastcall::bench {
namespace {

constexpr int kWarmUpRounds = 16;

int list() {
  for (const Work& work : works())
    std::printf("%s %zu\n", std::string(work.name).c_str(), work.connections * work.requests);
  return 0;
}

int about() {
#ifdef __clang__
  std::puts(__VERSION__);
#else
  std::puts("g++ " __VERSION__);
#endif
  return 0;
}

template <class Backend, class Clients, class... Args>
void serve(const Work& work, int rounds, Args&&... args) {
  WarmWorker<Backend, Clients, Counting> worker(work, std::forward<Args>(args)...);
  for (int i = 0; i < kWarmUpRounds; ++i) worker.round();
  CALLGRIND_ZERO_STATS;
  for (int i = 0; i < rounds; ++i) worker.round();
  CALLGRIND_DUMP_STATS;
}

int run(std::string_view name, std::string_view kernel, int rounds) {
  const auto work = std::ranges::find(works(), name, &Work::name);
  if (work == works().end()) throw std::runtime_error("no such work");
  if (kernel == "epoll") {
    serve<CountedSim, SimClients>(*work, rounds, SimOptions::epoll_like());
  } else if (kernel == "io_uring") {
    serve<CountedSim, SimClients>(*work, rounds, SimOptions::uring_like());
  } else if (work->fresh || work->step > 0s) {
    throw std::runtime_error("such clients are only simulated");
  } else if (kernel == "real-epoll") {
    serve<EpollBackend, SocketClients>(*work, rounds);
  } else if (kernel == "real-io_uring") {
    serve<UringBackend, SocketClients>(*work, rounds);
  } else {
    throw std::runtime_error("no such kernel");
  }
  return 0;
}

}  // namespace
}  // namespace lastcall::bench

int main(int argc, char** argv) {
  try {
    if (argc == 2 && std::strcmp(argv[1], "--list") == 0) return lastcall::bench::list();
    if (argc == 2 && std::strcmp(argv[1], "--about") == 0) return lastcall::bench::about();
    if (argc == 4) return lastcall::bench::run(argv[1], argv[2], std::atoi(argv[3]));
    std::fprintf(stderr, "usage: instructions --list | --about | WORK [real-]epoll|io_uring ROUNDS\n");
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "instructions: %s\n", error.what());
    return 1;
  }
}
