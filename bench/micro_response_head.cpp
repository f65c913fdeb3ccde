// What is written in front of every answer: the common 200 with cached lines, an error, and the once-a-second
// date; and whole answers with a small body behind it.
#include <benchmark/benchmark.h>

#include <lastcall/core/buffer.hpp>
#include <lastcall/http/response_head.hpp>

#include "bench/rate.hpp"

namespace {

using namespace lastcall;

void write(benchmark::State& state, const ResponseHead& head) {
  BufferPool pool;
  Buffer out(pool);
  ResponseHeadWriter writer("lastcall");
  for (auto _ : state) {
    writer.set_time(1s);
    writer.write(head, out);
    benchmark::DoNotOptimize(out.data());
    out.clear();
  }
  bench::set_rate(state, 1);
}

void plaintext(benchmark::State& state) {
  write(state, {.length = 13, .fields = "Content-Type: text/plain\r\n"});
}

void refusal(benchmark::State& state) {
  write(state, {.status = 431,
                .persistence = ResponseHead::Persistence::close,
                .length = 40,
                .fields = "Content-Type: text/plain\r\n"});
}

void date(benchmark::State& state) {
  char out[kHttpDateBytes];
  Duration wall = 1'800'000'000s;
  for (auto _ : state) {
    write_http_date(wall, out);
    benchmark::DoNotOptimize(out);
    wall += 1s;
  }
  bench::set_rate(state, 1);
}

/// What each answer asks for, in all but one of them in vain.
void same_second(benchmark::State& state) {
  ResponseHeadWriter writer("lastcall");
  Duration wall = 1'800'000'000s;
  for (auto _ : state) {
    writer.set_time(wall);
    benchmark::DoNotOptimize(writer);
    wall += 1us;
  }
  bench::set_rate(state, 1);
}

/// As the session does: head and body, one behind the other, `range` answers before they are sent.
void answers(benchmark::State& state) {
  BufferPool pool;
  Buffer out(pool);
  ResponseHeadWriter writer("lastcall");
  writer.set_time(1'800'000'000s);
  const ResponseHead head{.length = 13, .content_type = "text/plain"};
  size_t bytes = 0;
  for (auto _ : state) {
    for (int64_t i = 0; i < state.range(0); ++i) {
      writer.write(head, out);
      out.append("Hello, World!");
    }
    benchmark::DoNotOptimize(out.data());
    bytes = out.size();
    out.release();
  }
  bench::set_rate(state, static_cast<size_t>(state.range(0)), bytes);
}

BENCHMARK(plaintext);
BENCHMARK(refusal);
BENCHMARK(date);
BENCHMARK(same_second);
BENCHMARK(answers)->Arg(1)->Arg(16);

}  // namespace

BENCHMARK_MAIN();
