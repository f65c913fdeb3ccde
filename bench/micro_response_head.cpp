// What is written in front of every answer: the common 200 with cached lines, an error, and the once-a-second
// date.
#include <benchmark/benchmark.h>

#include <lastcall/core/buffer.hpp>
#include <lastcall/http/response_head.hpp>

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
}

BENCHMARK(plaintext);
BENCHMARK(refusal);
BENCHMARK(date);

}  // namespace

BENCHMARK_MAIN();
