// What is judged of a request head that has been cut into words: method, target, Host, fields; and the
// look-up of a field by a handler.
#include <benchmark/benchmark.h>

#include <string_view>
#include <utility>
#include <vector>

#include <lastcall/http/field_rules.hpp>
#include <lastcall/http/method.hpp>
#include <lastcall/http/request_head.hpp>
#include <lastcall/http/target.hpp>

#include "bench/rate.hpp"
#include "bench/requests.hpp"

namespace {

using namespace lastcall;

void method(benchmark::State& state, std::string_view token) {
  for (auto _ : state) {
    benchmark::DoNotOptimize(token);
    benchmark::DoNotOptimize(parse_method(token));
  }
  if (!parse_method(token)) return state.SkipWithError("no method");
  bench::set_rate(state, 1);
}
BENCHMARK_CAPTURE(method, get, "GET");
BENCHMARK_CAPTURE(method, post, "POST");
BENCHMARK_CAPTURE(method, propfind, "PROPFIND");

void target(benchmark::State& state, std::string_view text, bool plain) {
  RequestHead head;
  for (auto _ : state) {
    head.target = text;
    head.host = {};
    if (judge_target(head, plain).status != 0) return state.SkipWithError("refused");
    benchmark::DoNotOptimize(head.path);
  }
  bench::set_rate(state, 1, text.size());
}
BENCHMARK_CAPTURE(target, plain, "/plaintext", true);
BENCHMARK_CAPTURE(target, query, "/users/1234/posts?page=2&sort=newest", false);
BENCHMARK_CAPTURE(target, encoded, "/caf%C3%A9/%E2%82%AC?q=a%20b", false);
BENCHMARK_CAPTURE(target, absolute, "http://www.example.com:8080/users/1234", false);

/// Hosts that differ from the one before, so that all of it is judged; and the same again.
void host(benchmark::State& state, std::string_view one, std::string_view other) {
  HostCheck check;
  for (auto _ : state) {
    if (!check.valid(one)) return state.SkipWithError("refused");
    std::swap(one, other);
  }
  bench::set_rate(state, 1);
}
BENCHMARK_CAPTURE(host, same, "127.0.0.1:8080", "127.0.0.1:8080");
BENCHMARK_CAPTURE(host, name, "www.example.com", "api.example.com:8443");
BENCHMARK_CAPTURE(host, ipv6, "[2001:db8::1]:8080", "[2001:db8::2]:8080");

/// "Name: value" lines as fields; views into `lines`.
std::vector<Field> fields_of(std::string_view lines) {
  std::vector<Field> fields{{.name = "Host", .value = "127.0.0.1:8080"}};
  while (!lines.empty()) {
    const size_t colon = lines.find(": "), end = lines.find("\r\n");
    fields.push_back({.name = lines.substr(0, colon), .value = lines.substr(colon + 2, end - colon - 2)});
    lines.remove_prefix(end + 2);
  }
  return fields;
}

void fields(benchmark::State& state, std::string_view lines) {
  HostCheck check;
  RequestHead head;
  head.fields = fields_of(lines);
  for (auto _ : state) {
    head.host = {};
    head.has_length = head.chunked = false;
    if (judge_fields(head, check).status != 0) return state.SkipWithError("refused");
    benchmark::DoNotOptimize(head.keep_alive);
  }
  bench::set_rate(state, head.fields.size());
}
BENCHMARK_CAPTURE(fields, wrk, "");
BENCHMARK_CAPTURE(fields, form, "Content-Type: text/plain\r\nContent-Length: 90\r\n");
BENCHMARK_CAPTURE(fields, chunked, "Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\n");
BENCHMARK_CAPTURE(fields, browser_20, bench::kBrowserFields);

void find(benchmark::State& state, std::string_view name, bool there) {
  RequestHead head;
  head.fields = fields_of(bench::kBrowserFields);
  for (auto _ : state) {
    const std::string_view* value = head.find(name);
    if ((value != nullptr) != there) return state.SkipWithError("wrong");
    benchmark::DoNotOptimize(value);
  }
  bench::set_rate(state, 1);
}
BENCHMARK_CAPTURE(find, first, "host", true);
BENCHMARK_CAPTURE(find, seventh, "cookie", true);
BENCHMARK_CAPTURE(find, last, "connection", true);
BENCHMARK_CAPTURE(find, absent, "authorization", false);

}  // namespace

BENCHMARK_MAIN();
