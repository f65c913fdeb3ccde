// Rounds of requests through a whole reactor on the simulated network: worker, sessions, timers, and the
// simulation itself, which is about half of the time. What is lastcall's is counted by instructions.py.
#include <benchmark/benchmark.h>

#include "bench/rate.hpp"
#include "bench/sim_clients.hpp"
#include "bench/warm_worker.hpp"
#include "tests/sim/sim_backend.hpp"

namespace {

using namespace lastcall;

void serve(benchmark::State& state, const bench::Work& work, const SimOptions& sim) {
  bench::WarmWorker<SimBackend, bench::SimClients> worker(work, sim);
  worker.round();
  for (auto _ : state) worker.round();
  bench::set_rate(state, work.connections * work.requests);
}

}  // namespace

int main(int argc, char** argv) {
  for (const bench::Work& work : bench::works()) {
    const std::string name(work.name);
    for (const auto& [manner, sim] :
         {std::pair{"/epoll", SimOptions::epoll_like()}, {"/io_uring", SimOptions::uring_like()}})
      benchmark::RegisterBenchmark((name + manner).c_str(),
                                   [&work, sim](benchmark::State& state) { serve(state, work, sim); });
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
