// A request head from bytes to RequestHead: the scanner alone, and with the parser behind it.
#include <benchmark/benchmark.h>

#include <string_view>

#include <lastcall/http/head_scanner.hpp>
#include <lastcall/http/request_parser.hpp>

namespace {

using namespace lastcall;

constexpr std::string_view kWrk = "GET /plaintext HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";

constexpr std::string_view kBrowser =
    "GET /users/1234/posts?page=2&sort=newest HTTP/1.1\r\n"
    "Host: www.example.com\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n"
    "Accept-Language: en-GB,en;q=0.7,de;q=0.3\r\n"
    "Accept-Encoding: gzip, deflate, br, zstd\r\n"
    "Referer: https://www.example.com/users/1234\r\n"
    "Cookie: session=6f1c2a9be07d4c53a8e2; theme=dark; consent=analytics%3Dno%26marketing%3Dno\r\n"
    "Upgrade-Insecure-Requests: 1\r\n"
    "Sec-Fetch-Dest: document\r\n"
    "Sec-Fetch-Mode: navigate\r\n"
    "Sec-Fetch-Site: same-origin\r\n"
    "Connection: keep-alive\r\n"
    "\r\n";

void count_bytes(benchmark::State& state, std::string_view bytes) {
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) * static_cast<int64_t>(bytes.size()));
}

void scan(benchmark::State& state, std::string_view bytes) {
  const Limits limits;
  HeadScanner scanner;
  for (auto _ : state) {
    scanner.reset();
    const HeadScanner::Result result = scanner.scan(bytes, limits);
    if (result.outcome != HeadScanner::Result::Outcome::complete) return state.SkipWithError("not complete");
    benchmark::DoNotOptimize(result.length);
  }
  count_bytes(state, bytes);
}
BENCHMARK_CAPTURE(scan, wrk, kWrk);
BENCHMARK_CAPTURE(scan, browser, kBrowser);

void scan_and_parse(benchmark::State& state, std::string_view bytes) {
  const Limits limits;
  HeadScanner scanner;
  RequestParser parser;
  RequestHead head;
  for (auto _ : state) {
    scanner.reset();
    const HeadScanner::Result result = scanner.scan(bytes, limits);
    if (result.outcome != HeadScanner::Result::Outcome::complete) return state.SkipWithError("not complete");
    head.clear();
    benchmark::DoNotOptimize(parser.parse(bytes.substr(0, result.length), limits, head));
  }
  if (head.path.empty()) return state.SkipWithError("refused");
  count_bytes(state, bytes);
}
BENCHMARK_CAPTURE(scan_and_parse, wrk, kWrk);
BENCHMARK_CAPTURE(scan_and_parse, browser, kBrowser);

}  // namespace

BENCHMARK_MAIN();
