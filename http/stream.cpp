#include <algorithm>
#include <cerrno>
#include <stdexcept>
#include <system_error>

#include <lastcall/http/chars.hpp>
#include <lastcall/http/exchange.hpp>
#include <lastcall/http/session.hpp>
#include <lastcall/http/stream.hpp>

namespace lastcall {
namespace {

void check_may_leave(const Exchange& exchange) {
  if (exchange.stream) throw std::logic_error("the connection was hijacked before");
  if (exchange.response.head_sent()) throw std::logic_error("an answer has begun on this connection");
  if (!exchange.task) throw std::logic_error("only a coroutine handler can hijack its connection");
  if (exchange.session == nullptr) return;  // nobody there: what is missing of the body will not come
  if (!exchange.decoder.complete() || !exchange.body.empty())
    throw std::logic_error("the request's body was not read to its end");
}

bool is_offered(const RequestHead& head, std::string_view protocol) noexcept {
  if (!head.upgrade || head.version_minor == 0) return false;  // RFC 9110 7.8: ignored in HTTP/1.0
  for (const Field& field : head.fields) {
    if (!equal_ignoring_case(field.name, "Upgrade")) continue;
    for (std::string_view rest = field.value; !rest.empty();) {
      const size_t comma = std::min(rest.find(','), rest.size());
      if (equal_ignoring_case(chars::trim(rest.substr(0, comma)), protocol)) return true;
      rest.remove_prefix(std::min(comma + 1, rest.size()));
    }
  }
  return false;
}

/// protocol-name [ "/" protocol-version ], both tokens.
bool is_protocol(std::string_view text) noexcept {
  const size_t slash = std::min(text.find('/'), text.size());
  return chars::is_token(text.substr(0, slash)) &&
         (slash == text.size() || chars::is_token(text.substr(slash + 1)));
}

}  // namespace

Stream& Response::hijack() {
  check_may_leave(exchange_);
  exchange_.stream = std::make_unique<Stream>(exchange_);
  head_sent_ = true;
  if (exchange_.session != nullptr) exchange_.session->hijack(exchange_);
  return *exchange_.stream;
}

Stream& Response::switch_protocols(std::string_view protocol) {
  if (!is_protocol(protocol)) throw std::invalid_argument("not the name of a protocol");
  if (!is_offered(exchange_.head, protocol)) throw std::logic_error("the client did not offer this protocol");
  check_may_leave(exchange_);
  if (exchange_.session != nullptr) exchange_.session->write_switch(exchange_, protocol);
  return hijack();
}

Stream::Stream(Exchange& exchange) noexcept
    : exchange_(exchange),
      unread_(exchange.environment.loop.buffers),
      handed_out_(exchange.environment.loop.buffers) {}

bool Stream::gone() const noexcept {
  return exchange_.session == nullptr || exchange_.context.cancelled();
}

bool Stream::aborted() const noexcept {
  return gone();
}

const std::string& Stream::peer() const {
  return exchange_.request.peer();
}

std::string_view Stream::lend_unread() noexcept {
  handed_out_.release();
  handed_out_.swap(unread_);
  if (exchange_.session != nullptr) exchange_.session->body_taken();
  return handed_out_.view();
}

bool Stream::input_ended() const noexcept {
  return gone() || exchange_.session->stream_input_ended();
}

void Stream::receive(std::string_view bytes) {
  unread_.append(bytes);
  if (watcher_ != nullptr) return watcher_->changed(*watcher_);
  if (reader_ != nullptr) std::exchange(reader_, nullptr)->resume();
}

std::string Stream::take_unread() {
  std::string bytes(unread_.view());
  unread_.release();
  return bytes;
}

void Stream::end_input() {
  if (watcher_ != nullptr) return watcher_->changed(*watcher_);
  if (reader_ != nullptr) std::exchange(reader_, nullptr)->resume();
}

bool Stream::append(std::string_view bytes) {
  if (gone()) return false;
  if (exchange_.session->prepared_bytes() == 0) appended_ = 0;
  if (bytes.size() > kMaxAppendedBytes - appended_) return false;
  appended_ += bytes.size();
  exchange_.session->send_raw(bytes);
  return true;
}

size_t Stream::queued() const noexcept {
  return exchange_.session != nullptr ? exchange_.session->queued_bytes() : 0;
}

void Stream::leave_at_stop() {
  leaves_at_stop_ = true;
  if (exchange_.session != nullptr && exchange_.environment.loop.draining) exchange_.session->leave_at_stop();
}

bool ReadStream::await_ready() const noexcept {
  return !stream_.unread_.empty() || stream_.input_ended();
}

void ReadStream::suspend(TaskContext& context) noexcept {
  stream_.handed_out_.release();  // one that waits holds no memory
  context_ = &context;
  stream_.reader_ = this;
  context.wait_for(*this);
}

void ReadStream::resume() {
  stream_.reader_ = nullptr;
  context_->resume(coroutine_);
}

std::string_view ReadStream::await_resume() noexcept {
  return stream_.lend_unread();
}

bool WriteStream::await_ready() {
  if (stream_.gone()) {
    // A handler that goes on writing to nobody, in a loop that never waits, would hold its reactor for ever.
    if (std::exchange(stream_.refused_write_, true)) {
      throw std::system_error(EPIPE, std::generic_category(), "write after the peer has gone");
    }
    return true;
  }
  taken_ = true;
  Session& session = *stream_.exchange_.session;
  session.send_raw(bytes_);
  return session.prepared_bytes() < Stream::kMaxPreparedBytes;
}

void WriteStream::suspend(TaskContext& context) noexcept {
  context_ = &context;
  stream_.writer_ = this;
  context.wait_for(*this);
  stream_.exchange_.session->room_wanted();
}

void WriteStream::resume() {
  stream_.writer_ = nullptr;
  context_->resume(coroutine_);
}

bool WriteStream::await_resume() noexcept {
  return taken_ && !stream_.gone();
}

bool DetachStream::await_ready() const noexcept {
  return stream_.gone();
}

void DetachStream::suspend(TaskContext& context) noexcept {
  context_ = &context;
  stream_.detacher_ = this;
  context.wait_for(*this);
  stream_.exchange_.session->detach();
}

std::optional<HijackedConnection> DetachStream::await_resume() noexcept {
  return std::move(connection_);
}

void DetachStream::resume() {
  stream_.detacher_ = nullptr;
  context_->resume(coroutine_);
}

void Stream::on_detach(HijackedConnection connection) {
  DetachStream& detacher = *detacher_;
  forced_.emplace(connection.stop_token(), Cancel{exchange_.context});
  detacher.connection_ = std::move(connection);
  detacher.resume();
}

}  // namespace lastcall
