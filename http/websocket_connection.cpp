#include <algorithm>
#include <cerrno>
#include <exception>
#include <system_error>
#include <utility>

#include <lastcall/core/log.hpp>
#include <lastcall/http/exchange.hpp>
#include <lastcall/http/session.hpp>
#include <lastcall/http/websocket_connection.hpp>

namespace lastcall {
namespace {

constexpr size_t kKeptOutboxBytes = 4096;  // while it is empty

using Opcode = WebSocketCodec::Opcode;

}  // namespace

WebSocketConnection::WebSocketConnection(Stream& stream, const WebSocketOptions& options,
                                         std::string subprotocol)
    : StreamWatcher{[](StreamWatcher& self) { static_cast<WebSocketConnection&>(self).on_stream(); }},
      TaskTimer([](TaskTimer& self) { static_cast<WebSocketConnection&>(self).on_timer(); }),
      stream_(stream),
      max_message_bytes_(options.max_message_bytes),
      max_queued_bytes_(options.max_queued_bytes),
      ping_interval_(options.ping_interval),
      close_timeout_(options.close_timeout),
      subprotocol_(std::move(subprotocol)),
      codec_(options.max_message_bytes) {
  stream_.watcher_ = this;
  if (ping_interval_ > 0s) arm(ping_interval_);
  pump();  // what came behind the handshake
  // Called on this thread, before the connection is told to drain, or here where that was before.
  if (open()) drained_.emplace(loop().drain.get_token(), Drained{*this});
}

WebSocketConnection::~WebSocketConnection() {
  drained_.reset();
  stream_.watcher_ = nullptr;
  if (stream_.aborted()) {
    static_cast<void>(detach_senders());
  } else {
    const bool thrown = std::uncaught_exceptions() > 0;
    close(thrown ? websocket_code::kInternal : websocket_code::kNormal, {});
    flush_all();
  }
  loop().timers.cancel(*this);
}

Loop& WebSocketConnection::loop() const noexcept {
  return stream_.exchange_.environment.loop;
}

void WebSocketConnection::Drained::operator()() const {
  connection.close(websocket_code::kGoingAway, "the server is stopping");
}

void WebSocketConnection::on_stream() {
  if (stream_.aborted()) return set_closed();  // whoever waits is told by its context
  pump();
  flush();
  wake();
}

/// From the stream through the codec, until that has nothing more or the handler has enough.
void WebSocketConnection::pump() {
  while (state_ != State::closed && !holds_back()) {
    if (auto event = codec_.next()) {
      handle(std::move(*event));
      continue;
    }
    const std::string_view bytes = stream_.lend_unread();
    if (bytes.empty()) break;
    codec_.feed(bytes);
  }
  const bool drained = state_ == State::closed || !holds_back();
  if (drained) stream_.handed_out_.release();  // an idle socket holds no buffer
  if (drained && state_ != State::closed && stream_.input_ended()) set_closed();
}

bool WebSocketConnection::holds_back() const noexcept {
  return inbox_.size() >= kMaxWaitingMessages || inbox_bytes_ >= std::max<size_t>(max_message_bytes_, 1);
}

void WebSocketConnection::handle(WebSocketCodec::Event&& event) {
  using Kind = WebSocketCodec::Event::Kind;
  switch (event.kind) {
    case Kind::text:
    case Kind::binary: {
      const bool text = event.kind == Kind::text;
      inbox_bytes_ += event.payload.size();
      inbox_.push_back({.kind = text ? WebSocketMessage::Kind::text : WebSocketMessage::Kind::binary,
                        .data = std::move(event.payload)});
      return;
    }
    case Kind::ping: return on_ping(event.payload);
    case Kind::pong: awaits_pong_ = false; return;
    case Kind::close: return on_close(std::move(event));
    case Kind::failed:  // RFC 6455 7.1.7: nothing that follows is read, so no close frame is waited for
      log_event(LogLevel::debug, "websocket_failed", {{"code", event.code}, {"what", event.payload}});
      close(event.code, event.payload);
      return set_closed();
  }
}

void WebSocketConnection::on_ping(std::string_view payload) {
  if (!open()) return;  // RFC 6455 5.5.1: nothing follows a close frame
  codec_.write(Opcode::pong, payload, outbox_);
  flush();
  if (queued() > max_queued_bytes_) close(websocket_code::kPolicy, "too slow");
}

/// RFC 6455 5.5.1: answered with the same code.
void WebSocketConnection::on_close(WebSocketCodec::Event&& event) {
  peer_code_ = event.code;
  peer_reason_ = std::move(event.payload);
  close(peer_code_, {});
  set_closed();
}

void WebSocketConnection::close(uint16_t code, std::string_view reason) {
  if (!open()) return;
  static_cast<void>(write_mail(detach_senders()));  // taken before the close, so it leaves before it
  state_ = State::closing;
  codec_.write_close(code, reason, outbox_);
  flush();
  arm(close_timeout_);
}

/// The handler may take some time to end, and what is queued to leave; not for ever.
void WebSocketConnection::set_closed() {
  static_cast<void>(detach_senders());
  if (state_ == State::open) arm(close_timeout_);
  state_ = State::closed;
  if (stream_.aborted()) loop().timers.cancel(*this);
}

void WebSocketConnection::arm(Duration patience) noexcept {
  loop().timers.arm(*this, after(loop().now, patience));
}

void WebSocketConnection::on_timer() {
  if (open()) {
    check_alive();
    return;
  }
  state_ = State::closed;
  stream_.exchange_.session->leave_at_stop();  // the last act: it ends the handler's waiting
}

void WebSocketConnection::check_alive() {
  // Who is held back has perhaps answered, behind what the handler does not receive.
  const bool unread = holds_back() || stream_.holds_back();
  if (awaits_pong_ && !unread) {
    close(websocket_code::kInternal, "no pong");
    return;
  }
  // A ping behind what the client does not take says nothing; the write timeout watches over that.
  if (!awaits_pong_ && queued() == 0) {
    awaits_pong_ = true;
    codec_.write(Opcode::ping, {}, outbox_);
    flush();
  }
  arm(ping_interval_);
}

std::optional<WebSocketMessage> WebSocketConnection::take() {
  if (inbox_.empty()) return std::nullopt;
  const bool held_back = holds_back();
  std::optional<WebSocketMessage> message(std::move(inbox_.front()));
  inbox_.pop_front();
  inbox_bytes_ -= message->data.size();
  refused_send_ = false;
  if (held_back && !stream_.aborted()) pump();
  return message;
}

bool WebSocketConnection::send(WebSocketMessage::Kind message_kind, std::string_view data) {
  if (!open()) {
    // A handler that goes on sending to nobody, in a loop that never waits, would hold its reactor for ever.
    if (std::exchange(refused_send_, true))
      throw std::system_error(EPIPE, std::generic_category(), "send after the WebSocket has closed");
    return false;
  }
  codec_.write(message_kind == WebSocketMessage::Kind::text ? Opcode::text : Opcode::binary, data, outbox_);
  flush();
  return true;
}

size_t WebSocketConnection::queued() const noexcept {
  return outbox_.size() - outbox_sent_ + stream_.queued();
}

bool WebSocketConnection::has_room() const noexcept {
  return state_ == State::closed || stream_.aborted() ||
         (outbox_.empty() && stream_.exchange_.session->prepared_bytes() < Stream::kMaxPreparedBytes);
}

void WebSocketConnection::wait(WebSocketWaiter& waiter) noexcept {
  waiter_ = &waiter;
  if (waiter.for_room_) stream_.exchange_.session->room_wanted();
}

void WebSocketConnection::flush() {
  if (stream_.aborted()) return;
  Session& session = *stream_.exchange_.session;
  while (outbox_sent_ < outbox_.size() && session.prepared_bytes() < Stream::kMaxPreparedBytes) {
    const size_t room = Stream::kMaxPreparedBytes - session.prepared_bytes();
    const std::string_view piece = std::string_view(outbox_).substr(outbox_sent_, room);
    session.send_raw(piece);
    outbox_sent_ += piece.size();
  }
  if (outbox_sent_ < outbox_.size()) {
    session.room_wanted();
    if (outbox_sent_ < outbox_.size() / 2) return;  // moving it down is worth it half the way
    outbox_.erase(0, outbox_sent_);
  } else if (outbox_.capacity() > kKeptOutboxBytes) {
    std::string().swap(outbox_);
  } else {
    outbox_.clear();
  }
  outbox_sent_ = 0;
}

/// The handler ends: all of it, whatever the room.
void WebSocketConnection::flush_all() {
  if (outbox_sent_ < outbox_.size())
    stream_.exchange_.session->send_raw(std::string_view(outbox_).substr(outbox_sent_));
}

void WebSocketConnection::wake() {
  if (waiter_ == nullptr) return;
  if (waiter_->for_room_ ? has_room() : can_receive()) {
    std::exchange(waiter_, nullptr)->resume();
  } else if (waiter_->for_room_) {
    stream_.exchange_.session->room_wanted();
  }
}

}  // namespace lastcall
