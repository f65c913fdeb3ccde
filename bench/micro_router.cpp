// Finding the route of a path among a few dozen, as an application has them.
#include <benchmark/benchmark.h>

#include <string>
#include <string_view>

#include <lastcall/core/check.hpp>
#include <lastcall/http/router.hpp>

#include "bench/rate.hpp"

namespace {

using namespace lastcall;

Router application() {
  Router router;
  uint32_t route = 0;
  const auto add = [&](Method method, std::string_view pattern) {
    LASTCALL_CHECK(router.add(method, pattern, route++).has_value());
  };
  for (const char* resource :
       {"users", "posts", "orders", "products", "comments", "sessions", "reports", "teams"}) {
    const std::string base = std::string("/api/v1/") + resource;
    add(Method::get, base);
    add(Method::post, base);
    add(Method::get, base + "/{id}");
    add(Method::put, base + "/{id}");
    add(Method::get, base + "/{id}/history/{version}");
  }
  add(Method::get, "/");
  add(Method::get, "/plaintext");
  add(Method::get, "/static/{path...}");
  return router;
}

void match(benchmark::State& state, std::string_view path, Router::Outcome expected) {
  const Router router = application();
  RouteParams params;
  std::string scratch;
  scratch.reserve(path.size());
  for (auto _ : state) {
    scratch.clear();
    const Router::Match found = router.match(Method::get, path, params, scratch);
    if (found.outcome != expected) return state.SkipWithError("wrong outcome");
    benchmark::DoNotOptimize(found.route);
  }
  bench::set_rate(state, 1);
}
BENCHMARK_CAPTURE(match, literal, "/plaintext", Router::Outcome::found);
BENCHMARK_CAPTURE(match, deep_literal, "/api/v1/products", Router::Outcome::found);
BENCHMARK_CAPTURE(match, one_parameter, "/api/v1/users/1234", Router::Outcome::found);
BENCHMARK_CAPTURE(match, two_parameters, "/api/v1/teams/1234/history/17", Router::Outcome::found);
BENCHMARK_CAPTURE(match, encoded_parameter, "/api/v1/users/caf%C3%A9%2Fbar", Router::Outcome::found);
BENCHMARK_CAPTURE(match, wildcard, "/static/css/themes/dark/main.css", Router::Outcome::found);
BENCHMARK_CAPTURE(match, absent, "/api/v1/users/1234/absent", Router::Outcome::not_found);

}  // namespace

BENCHMARK_MAIN();
