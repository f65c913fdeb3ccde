#include <utility>

#include <lastcall/http/session.hpp>

namespace lastcall {

/// From here on what comes is the stream's, what was stashed behind the request first. While input is being
/// consumed the loop below us on the stack goes on with that.
void Session::hijack(Exchange& exchange) {
  state_ = State::hijacked;
  keep_alive_ = false;
  deadline_ = kNever;
  loop().timers.cancel(exchange.timer);  // it is no answer any more that could be late
  if (!consuming_) exchange.stream->take(input_);
  steer_input();
  link_.touch();
}

/// RFC 9110 15.2.2. Never HTTP/1.0: the client has offered to upgrade.
void Session::write_switch(Exchange& exchange, std::string_view protocol) {
  Response& response = exchange.response;
  response.add_field("Upgrade", protocol);
  response.add_field("Connection", "Upgrade");
  environment_.head_writer.set_time(loop().wall);
  environment_.head_writer.write({.status = 101,
                                  .framing = ResponseHead::Framing::none,
                                  .omit_date = response.has_date_,
                                  .omit_server = response.has_server_,
                                  .fields = response.fields_.view()},
                                 link_.output());
  count_answer(101);
}

bool Session::feed_stream(std::string_view bytes) {
  if (bytes.empty()) return false;
  exchange_->behind = {};
  exchange_->stream->receive(bytes);
  return true;
}

void Session::send_raw(std::string_view bytes) {
  link_.output().append(bytes);
  link_.touch();
}

void Session::leave_at_stop() {
  close(CloseWish::linger, CloseReason::finished);
}

void Session::detach() {
  wish_ = CloseWish::detach;
  steer_input();
  link_.touch();
}

void Session::on_detach(std::shared_ptr<DetachedConnection> detached) {
  Exchange& exchange = *std::exchange(exchange_, nullptr);
  state_ = State::closing;
  detached->method = to_string(exchange.head.method);
  detached->target = exchange.head.target;
  detached->began = exchange.began;
  if (!named_peer().empty()) detached->peer = named_peer();
  environment_.outlive(exchange, std::move(detached));
}

}  // namespace lastcall
