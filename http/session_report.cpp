#include <lastcall/http/session.hpp>

namespace lastcall {
namespace {

constexpr size_t kMaxTold = 100;  // entries of one connection: who pipelines more than that is rare
static_assert(kMaxTold <= UnsentAnswers::kAlwaysKept);

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
  return {state_ == State::head && scanner_.started() ? scanner_.began(kNever) : kNever, nullptr};
}

/// To a sink, with a bound.
class Session::Telling {
 public:
  Telling(UnansweredSink& sink, Instant now) noexcept : sink_(sink), now_(now) {}

  [[nodiscard]] bool full() const noexcept { return count_ == kMaxTold; }
  [[nodiscard]] bool may_allocate() const noexcept { return sink_.may_allocate(); }
  [[nodiscard]] int64_t age(Instant began) const noexcept { return to_ms(now_ - began); }
  [[nodiscard]] int64_t last_age() const noexcept { return last_age_; }

  void tell(const UnansweredRequest& request) {
    if (full()) return;
    ++count_;
    last_age_ = request.age_ms;
    sink_.add(request);
  }

 private:
  UnansweredSink& sink_;
  Instant now_;
  size_t count_ = 0;
  int64_t last_age_ = 0;
};

void Session::describe(Instant now, UnansweredSink& sink) const {
  Telling telling(sink, now);
  size_t room = kMaxTold - 1;  // the one at hand is told in any case
  unsent_.for_each_unsent(link_.bytes_sent(), [&](const UnsentAnswers::Answer& answer) {
    if (room == 0) return;
    --room;
    const bool known = !answer.target.empty();
    telling.tell({.method = known ? to_string(answer.method) : std::string_view(),
                  .target = answer.target,
                  .state = "writing",
                  .age_ms = telling.age(answer.began)});
  });
  if (exchange_ != nullptr) tell_exchange(telling);
  if (state_ == State::hijacked || state_ == State::proxy) return;  // what is waiting is not HTTP
  if (state_ == State::closing ? owes_more_ : !body_open()) tell_waiting(telling);
}

void Session::tell_exchange(Telling& telling) const {
  // Answered in full; only its body, which nobody wants, was still on its way.
  if (state_ == State::discarding && link_.bytes_written() == link_.bytes_sent()) return;
  const bool writing = state_ == State::discarding || exchange_->response.head_sent_;
  std::string client;
  if (trusts_fields() && telling.may_allocate()) client = this->client(exchange_->head).text();
  telling.tell({.method = to_string(exchange_->head.method),
                .target = exchange_->head.target,
                .state = state_ == State::hijacked ? "hijacked"
                         : writing                 ? "writing"
                         : state_ == State::body   ? "body"
                                                   : "handling",
                .age_ms = telling.age(exchange_->began),
                .client = client,
                .route = exchange_->route != nullptr ? exchange_->route->pattern.c_str() : nullptr});
}

/// What was received and has not had its turn: of a pipeline, or a head that is not complete.
void Session::tell_waiting(Telling& telling) const {
  if (exchange_ != nullptr && !keep_alive_) return;  // nothing is answered behind the exchange at hand
  const Limits& limits = environment_.options.limits;
  const bool begun = exchange_ == nullptr && scanner_.started();
  const int64_t age_ms = begun ? telling.age(scanner_.began(kNever)) : telling.last_age();
  RequestHead& head = environment_.waiting_head;
  for (std::string_view bytes = input_waiting(); !bytes.empty() && !telling.full();) {
    HeadScanner scanner;
    const HeadScanner::Result result = scanner.scan(bytes, limits);
    const bool complete = result.outcome == HeadScanner::Result::Outcome::complete;
    if (!complete && !scanner.started()) return;  // empty lines
    if (!complete || environment_.parser.parse(bytes.substr(0, result.length), limits, head)) {
      telling.tell({.method = {}, .target = {}, .state = "head", .age_ms = age_ms});
      return;
    }
    bytes.remove_prefix(result.length);
    const bool goes_on = !head.chunked || telling.may_allocate();  // trailers take memory
    const bool whole = goes_on && skip_body(head, limits, bytes);
    std::string client;
    if (trusts_fields() && telling.may_allocate()) client = this->client(head).text();
    telling.tell({.method = to_string(head.method),
                  .target = head.target,
                  .state = whole ? "handling" : "body",
                  .age_ms = age_ms,
                  .client = client});
    if (!whole || !head.keep_alive) return;
  }
}

}  // namespace lastcall
