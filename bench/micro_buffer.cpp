// Memory of a connection: buffers out of the reactor's pool, filled, shortened and given back.
#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include <lastcall/core/buffer.hpp>

#include "bench/rate.hpp"
#include "bench/requests.hpp"

namespace {

using namespace lastcall;

/// What each answer on an idle connection costs: memory comes with its first byte and goes when it is sent.
void take_and_give(benchmark::State& state) {
  BufferPool pool;
  Buffer buffer(pool);
  for (auto _ : state) {
    benchmark::DoNotOptimize(buffer.prepare(static_cast<size_t>(state.range(0))));
    buffer.release();
  }
  bench::set_rate(state, 1);
}
BENCHMARK(take_and_give)->Arg(128)->Arg(8 << 10)->Arg(48 << 10)->Arg(1 << 20);

/// 64 connections have one at the same time: what comes out of the pool is not always the same.
void take_and_give_64(benchmark::State& state) {
  BufferPool pool;
  std::vector<Buffer> buffers;
  for (int i = 0; i < 64; ++i) buffers.emplace_back(pool);
  for (auto _ : state) {
    for (Buffer& buffer : buffers) benchmark::DoNotOptimize(buffer.prepare(128));
    for (Buffer& buffer : buffers) buffer.release();
  }
  bench::set_rate(state, buffers.size());
}
BENCHMARK(take_and_give_64);

void append(benchmark::State& state) {
  BufferPool pool;
  Buffer buffer(pool);
  const std::string bytes(static_cast<size_t>(state.range(0)), 'x');
  for (auto _ : state) {
    buffer.clear();
    buffer.append(bytes);
    benchmark::DoNotOptimize(buffer.data());
  }
  bench::set_rate(state, 1, bytes.size());
}
BENCHMARK(append)->Arg(13)->Arg(150)->Arg(4000);

/// From nothing to 1 MB in reads of 16 KiB: moves through the size classes on the way.
void grow(benchmark::State& state) {
  constexpr size_t kBytes = 1 << 20;
  BufferPool pool;
  const std::string read(16 << 10, 'x');
  for (auto _ : state) {
    Buffer buffer(pool);
    while (buffer.size() < kBytes) buffer.append(read);
    benchmark::DoNotOptimize(buffer.data());
  }
  bench::set_rate(state, 1, kBytes);
}
BENCHMARK(grow);

/// A request taken off the front while others wait behind it.
void consume(benchmark::State& state) {
  BufferPool pool;
  Buffer buffer(pool);
  const std::string sixteen = bench::pipelined(bench::kWrk, 16);
  for (auto _ : state) {
    buffer.append(sixteen);
    while (!buffer.empty()) buffer.consume(bench::kWrk.size());
  }
  bench::set_rate(state, 16);
}
BENCHMARK(consume);

}  // namespace

BENCHMARK_MAIN();
