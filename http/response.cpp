#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include <lastcall/http/chars.hpp>
#include <lastcall/http/exchange.hpp>
#include <lastcall/http/response.hpp>
#include <lastcall/http/session.hpp>

namespace lastcall {
namespace {

constexpr size_t kMaxKeptBytes = 4096;  // of each buffer, for the next exchange

bool is_field_value(std::string_view text) noexcept {
  return chars::skip(text.data(), text.data() + text.size(), chars::kValue) == text.data() + text.size();
}

}  // namespace

Response& Response::status(uint16_t code) {
  if (code < 200 || code > 599)
    throw std::invalid_argument("status " + std::to_string(code) + " is not 200 to 599");
  status_ = code;
  return *this;
}

Response& Response::header(std::string_view name, std::string_view value) {
  if (!chars::is_token(name)) throw std::invalid_argument("a field name must be a token");
  if (!is_field_value(value))
    throw std::invalid_argument("control character in the value of " + std::string(name));
  if (equal_ignoring_case(name, "Content-Length") || equal_ignoring_case(name, "Transfer-Encoding") ||
      equal_ignoring_case(name, "Connection")) {
    throw std::invalid_argument("the field " + std::string(name) + " is the server's to set");
  }
  has_date_ = has_date_ || equal_ignoring_case(name, "Date");
  has_server_ = has_server_ || equal_ignoring_case(name, "Server");
  has_type_ = has_type_ || equal_ignoring_case(name, "Content-Type");
  add_field(name, value);
  return *this;
}

void Response::add_field(std::string_view name, std::string_view value) {
  char* const begin = fields_.prepare(name.size() + value.size() + 4);
  char* at = begin;
  at = static_cast<char*>(std::memcpy(at, name.data(), name.size())) + name.size();
  *at++ = ':';
  *at++ = ' ';
  at = static_cast<char*>(std::memcpy(at, value.data(), value.size())) + value.size();
  *at++ = '\r';
  *at++ = '\n';
  fields_.commit(static_cast<size_t>(at - begin));
}

void Response::body(std::string_view bytes, std::string_view content_type) {
  if (!is_field_value(content_type)) throw std::invalid_argument("control character in a content type");
  type_text_ = content_type;
  set_body(bytes, type_text_);
}

Response& Response::close_connection() noexcept {
  close_ = true;
  return *this;
}

Response& Response::content_length(uint64_t bytes) noexcept {
  length_ = bytes;
  has_length_ = true;
  return *this;
}

void Response::reset(bool keep_memory) noexcept {
  if (!fields_.empty()) fields_.clear();
  body_.clear();
  if (!keep_memory || fields_.capacity() > kMaxKeptBytes || body_.capacity() > kMaxKeptBytes) [[unlikely]]
    release_memory(keep_memory ? kMaxKeptBytes : 0);
  type_ = {};
  length_ = written_ = 0;
  status_ = 200;
  has_length_ = has_type_ = has_date_ = has_server_ = close_ = head_sent_ = chunked_ = gone_ = false;
}

[[gnu::noinline]] void Response::release_memory(size_t kept) noexcept {
  if (fields_.capacity() > kept) fields_.release();
  if (body_.capacity() > kept) body_.release();
}

bool WriteBody::suspend(TaskContext& context) {
  Response& response = exchange_.response;
  if (context.cancelled()) {
    // A handler that goes on writing to nobody, in a loop that never waits, would hold its reactor for ever.
    if (std::exchange(response.gone_, true)) {
      throw std::system_error(EPIPE, std::generic_category(), "write after the client has gone");
    }
    return false;
  }
  bool room = exchange_.session->write_piece(exchange_, bytes_, lasting_);
  if (!exchange_.session->sends_body(exchange_)) {  // HEAD: the head is out, and that was all
    if (std::exchange(response.gone_, true)) {
      throw std::system_error(EPIPE, std::generic_category(), "write after the answer's end");
    }
    return false;
  }
  taken_ = true;
  if (room) return false;
  exchange_.writer = this;
  context.wait_for(*this);
  exchange_.session->room_wanted();
  return true;
}

void WriteBody::resume() {
  exchange_.context.resume(coroutine_);
}

bool WriteBody::await_resume() noexcept {
  return taken_ && !exchange_.context.cancelled();
}

}  // namespace lastcall
