#include <exception>
#include <expected>
#include <utility>

#include <lastcall/core/log.hpp>
#include <lastcall/http/session.hpp>

namespace lastcall {
namespace {

constexpr size_t kMaxStashBytes = 64 * 1024;  // input waiting for its turn, before reading pauses
constexpr size_t kMaxBodyWindow = 64 * 1024;  // body a coroutine handler has not read, before reading pauses
// For a head that is incomplete when the stop begins, or the body of a request that is answered.
constexpr Duration kDrainPatience = 5s;

// What OPTIONS * answers: the methods of RFC 9110 and PATCH, that some resource may have.
constexpr uint64_t kServerMethods = bit(Method::get) | bit(Method::head) | bit(Method::post) |
                                    bit(Method::put) | bit(Method::delete_) | bit(Method::options) |
                                    bit(Method::patch);

}  // namespace

Session::Session(Environment& environment, Link& link)
    : environment_(environment),
      link_(link),
      deadline_(after(link.loop().now, environment.options.header_timeout)),
      input_(link.loop().buffers),
      unsent_(link.loop().buffers) {}

void Session::on_bytes(std::string_view bytes) {
  if (state_ == State::closing || !input_.empty()) [[unlikely]]
    return on_later_bytes(bytes);
  const size_t used = consume(bytes);
  if (used != bytes.size() || state_ != State::head || link_.input_paused()) [[unlikely]]
    keep_rest(bytes.substr(used));
}

/// Behind others that wait for their turn, or for the report.
[[gnu::noinline]] void Session::on_later_bytes(std::string_view bytes) {
  if (state_ == State::closing) return keep_for_report(bytes);
  input_.append(bytes);
  consume_stash();
}

/// What consume() has left.
[[gnu::noinline]] void Session::keep_rest(std::string_view bytes) {
  if (state_ != State::closing || owes_more_) input_.append(bytes);
  steer_input();
}

/// Requests behind an answer that says close, or breaks off, get none of their own. Should the stop cut off
/// that answer before it is sent, the client cannot know.
void Session::keep_for_report(std::string_view bytes) {
  if (owes_more_ && input_.size() < kMaxStashBytes) input_.append(bytes);
}

void Session::consume_stash() {
  if (consuming_) return;  // the loop below us on the stack goes on by itself
  size_t used = consume(input_.view());
  if ((state_ == State::closing && !owes_more_) || used == input_.size()) {
    input_.release();
  } else {
    input_.consume(used);
  }
  if (peer_ended_) on_end_of_stream();  // what is still incomplete stays so
  steer_input();
}

size_t Session::consume(std::string_view bytes) {
  consuming_ = true;
  if (exchange_ != nullptr) exchange_->behind = {};
  std::string_view rest = bytes;
  while (state_ != State::head || !rest.empty()) {  // where the next step would do nothing
    size_t used = take_usual_head(rest);
    if (used == 0 && !step(rest, used)) [[unlikely]]
      break;
    rest.remove_prefix(used);
  }
  consuming_ = false;  // what is left goes to the stash
  return bytes.size() - rest.size();
}

/// A head that read_usual() takes, where one may come now, and all that it leads to at once; else 0.
size_t Session::take_usual_head(std::string_view bytes) {
  if (state_ != State::head || scanner_.started() || link_.output().size() >= kMaxPreparedBytes) [[unlikely]]
    return 0;
  Exchange& exchange = environment_.spare();
  const size_t used = environment_.parser.read_usual(bytes, environment_.options.limits, exchange.head);
  if (used == 0) [[unlikely]]
    return 0;
  begin(exchange, bytes, used);
  route(exchange, {bytes.data(), used});
  return used;
}

/// Does the next thing that the input allows; false, with nothing used, when it has to wait for more input,
/// room, or the handler.
bool Session::step(std::string_view bytes, size_t& used) {
  switch (state_) {
    case State::proxy: return take_proxy_header(bytes, used);
    case State::head:
      if (bytes.empty()) return false;
      if (link_.output().size() >= kMaxPreparedBytes) {
        wants_room_ = true;
        return false;
      }
      return take_unusual_head(bytes, used);
    case State::body:
      used = take_body(bytes);
      if (state_ != State::body) return true;
      if (body_open()) return used != 0;
      call(*exchange_);
      return true;
    case State::handling:
      if (!body_open() || bytes.empty()) return false;
      used = take_body(bytes);
      return used != 0;
    case State::hijacked: used = bytes.size(); return feed_stream(bytes);
    case State::discarding:
      used = take_body(bytes);
      if (state_ == State::discarding && body_open()) return used != 0;
      if (state_ == State::discarding) end_exchange();
      return true;
    case State::closing: return false;
  }
  return false;
}

/// All heads but those that read_usual() takes: those that come in pieces, those with a body, those that are
/// to be refused.
bool Session::take_unusual_head(std::string_view bytes, size_t& used) {
  const bool fresh = !scanner_.started();
  const HeadScanner::Result result = scanner_.scan(bytes, environment_.options.limits);
  using Outcome = HeadScanner::Result::Outcome;
  if (result.outcome == Outcome::incomplete) {
    if (fresh && scanner_.started()) {
      scanner_.begin(loop().now);
      deadline_ = after(loop().now, loop().draining ? kDrainPatience : environment_.options.header_timeout);
    }
    return false;
  }
  if (result.outcome == Outcome::refused) {
    refuse(result.refusal, CloseReason::refused);
    return true;
  }
  used = result.length;
  scanner_.reset();
  begin(environment_.spare(), bytes, used);
  const std::string_view head_bytes = bytes.substr(0, used);
  RequestHead& head = exchange_->head;
  if (const Refusal refusal =
          environment_.parser.parse(head_bytes, environment_.options.limits, head, result.plain_target)) {
    refuse(refusal, CloseReason::refused);
  } else if (head.method == Method::connect) {
    refuse({501, "CONNECT is not implemented"}, CloseReason::refused);
  } else if (head.path.starts_with('*')) {  // also of an absolute target without a path (RFC 9112 3.2.4)
    keep_alive_ = head.keep_alive;
    exchange_->params.size = 0;
    route_nowhere(*exchange_, head_bytes,
                  {.outcome = Router::Outcome::found, .allowed = kServerMethods, .automatic_options = true});
  } else {
    route(*exchange_, head_bytes);
  }
  return true;
}

/// The spare exchange's, of which the head is the first `used` bytes.
void Session::begin(Exchange& exchange, std::string_view bytes, size_t used) {
  environment_.take_spare();
  exchange_ = &exchange;
  exchange.behind = {bytes.data() + used, bytes.size() - used};
  exchange.session = this;
  exchange.began = loop().now;
}

void Session::route(Exchange& exchange, std::string_view head_bytes) {
  RequestHead& head = exchange.head;
  keep_alive_ = head.keep_alive;
  const Router::Match match =
      environment_.router.match(head.method, head.path, exchange.params, exchange.scratch);
  if (match.outcome != Router::Outcome::found || match.automatic_options) [[unlikely]]
    return route_nowhere(exchange, head_bytes, match);
  exchange.route = &environment_.routes[match.route];
  if (!begin_body(exchange)) [[unlikely]]
    return;
  if (exchange.route->handles_at_once() && exchange.decoder.complete()) [[likely]] {
    call(exchange);
  } else {
    route_waiting(exchange, head_bytes);
  }
}

/// The server itself answers: there is no route, or OPTIONS without a handler.
void Session::route_nowhere(Exchange& exchange, std::string_view head_bytes, const Router::Match& match) {
  exchange.route = nullptr;
  if (!begin_body(exchange)) return;
  if (!names_client(exchange)) return refuse_client();
  if (body_open()) keep_head(exchange, head_bytes);  // the report may ask for it while the body is discarded
  state_ = State::handling;
  answer_no_route(exchange, match);
}

/// Whoever has to be let in first, or waits for a body, or may wait for anything.
void Session::route_waiting(Exchange& exchange, std::string_view head_bytes) {
  if (exchange.route->guarded && !admit(exchange, head_bytes)) {
    return;
  } else if (std::holds_alternative<TaskHandler>(exchange.route->handler.function)) {
    keep_head(exchange, head_bytes);
    start_task(exchange);
  } else if (exchange.decoder.complete()) {
    call(exchange);
  } else {
    keep_head(exchange, head_bytes);
    state_ = State::body;
    deadline_ = after(loop().now, body_timeout());
    if (input_waiting().empty()) send_continue(exchange);
  }
}

/// What the head says of a body; false when it is refused.
bool Session::begin_body(Exchange& exchange) {
  const RequestHead& head = exchange.head;
  if (!head.chunked && head.content_length == 0) [[likely]] {
    exchange.decoder.start_empty();
    continue_owed_ = false;
    return true;
  }
  const Limits& limits = environment_.options.limits;
  uint64_t max_body_bytes = limits.max_body_bytes;
  if (exchange.route != nullptr)
    max_body_bytes = exchange.route->options.max_body_bytes.value_or(max_body_bytes);
  exchange.decoder.set_max_body_bytes(max_body_bytes);
  if (head.chunked) {
    exchange.decoder.start_chunked(limits);
  } else if (head.content_length <= max_body_bytes) {
    exchange.decoder.start_length(head.content_length);
  } else {
    exchange.decoder.start_empty();
    refuse({413, "the body is larger than this resource takes"}, CloseReason::refused);
    return false;
  }
  continue_owed_ = head.expect_continue;
  return true;
}

/// The head's bytes are lent; who needs them later has them copied, and the views moved over.
void Session::keep_head(Exchange& exchange, std::string_view head_bytes) {
  exchange.storage.append(head_bytes);
  const char* kept = exchange.storage.data();
  exchange.head.rebase(head_bytes.data(), head_bytes.size(), kept);
  for (uint32_t i = 0; i < exchange.params.size; ++i) {
    std::string_view& value = exchange.params.params[i].value;
    if (value.data() >= head_bytes.data() && value.data() <= head_bytes.data() + head_bytes.size()) {
      value = {kept + (value.data() - head_bytes.data()), value.size()};
    }
  }
}

size_t Session::take_body(std::string_view bytes) {
  Exchange& exchange = *exchange_;
  using Outcome = BodyDecoder::Step::Outcome;
  BodyDecoder::Step step{};
  step.outcome = Outcome::data;
  size_t at = 0;
  while (step.outcome == Outcome::data) {
    step = exchange.decoder.next(bytes.substr(at));
    at += step.consumed;
    if (step.outcome == Outcome::data && state_ != State::discarding) take_piece(exchange, step.data);
  }
  if (step.outcome == Outcome::refused) {
    refuse_body(step.refusal);
    return at;
  }
  if (at == 0) return 0;
  continue_owed_ = false;
  exchange.behind = bytes.substr(at);
  bool resumes = exchange.reader != nullptr &&
                 (exchange.decoder.complete() || exchange.reader->failed() ||
                  (!exchange.body.empty() && !exchange.reader->whole()));
  // A handler may take its time; a client that it waits for may not.
  bool on_handler = state_ == State::handling && (exchange.reader == nullptr || resumes);
  deadline_ = on_handler ? kNever : after(loop().now, body_timeout());
  if (resumes) {
    std::exchange(exchange.reader, nullptr)->resume();
  }
  return at;
}

void Session::take_piece(Exchange& exchange, std::string_view piece) {
  if (exchange.reader == nullptr || !exchange.reader->takes_pieces()) return exchange.body.append(piece);
  exchange.context.begin_handler();
  exchange.reader->give(piece);
  exchange.context.end_handler();
}

void Session::refuse_body(Refusal refusal) {
  if (state_ == State::discarding) {  // answered already; more is not worth reading
    close(CloseWish::linger, CloseReason::finished);
  } else if (exchange_->response.head_sent_) {
    break_off(CloseReason::failed);
  } else {
    refuse(refusal, CloseReason::refused);
  }
}

void Session::call(Exchange& exchange) {
  state_ = State::handling;
  name_handler(exchange);
  exchange.context.begin_handler();
  try {
    (*std::get_if<SyncHandler>(&exchange.route->handler.function))(exchange.request, exchange.response);
    exchange.context.end_handler();
    if (!finish_usual(exchange)) finish_unusual(exchange);
  } catch (const std::exception& error) {
    exchange.context.end_handler();
    fail(exchange, error.what());
  } catch (...) {
    exchange.context.end_handler();
    fail(exchange, "not a std::exception");
  }
}

void Session::name_handler(Exchange& exchange) noexcept {
  exchange.context.set_handler({.route = exchange.route->pattern.c_str(),
                                .method = to_string(exchange.head.method).data(),
                                .fd = link_.fd(),
                                .began = exchange.began});
}

void Session::start_task(Exchange& exchange) {
  state_ = State::handling;
  deadline_ = kNever;
  try {
    exchange.task =
        std::get<TaskHandler>(exchange.route->handler.function)(exchange.request, exchange.response);
  } catch (const std::exception& error) {  // out of memory; or a function that only returns a task
    return fail(exchange, error.what());
  } catch (...) {
    return fail(exchange, "not a std::exception");
  }
  if (!exchange.task) return fail(exchange, "the handler returned an empty task");
  name_handler(exchange);
  if (const auto& timeout = exchange.route->options.handler_timeout)
    loop().timers.arm(exchange.timer, after(loop().now, *timeout));
  exchange.task.start(exchange.context);
}

void Session::task_ended(Exchange& exchange) {
  std::exception_ptr error = exchange.task.error();
  exchange.task = {};
  loop().timers.cancel(exchange.timer);
  if (!error && state_ == State::hijacked) {
    close(CloseWish::linger, CloseReason::finished);
  } else if (!error || exchange.response.gone_) {  // gone_: it was stopped from writing what nobody wants
    finish(exchange);
  } else {
    try {
      std::rethrow_exception(error);
    } catch (const std::bad_expected_access<OffloadRejected>&) {
      answer_busy(exchange, "503 Service Unavailable: too much work at once\n");
    } catch (const std::exception& exception) {
      fail(exchange, exception.what());
    } catch (...) {
      fail(exchange, "not a std::exception");
    }
  }
  consume_stash();
  link_.touch();
}

void Session::body_wanted(Exchange& exchange) {
  if (input_waiting().empty()) send_continue(exchange);
  deadline_ = after(loop().now, body_timeout());
  steer_input();  // who wants all of it at once is not held back by the window
  link_.touch();
}

/// With what it reads.
bool Session::is_handler_behind() const noexcept {
  if (state_ == State::hijacked) return exchange_->stream->holds_back();
  if (state_ != State::handling || !body_open() || exchange_->body.size() < kMaxBodyWindow) return false;
  return exchange_->reader == nullptr || !exchange_->reader->whole();
}

void Session::steer_input() noexcept {
  bool full = input_.size() >= kMaxStashBytes && state_ != State::closing;
  if (state_ != State::head && is_handler_behind()) full = true;
  if (full == link_.input_paused()) return;
  link_.pause_input(full);
  link_.touch();
}

void Session::use_room() {
  unsent_.forget(link_.bytes_sent());
  if (!wants_room_) return;
  wants_room_ = false;
  if (exchange_ != nullptr && exchange_->writer != nullptr) {
    std::exchange(exchange_->writer, nullptr)->resume();
    return;
  }
  if (state_ == State::hijacked) return exchange_->stream->on_room();
  consume_stash();
}

void Session::on_end_of_stream() {
  peer_ended_ = true;
  switch (state_) {
    case State::proxy: return;
    case State::head:
      if (wants_room_) return;  // requests are waiting for room: they are answered, then the connection ends
      if (scanner_.started()) close(CloseWish::direct, CloseReason::peer_closed);
      return;
    case State::body:
    case State::discarding: close(CloseWish::direct, CloseReason::peer_closed); return;
    case State::handling:
      if (!body_open()) return;  // the request is complete: a client that only ended its side gets its answer
      if (exchange_->response.head_sent_) return break_off(CloseReason::peer_closed);
      close(CloseWish::direct, CloseReason::peer_closed);
      return;
    case State::hijacked: exchange_->stream->end_input(); return;
    case State::closing: return;
  }
}

void Session::on_deadline() {
  if (deadline_ > loop().now) return;
  if (state_ == State::head && !scanner_.started()) {
    deadline_ = after(loop().now, environment_.options.idle_timeout);  // answers are still being taken
  } else if (state_ == State::head) {
    refuse({408, "the request head did not come in time"}, CloseReason::timed_out);
  } else if (body_open() && !exchange_->response.head_sent_ && state_ != State::discarding) {
    refuse({408, "the request body did not come in time"}, CloseReason::timed_out);
  } else if (state_ == State::discarding) {  // answered: the body is what does not come
    close(CloseWish::linger, CloseReason::timed_out);
  } else {
    break_off(CloseReason::timed_out);
  }
}

/// Who is idle is so under the new idle timeout. Requests keep the times that they began with.
void Session::on_reload(Instant earliest) {
  const bool idle = state_ == State::head && !scanner_.started() && link_.bytes_written() != 0;
  if (!idle) return;
  const Duration added = environment_.idle_timeout_added;
  const Duration whole = environment_.options.idle_timeout;
  Instant moved = deadline_ == kNever ? after(loop().now, whole)
                  : added < 0s        ? deadline_ + added
                                      : after(deadline_, added);
  deadline_ = std::max(moved, std::min(deadline_, earliest));
}

void Session::on_drain() {
  if (state_ == State::hijacked && exchange_->stream->leaves_at_stop()) return leave_at_stop();
  const bool slow_head = state_ == State::head && scanner_.started();
  if (!slow_head && state_ != State::discarding) return;
  Instant limit = loop().now + kDrainPatience;
  if (limit < deadline_) deadline_ = limit;
}

}  // namespace lastcall
