#include <charconv>
#include <stdexcept>
#include <string>
#include <utility>

#include <lastcall/core/log.hpp>
#include <lastcall/http/session.hpp>

namespace lastcall {
namespace {

constexpr uint64_t kMaxDiscardBytes = 256 * 1024;  // of an unread body, to keep a connection alive

bool may_have_body(Method method, uint16_t status) noexcept {
  return method != Method::head && status != 204 && status != 304;
}

}  // namespace

void Session::answer_no_route(Exchange& exchange, const Router::Match& match) {
  if (match.automatic_options) {
    exchange.response.status(204).header("Allow", format_allow(match.allowed));
    finish(exchange);
  } else if (match.outcome == Router::Outcome::method_not_allowed) {
    exchange.response.header("Allow", format_allow(match.allowed));
    answer_plain(exchange, 405, "405 Method Not Allowed\n");
  } else {
    answer_plain(exchange, 404, "404 Not Found\n");
  }
}

void Session::answer_plain(Exchange& exchange, uint16_t status, std::string_view text) {
  exchange.response.status(status);
  exchange.response.text(text);
  finish(exchange);
}

/// 503 for a request that was not begun, or that could not have what it needs.
void Session::answer_busy(Exchange& exchange, std::string_view what) {
  if (exchange.response.head_sent_) return break_off(CloseReason::failed);
  exchange.response.reset(true);
  exchange.response.header("Retry-After", "1");
  answer_plain(exchange, 503, what);
}

void Session::handler_late(Exchange& exchange) {
  log_event(LogLevel::debug, "handler_late", {{"route", exchange.route->pattern}});
  if (exchange.response.head_sent_) return break_off(CloseReason::timed_out);
  write_refusal(503, "503 Service Unavailable: the answer took too long\n", "Retry-After: 1\r\n");
  close(CloseWish::linger, CloseReason::timed_out);
}

void Session::fail(Exchange& exchange, std::string_view what) {
  log_event(
      LogLevel::error, "handler_failed",
      {{"route", exchange.route->pattern}, {"what", what}, {"client", exchange.request.client().text()}});
  if (exchange.response.head_sent_) return break_off(CloseReason::failed);
  exchange.response.reset(true);
  answer_plain(exchange, 500, "500 Internal Server Error\n");
}

void Session::send_continue(Exchange& exchange) {
  if (!continue_owed_) return;
  continue_owed_ = false;
  if (exchange.response.head_sent_) return;
  link_.output().append("HTTP/1.1 100 Continue\r\n\r\n");
  link_.touch();
}

void Session::write_head(Exchange& exchange, ResponseHead::Framing framing, uint64_t length) {
  Response& response = exchange.response;
  bool http_1_0 = exchange.head.version_minor == 0;
  // A body we will not wait for cannot be followed by another request.
  if (continue_owed_) keep_alive_ = false;
  if (body_open() && !exchange.head.chunked && exchange.head.content_length > kMaxDiscardBytes &&
      !exchange.task) {
    keep_alive_ = false;
  }
  if (response.close_) keep_alive_ = false;
  if (keep_alive_ && last_request()) keep_alive_ = false;
  using Persistence = ResponseHead::Persistence;
  environment_.head_writer.set_time(loop().wall);
  environment_.head_writer.write({.status = response.status_,
                                  .framing = framing,
                                  .persistence = !keep_alive_ ? Persistence::close
                                                 : http_1_0   ? Persistence::keep_alive
                                                              : Persistence::implied,
                                  .omit_date = response.has_date_,
                                  .omit_server = response.has_server_,
                                  .length = length,
                                  .content_type = response.has_type_ ? std::string_view() : response.type_,
                                  .fields = response.fields_.view()},
                                 link_.output());
  response.head_sent_ = true;
  count_answer(response.status_);
}

/// A plain 200 on a connection that goes on, behind a request without a body: written, or left to finish().
bool Session::finish_usual(Exchange& exchange) {
  const Response& response = exchange.response;
  if (!response.is_usual() || !keep_alive_ || exchange.head.version_minor == 0 ||
      exchange.head.method == Method::head || !exchange.decoder.complete()) {
    return false;
  }
  ResponseHeadWriter& writer = environment_.head_writer;
  writer.set_time(loop().wall);
  if (!writer.is_usual(response.type_)) return false;
  if (last_request()) {
    keep_alive_ = false;
    return false;
  }
  writer.write_usual(response.body_.view(), link_.output());
  count_answer(200);
  link_.touch();
  leave_exchange(exchange);
  return true;
}

/// The handler has ended: completes its answer.
void Session::finish(Exchange& exchange) {
  if (!finish_usual(exchange)) finish_unusual(exchange);
}

[[gnu::noinline]] void Session::finish_unusual(Exchange& exchange) {
  Response& response = exchange.response;
  using Framing = ResponseHead::Framing;
  if (!response.head_sent_) {
    bool body_allowed = may_have_body(Method::get, response.status_);
    uint64_t length =
        response.has_length_ && response.body_.empty() ? response.length_ : response.body_.size();
    bool with_body = may_have_body(exchange.head.method, response.status_);
    if (with_body && length != response.body_.size()) {  // announced a length and wrote nothing
      fail_length(exchange);
      return;
    }
    write_head(exchange, body_allowed ? Framing::length : Framing::none, length);
    if (with_body) link_.output().append(response.body_.view());
  } else if (response.chunked_) {
    link_.output().append("0\r\n\r\n");
  } else if (response.has_length_ && response.written_ != response.length_ &&
             may_have_body(exchange.head.method, response.status_)) {
    fail_length(exchange);
    return;
  }
  link_.touch();
  if (exchange.decoder.complete()) {
    end_exchange();
  } else if (keep_alive_) {
    state_ = State::discarding;
    exchange.body.clear();
    exchange.decoder.set_max_body_bytes(exchange.decoder.received() + kMaxDiscardBytes);
    deadline_ = after(loop().now, body_timeout());
  } else {
    close(CloseWish::linger, CloseReason::finished);
  }
}

void Session::fail_length(Exchange& exchange) {
  fail(exchange, "the body is shorter than its announced length");
}

/// While stopping, or when the peer has ended its side: requests that are already here are answered; the last
/// of them says close. Not where connections live on in another process.
bool Session::last_request() const noexcept {
  const Loop& loop = link_.loop();
  if (!peer_ended_ && !loop.draining && loop.announce_began == kNever) [[likely]]
    return false;
  uint64_t of_this_one = 0;
  if (body_open() && !exchange_->head.chunked)
    of_this_one = exchange_->head.content_length - exchange_->decoder.received();
  if (input_waiting().size() > of_this_one) return false;
  if (peer_ended_) return true;
  return !loop.handing_over && (loop.draining || environment_.sends_away());
}

/// Request and answer are complete.
void Session::leave_exchange(Exchange& exchange) {
  exchange_ = nullptr;
  note_answer(exchange);
  environment_.release(exchange);
  state_ = State::head;
  deadline_ = after(loop().now, environment_.options.idle_timeout);
}

/// … on to the next request, or to the end.
void Session::end_exchange() {
  const bool more = !keep_alive_ && !input_waiting().empty();
  const bool asked = !exchange_->head.keep_alive;  // by the client, who then sends nothing more
  leave_exchange(*exchange_);
  if (keep_alive_) return;  // while stopping: the client was not told to leave, the idle grace is its
  owes_more_ = !asked;
  bool clean = asked && !more;
  close(clean ? CloseWish::direct : CloseWish::linger, CloseReason::finished);
}

bool Session::sends_body(const Exchange& exchange) noexcept {
  return may_have_body(exchange.head.method, exchange.response.status_);
}

bool Session::write_piece(Exchange& exchange, std::string_view bytes, bool lasting) {
  if (state_ == State::hijacked) throw std::logic_error("the connection was hijacked");
  Response& response = exchange.response;
  using Framing = ResponseHead::Framing;
  bool with_body = may_have_body(exchange.head.method, response.status_);
  if (!response.head_sent_) {
    bool chunked = !response.has_length_ && exchange.head.version_minor >= 1 &&
                   may_have_body(Method::get, response.status_);
    response.chunked_ = chunked && with_body;
    bool sized = response.has_length_ && may_have_body(Method::get, response.status_);
    Framing framing = sized ? Framing::length : chunked ? Framing::chunked : Framing::none;
    // Without a length or chunks the body lasts until the connection ends.
    if (framing == Framing::none && with_body) response.close_ = true;
    write_head(exchange, framing, response.length_);
  }
  response.written_ += bytes.size();
  if (response.has_length_ && response.written_ > response.length_) {
    throw std::length_error("more body than the announced content length");
  }
  link_.touch();
  if (!with_body || bytes.empty()) return true;
  if (lasting && !response.chunked_ && link_.lend(bytes)) return false;
  Buffer& out = link_.output();
  if (response.chunked_) {
    char line[18];
    char* end = std::to_chars(line, line + 16, bytes.size(), 16).ptr;
    *end++ = '\r';
    *end++ = '\n';
    out.append({line, static_cast<size_t>(end - line)});
    out.append(bytes);
    out.append("\r\n");
  } else {
    out.append(bytes);
  }
  return out.size() < kMaxPreparedBytes;
}

/// An error that ends the connection: answered if nothing of an answer is out, with close.
void Session::refuse(Refusal refusal, CloseReason reason) {
  log_event(LogLevel::debug, "request_refused", {{"status", refusal.status}, {"what", refusal.what}});
  std::string text = std::to_string(refusal.status);
  text.append(" ").append(reason_phrase(refusal.status)).append(": ").append(refusal.what).append("\n");
  write_refusal(refusal.status, text, "");
  if (exchange_ == nullptr) {
    unsent_.add({.began = scanner_.began(loop().now), .end = link_.bytes_written()}, true,
                link_.bytes_sent());
  }
  close(CloseWish::linger, reason);
}

void Session::write_refusal(uint16_t status, std::string_view text, std::string_view fields) {
  environment_.head_writer.set_time(loop().wall);
  environment_.head_writer.write({.status = status,
                                  .framing = ResponseHead::Framing::length,
                                  .persistence = ResponseHead::Persistence::close,
                                  .length = text.size(),
                                  .content_type = "text/plain",
                                  .fields = fields},
                                 link_.output());
  count_answer(status);
  bool head_only = exchange_ != nullptr && exchange_->head.method == Method::head;
  if (!head_only) link_.output().append(text);
}

/// The answer under way stays a part. What is queued, whole answers before it above all, leaves all the same;
/// that the last one is a part shows in its framing (RFC 9112, 8), but where its body lasts to the end.
void Session::break_off(CloseReason reason) {
  if (state_ == State::hijacked)
    return close(CloseWish::linger, reason);  // whose end is whose is not ours to say
  const Response& response = exchange_->response;
  bool framed = response.chunked_ || response.has_length_ || !sends_body(*exchange_);
  owes_more_ = !body_open() && exchange_->head.keep_alive;
  close(framed ? CloseWish::linger : CloseWish::reset, reason);
}

void Session::close(CloseWish wish, CloseReason reason) {
  state_ = State::closing;
  wish_ = wish;
  reason_ = reason;
  deadline_ = kNever;
  wants_room_ = false;
  link_.pause_input(false);
  link_.touch();
  if (exchange_ == nullptr) return;
  note_answer(*exchange_);
  environment_.abandon(*std::exchange(exchange_, nullptr));
}

/// Its answer is written, as far as it ever will be; the report may ask whose it was until it is sent.
void Session::note_answer(const Exchange& exchange) {
  const RequestHead& head = exchange.head;
  // Without parameters and of the same size, the target is the pattern of its route, whose text lasts.
  bool lasting = exchange.route != nullptr && exchange.params.size == 0 &&
                 exchange.route->pattern.size() == head.target.size();
  unsent_.add({.began = exchange.began,
               .end = link_.bytes_written(),
               .target = lasting ? std::string_view(exchange.route->pattern) : head.target,
               .method = head.method},
              lasting, link_.bytes_sent());
}

void Session::refuse_overload() {
  turn_away(TurnedAway::max_connections, "there are as many connections as may be");
  write_refusal(503, "503 Service Unavailable: too many connections\n", "Retry-After: 1\r\n");
  close(CloseWish::linger, CloseReason::overloaded);
}

void Session::on_force(bool unread) {
  bool answered = exchange_ != nullptr && exchange_->response.head_sent_ && state_ != State::discarding;
  if (state_ == State::closing) return;  // its last answer is on the way out
  if (answered) {
    break_off(CloseReason::forced);  // a reset would take whole answers along that the kernel has
    return;
  }
  bool owed = exchange_ != nullptr ? state_ != State::discarding : scanner_.started() || unread;
  if (owed) write_refusal(503, "503 Service Unavailable: the server is stopping\n", "Retry-After: 1\r\n");
  close(CloseWish::linger, CloseReason::forced);
}

void Session::on_close() {
  if (state_ == State::proxy) tell_broken_header();
  if (exchange_ != nullptr) environment_.abandon(*std::exchange(exchange_, nullptr));
}

}  // namespace lastcall
