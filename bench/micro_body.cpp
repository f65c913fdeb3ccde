// Request bodies out of their framing: by length, and chunked, in pieces of any size.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <string>
#include <string_view>

#include <lastcall/http/body_decoder.hpp>

#include "bench/rate.hpp"
#include "bench/requests.hpp"

namespace {

using namespace lastcall;

/// Feeds `framed` in pieces of at most `piece_bytes`; how many bytes of body came out, 0 when it was refused.
size_t decode(BodyDecoder& decoder, std::string_view framed, size_t piece_bytes) {
  using Outcome = BodyDecoder::Step::Outcome;
  size_t body = 0;
  for (std::string_view left = framed; !decoder.complete();) {
    const BodyDecoder::Step step = decoder.next(left.substr(0, piece_bytes));
    if (step.outcome == Outcome::refused) return 0;
    if (step.outcome == Outcome::more && left.empty()) return 0;
    body += step.data.size();
    left.remove_prefix(step.consumed);
  }
  return body;
}

void run(benchmark::State& state, std::string_view framed, size_t body, size_t piece_bytes, bool chunked) {
  const Limits limits;
  BodyDecoder decoder;
  for (auto _ : state) {
    if (chunked) {
      decoder.start_chunked(limits);
    } else {
      decoder.start_length(body);
    }
    if (decode(decoder, framed, piece_bytes) != body) return state.SkipWithError("wrong body");
  }
  bench::set_rate(state, 1, framed.size());
}

constexpr size_t kWhole = SIZE_MAX;
constexpr size_t kRead = 16 * 1024;  // what a backend lends at once

void length(benchmark::State& state, const std::string& body) {
  run(state, body, body.size(), kRead, false);
}
BENCHMARK_CAPTURE(length, form, std::string(bench::kForm));
BENCHMARK_CAPTURE(length, megabyte, std::string(1 << 20, 'x'));

std::string in_chunks(size_t chunks, size_t chunk_bytes, std::string_view extension = "") {
  char size[32];
  std::snprintf(size, sizeof size, "%zx", chunk_bytes);
  std::string framed;
  for (size_t i = 0; i < chunks; ++i)
    framed += size + std::string(extension) + "\r\n" + std::string(chunk_bytes, 'x') + "\r\n";
  return framed + "0\r\n\r\n";
}

void chunked(benchmark::State& state, size_t chunks, size_t chunk_bytes, size_t piece_bytes) {
  run(state, in_chunks(chunks, chunk_bytes), chunks * chunk_bytes, piece_bytes, true);
}
BENCHMARK_CAPTURE(chunked, form, 1, 90, kWhole);
BENCHMARK_CAPTURE(chunked, many_small, 100, 20, kWhole);
BENCHMARK_CAPTURE(chunked, many_small_in_pieces, 100, 20, 7);
BENCHMARK_CAPTURE(chunked, megabyte, 64, 16384, kRead);

void chunk_extension(benchmark::State& state) {
  run(state, in_chunks(100, 20, ";name=\"a value\";b"), 100 * 20, kWhole, true);
}
BENCHMARK(chunk_extension);

}  // namespace

BENCHMARK_MAIN();
