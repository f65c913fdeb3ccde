// Whole requests through a session, without any I/O: bytes in, answer out, thrown away. Beside parsing and
// writing: the exchange, the route, the handler.
#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lastcall/core/check.hpp>
#include <lastcall/http/memory_reactor.hpp>

#include "bench/rate.hpp"
#include "bench/requests.hpp"

namespace {

using namespace lastcall;

/// A connection whose peer takes everything at once.
class OpenLink : public Link {
 public:
  using Link::Link;
  /// As the worker does after a send that ended at once; how many bytes there were.
  size_t send_all() noexcept {
    loop_->dirty = nullptr;
    listed_ = Listed::no;
    in_flight_.swap(prepared_);
    const size_t bytes = in_flight_.size();
    bytes_sent_ += bytes;
    in_flight_.release();
    return bytes;
  }
};

Task<> echo(Request& asked, Response& response) {
  response.content_length(*asked.content_length());
  for (;;) {
    const std::string_view piece = co_await asked.read();
    if (piece.empty() || !co_await response.write(piece)) co_return;
  }
}

class Host {
 public:
  Host() {
    add(Method::get, "/plaintext",
        [](const Request&, Response& response) { response.text("Hello, World!"); });
    add(Method::get, "/users/{id}/posts", [](const Request& asked, Response& response) {
      response.header("Cache-Control", "no-store").text(*asked.param("id"));
    });
    add(Method::post, "/form", [](const Request& asked, Response& response) { response.text(asked.body()); });
    add(Method::post, "/echo", echo);
    session_ = std::make_unique<Session>(reactor_.environment(), link_);
  }
  ~Host() { session_->on_close(); }
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  /// How many bytes the answers have.
  size_t ask(std::string_view bytes) {
    session_->on_bytes(bytes);
    return link_.send_all();
  }
  [[nodiscard]] bool well() const noexcept { return session_->close_wish() == CloseWish::none; }

 private:
  void add(Method method, std::string_view pattern, Handler handler) {
    LASTCALL_CHECK(router_.add(method, pattern, static_cast<uint32_t>(routes_.size())).has_value());
    routes_.push_back({.pattern = std::string(pattern), .handler = std::move(handler), .options = {}});
  }

  SessionOptions options_;
  Router router_;
  std::vector<Route> routes_;
  OffloadPool pool_{1, 1};
  MemoryReactor reactor_{options_, router_, routes_, pool_, "lastcall"};
  OpenLink link_{reactor_.loop()};
  std::unique_ptr<Session> session_;
};

void ask(benchmark::State& state, const std::string& bytes, size_t requests) {
  Host host;
  const size_t expected = host.ask(bytes);
  for (auto _ : state) {
    if (host.ask(bytes) != expected) return state.SkipWithError("an answer differs");
  }
  if (expected < requests * 100 || !host.well()) return state.SkipWithError("not answered");
  bench::set_rate(state, requests, bytes.size() + expected);
}
BENCHMARK_CAPTURE(ask, wrk, std::string(bench::kWrk), 1);
BENCHMARK_CAPTURE(ask, pipelined_16, bench::pipelined(bench::kWrk, 16), 16);
BENCHMARK_CAPTURE(ask, browser, bench::browser_request(), 1);
BENCHMARK_CAPTURE(ask, form, bench::form_request("/form"), 1);
BENCHMARK_CAPTURE(ask, echo_by_coroutine, bench::form_request("/echo"), 1);
BENCHMARK_CAPTURE(ask, not_found, bench::request("GET /absent"), 1);

}  // namespace

BENCHMARK_MAIN();
