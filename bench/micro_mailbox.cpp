// Messages to a reactor: from its own thread, and from others that all post at once. The eventfd is written
// to.
#include <benchmark/benchmark.h>

#include <atomic>
#include <cstdint>
#include <thread>

#include <lastcall/core/mailbox.hpp>

#include "bench/rate.hpp"

namespace {

using namespace lastcall;

/// A batch a turn: the first message wakes the reactor, the others find it woken.
void post_and_run(benchmark::State& state) {
  Mailbox mailbox;
  const int64_t batch = state.range(0);
  int64_t ran = 0;
  for (auto _ : state) {
    for (int64_t i = 0; i < batch; ++i) mailbox.post([&ran] { ++ran; });
    mailbox.run_all();
  }
  if (ran != static_cast<int64_t>(state.iterations()) * batch)
    return state.SkipWithError("messages were lost");
  state.SetItemsProcessed(ran);
}
BENCHMARK(post_and_run)->Arg(1)->Arg(64);

/// What each turn without mail pays, if it looks.
void run_nothing(benchmark::State& state) {
  Mailbox mailbox;
  for (auto _ : state) benchmark::DoNotOptimize(mailbox.run_all());
  bench::set_rate(state, 1);
}
BENCHMARK(run_nothing);

/// As the worker pool's threads do, while the reactor takes what there is.
void post_from_others(benchmark::State& state) {
  static Mailbox mailbox;
  static std::atomic<int64_t> ran{0};
  if (state.thread_index() == 0) {
    for (auto _ : state) mailbox.run_all();
  } else {
    for (auto _ : state) mailbox.post([] { ran.fetch_add(1, std::memory_order_relaxed); });
    bench::set_rate(state, 1);
  }
}
BENCHMARK(post_from_others)->Threads(3)->UseRealTime();

}  // namespace

BENCHMARK_MAIN();
