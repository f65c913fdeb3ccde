#include <lastcall/http/session.hpp>

namespace lastcall {
namespace {

constexpr size_t kMaxDescribed = 100;  // entries of one connection: who pipelines more than that is rare

/// Takes the body of a request off `bytes`, as far as it is there; true when it is whole.
bool skip_body(const RequestHead& head, const Limits& limits, std::string_view& bytes) {
  BodyDecoder decoder;
  if (head.chunked) {
    decoder.start_chunked(limits);
  } else if (head.content_length != 0) {
    decoder.start_length(head.content_length);
  } else {
    decoder.start_empty();
  }
  using Outcome = BodyDecoder::Step::Outcome;
  for (Outcome outcome = Outcome::data; outcome == Outcome::data && !decoder.complete();) {
    BodyDecoder::Step step = decoder.next(bytes);
    bytes.remove_prefix(step.consumed);
    outcome = step.outcome;
  }
  return decoder.complete();
}

}  // namespace

std::pair<Instant, const char*> Session::unanswered() const noexcept {
  if (exchange_ != nullptr) {
    return {exchange_->began, exchange_->route != nullptr ? exchange_->route->pattern.c_str() : nullptr};
  }
  return {state_ == State::head && scanner_.started() ? head_began_ : kNever, nullptr};
}

void Session::describe(std::vector<AbortedExchange>& aborted) const {
  unsent_.describe(link_.bytes_sent(), link_.loop().now, kMaxDescribed - 1, aborted);
  if (exchange_ != nullptr) describe_exchange(aborted.emplace_back());
  if (state_ == State::closing ? owes_more_ : !body_open()) describe_waiting(aborted);
}

void Session::describe_exchange(AbortedExchange& aborted) const {
  bool writing = state_ == State::discarding || exchange_->response.head_sent_;
  aborted.state = writing ? "writing" : state_ == State::body ? "body" : "handling";
  aborted.method = to_string(exchange_->head.method);
  aborted.target = exchange_->head.target;
  aborted.age_ms = to_ms(link_.loop().now - exchange_->began);
}

/// What was received and has not had its turn: of a pipeline, or a head that is not complete.
void Session::describe_waiting(std::vector<AbortedExchange>& aborted) const {
  if (exchange_ != nullptr && !keep_alive_) return;  // nothing is answered behind the exchange at hand
  const Limits& limits = environment_.options.limits;
  bool begun = exchange_ == nullptr && scanner_.started();
  int64_t age_ms = begun             ? to_ms(link_.loop().now - head_began_)
                   : aborted.empty() ? 0
                                     : aborted.back().age_ms;
  RequestHead head;
  for (std::string_view bytes = input_.view(); !bytes.empty() && aborted.size() < kMaxDescribed;) {
    HeadScanner scanner;
    HeadScanner::Result result = scanner.scan(bytes, limits);
    bool complete = result.outcome == HeadScanner::Result::Outcome::complete;
    if (!complete && !scanner.started()) return;  // empty lines
    AbortedExchange& waiting = aborted.emplace_back();
    waiting.state = "head";
    waiting.age_ms = age_ms;
    head.clear();
    if (!complete || environment_.parser.parse(bytes.substr(0, result.length), limits, head)) return;
    waiting.method = to_string(head.method);
    waiting.target = head.target;
    bytes.remove_prefix(result.length);
    bool whole = skip_body(head, limits, bytes);
    waiting.state = whole ? "handling" : "body";
    if (!whole || !head.keep_alive) return;
  }
}

}  // namespace lastcall
