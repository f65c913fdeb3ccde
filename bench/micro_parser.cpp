// A request head from bytes to RequestHead: the scanner alone, with the parser behind it, and both in one
// pass.
#include <benchmark/benchmark.h>

#include <string>
#include <string_view>

#include <lastcall/http/head_scanner.hpp>
#include <lastcall/http/request_parser.hpp>

#include "bench/rate.hpp"
#include "bench/requests.hpp"

namespace {

using namespace lastcall;

void scan(benchmark::State& state, const std::string& bytes) {
  const Limits limits;
  HeadScanner scanner;
  for (auto _ : state) {
    scanner.reset();
    const HeadScanner::Result result = scanner.scan(bytes, limits);
    if (result.outcome != HeadScanner::Result::Outcome::complete) return state.SkipWithError("not complete");
    benchmark::DoNotOptimize(result.length);
  }
  bench::set_rate(state, 1, bytes.size());
}
BENCHMARK_CAPTURE(scan, wrk, std::string(bench::kWrk));
BENCHMARK_CAPTURE(scan, browser, bench::browser_request());

/// As a slow client's packets bring it: each byte is looked at once, however the head is cut.
void scan_in_pieces(benchmark::State& state) {
  constexpr size_t kPiece = 100;
  const std::string bytes = bench::browser_request();
  const Limits limits;
  HeadScanner scanner;
  for (auto _ : state) {
    scanner.reset();
    HeadScanner::Result result;
    for (size_t come = kPiece; result.outcome == HeadScanner::Result::Outcome::incomplete; come += kPiece)
      result = scanner.scan(std::string_view(bytes).substr(0, come), limits);
    if (result.outcome != HeadScanner::Result::Outcome::complete) return state.SkipWithError("not complete");
  }
  bench::set_rate(state, 1, bytes.size());
}
BENCHMARK(scan_in_pieces);

/// All heads of `bytes`, one behind the other.
void scan_and_parse(benchmark::State& state, const std::string& bytes, size_t heads) {
  const Limits limits;
  HeadScanner scanner;
  RequestParser parser;
  RequestHead head;
  for (auto _ : state) {
    std::string_view left = bytes;
    for (size_t i = 0; i < heads; ++i) {
      scanner.reset();
      const HeadScanner::Result result = scanner.scan(left, limits);
      if (result.outcome != HeadScanner::Result::Outcome::complete)
        return state.SkipWithError("not complete");
      head.clear();
      benchmark::DoNotOptimize(
          parser.parse(left.substr(0, result.length), limits, head, result.plain_target));
      left.remove_prefix(result.length);
    }
  }
  if (head.path.empty()) return state.SkipWithError("refused");
  bench::set_rate(state, heads, bytes.size());
}
BENCHMARK_CAPTURE(scan_and_parse, wrk, std::string(bench::kWrk), 1);
BENCHMARK_CAPTURE(scan_and_parse, browser, bench::browser_request(), 1);
BENCHMARK_CAPTURE(scan_and_parse, pipelined_16, bench::pipelined(bench::kWrk, 16), 16);

/// What nearly all heads go through instead. The browser's target with a query is not theirs: it is left to
/// the others.
void read_usual(benchmark::State& state, const std::string& bytes, size_t heads) {
  const Limits limits;
  RequestParser parser;
  RequestHead head;
  head.fields.reserve(limits.max_fields);
  for (auto _ : state) {
    std::string_view left = bytes;
    for (size_t i = 0; i < heads; ++i) {
      head.clear();
      const uint32_t length = parser.read_usual(left, limits, head);
      if (length == 0) return state.SkipWithError("not usual");
      left.remove_prefix(length);
    }
    benchmark::DoNotOptimize(head.path);
  }
  bench::set_rate(state, heads, bytes.size());
}
BENCHMARK_CAPTURE(read_usual, wrk, std::string(bench::kWrk), 1);
BENCHMARK_CAPTURE(read_usual, browser, bench::browser_request("/users/1234/posts"), 1);
BENCHMARK_CAPTURE(read_usual, pipelined_16, bench::pipelined(bench::kWrk, 16), 16);

}  // namespace

BENCHMARK_MAIN();
