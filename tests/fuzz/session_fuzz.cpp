// A connection: its bytes whole, and as the fuzzer cuts them. Both must give the same answers, in a stream
// that a client can read, and leave the connection in the same state.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lastcall/core/check.hpp>

#include "tests/fuzz/split.hpp"
#include "tests/support/answers.hpp"
#include "tests/support/session_routes.hpp"

namespace {

using namespace lastcall;
using namespace lastcall::test;

constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

struct Outcome {
  std::string stream;
  bool open = false;
  CloseReason reason{};
  CloseWish wish{};
};

Task<> pause(Request&, Response& response) {
  co_await sleep_for(10ms);
  response.text("after a pause");
}

void add_handlers(SessionHost& host) {
  add_routes([&host](Method method, std::string_view pattern, Handler handler, RouteOptions options) {
    // Not those whose cost is a number in the request.
    if (pattern == "/big" || pattern == "/stream" || pattern == "/sleep") return;
    host.on(method, pattern, std::move(handler), options);
  });
  host.on(Method::get, "/pause", pause);
}

/// Whether 100 Continue is needed depends on what has come; it says nothing else.
std::string without_continue(std::string stream) {
  for (size_t at = 0; (at = stream.find(kContinue, at)) != std::string::npos;)
    stream.erase(at, kContinue.size());
  return stream;
}

Outcome serve(std::string_view wire, const SessionOptions& options, bool draining, fuzz::Cuts cuts) {
  SessionHost host(options);
  add_handlers(host);
  if (draining) host.drain();
  for (size_t at = 0; at < wire.size() && host.open_still();) {
    size_t size = cuts.next(wire.size() - at);
    host.receive(wire.substr(at, size));
    at += size;
    if (!host.open_still()) break;
    static_cast<void>(host.unanswered());  // must not look at bytes that were only lent
  }
  host.advance(5s);
  Outcome outcome;
  outcome.open = host.open_still();
  if (outcome.open) host.end_of_stream();
  outcome.stream = host.take();
  outcome.reason = host.reason();
  outcome.wish = host.wish();
  LASTCALL_CHECK(!host.open_still());
  LASTCALL_CHECK(host.outliving() == 0);
  return outcome;
}

/// The last answer stayed a part.
bool broken_off(const Outcome& outcome) {
  return outcome.wish == CloseWish::reset || outcome.reason == CloseReason::failed;
}

bool alike(const Answer& left, const Answer& right) {
  return left.status == right.status && left.fields == right.fields && left.body == right.body;
}

void check_alike(const Outcome& whole, const Outcome& cut, bool echoes, bool has_head) {
  if (!echoes) {
    LASTCALL_CHECK(without_continue(whole.stream) == without_continue(cut.stream));
    LASTCALL_CHECK(whole.open == cut.open && whole.reason == cut.reason);
    // Lingering or not depends on whether more has come behind a request that asked for the close.
    LASTCALL_CHECK(broken_off(whole) == broken_off(cut));
  }
  if (has_head) return;  // without its requests, an answer to HEAD cannot be told from a short one
  auto left = parse_answers(whole.stream), right = parse_answers(cut.stream);
  LASTCALL_CHECK(left && right);
  for (auto* answers : {&*left, &*right})
    std::erase_if(*answers, [](const Answer& a) { return a.status < 200; });
  // An echo is streamed: how far it got before its body broke off depends on the cuts. Those before it do
  // not.
  bool broke_off = whole.reason != cut.reason || broken_off(whole) || broken_off(cut) ||
                   whole.reason == CloseReason::peer_closed || whole.reason == CloseReason::refused;
  if (!broke_off) LASTCALL_CHECK(left->size() == right->size());
  size_t same = std::min(left->size(), right->size());
  if (broke_off && same > 0) --same;
  for (size_t i = 0; i < same; ++i) LASTCALL_CHECK(alike((*left)[i], (*right)[i]));
  for (auto* answers : {&*left, &*right}) {
    for (size_t i = 0; i + 1 < answers->size(); ++i) {
      LASTCALL_CHECK((*answers)[i].whole && !(*answers)[i].closes());
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const fuzz::Input input(data, size);
  SessionOptions options;
  if ((input.options & 1) != 0) {
    options.limits = {.max_header_bytes = 128, .max_target_bytes = 32, .max_fields = 4, .max_body_bytes = 16};
  }
  bool echoes = input.wire.find("/echo") != std::string_view::npos ||
                input.wire.find("%") != std::string_view::npos ||  // … in other letters
                input.wire.find("throw-later") != std::string_view::npos;
  bool has_head = input.wire.find("HEAD") != std::string_view::npos;
  bool draining = (input.options & 2) != 0;
  Outcome whole = serve(input.wire, options, false, fuzz::Cuts(std::string_view("\0", 1)));
  check_alike(whole, serve(input.wire, options, false, fuzz::Cuts(input.plan)), echoes, has_head);
  // Which answer is the last one of a drain depends on what has come: it is only read.
  if (draining) {
    Outcome drained = serve(input.wire, options, true, fuzz::Cuts(input.plan));
    if (!has_head) LASTCALL_CHECK(parse_answers(drained.stream).has_value());
  }
  return 0;
}
