#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <lastcall/core/buffer.hpp>
#include <lastcall/http/task.hpp>

namespace lastcall {

struct Exchange;
class Stream;

/// `co_await response.write(bytes)`: see Response::write.
class [[nodiscard]] WriteBody : TaskContext::Waiter {
 public:
  /// For Response::write().
  WriteBody(Exchange& exchange, std::string_view bytes, bool lasting) noexcept
      : exchange_(exchange), bytes_(bytes), lasting_(lasting) {
    cancel = [](Waiter& waiter) { static_cast<WriteBody&>(waiter).resume(); };
  }
  bool await_ready() noexcept { return false; }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> coroutine) {
    coroutine_ = coroutine;
    return suspend(*coroutine.promise().context);
  }
  bool await_resume() noexcept;

 private:
  friend class Session;
  bool suspend(TaskContext& context);
  void resume();

  Exchange& exchange_;
  std::string_view bytes_;
  std::coroutine_handle<> coroutine_;
  bool lasting_;
  bool taken_ = false;
};

/// The answer to one request. A handler sets status, fields and body; the server adds Server, Date,
/// Content-Length and Connection. Nothing leaves before a synchronous handler returns, or before a
/// coroutine's first write() or end. Without any call the answer is an empty 200. Reactor's thread only.
class Response {
 public:
  /// For the server.
  explicit Response(Exchange& exchange, BufferPool& pool) noexcept
      : exchange_(exchange), fields_(pool), body_(pool) {}
  Response(const Response&) = delete;
  Response& operator=(const Response&) = delete;

  /// 200 to 599. Throws std::invalid_argument otherwise.
  Response& status(uint16_t code);
  /// Adds a field. Throws std::invalid_argument when the name is no token, when the value has CR, LF, NUL or
  /// another control character (header injection), and for the fields that are the server's: Content-Length,
  /// Transfer-Encoding, Connection. `Date` and `Server` replace the server's own.
  Response& header(std::string_view name, std::string_view value);
  /// Replaces the body and its type, which may be empty; a Content-Type given to header() goes before any of
  /// these. Both are copied. Throws std::invalid_argument for a control character in the type.
  void body(std::string_view bytes, std::string_view content_type);
  /// @{
  /// As body(), with text/plain, text/html in UTF-8, application/json. The bytes are sent as they are:
  /// nothing is escaped or checked.
  void text(std::string_view bytes) { set_body(bytes, "text/plain"); }
  void html(std::string_view bytes) { set_body(bytes, "text/html; charset=utf-8"); }
  void json(std::string_view bytes) { set_body(bytes, "application/json"); }
  /// @}
  /// Closes the connection after this answer.
  Response& close_connection() noexcept;

  /// Announces the length of a body that will be written in pieces; without it the body goes chunked
  /// (HTTP/1.1) or to the end of the connection (HTTP/1.0).
  Response& content_length(uint64_t bytes) noexcept;
  /// For coroutine handlers: sends a piece of the body, the head before the first one. Waits while the client
  /// is slow to take what was written. False when nobody is there to take it any more, or the answer has no
  /// body (HEAD, 204, 304); throws std::system_error when called again after that, and std::length_error past
  /// the announced content_length.
  [[nodiscard]] WriteBody write(std::string_view bytes) noexcept {
    return WriteBody(exchange_, bytes, false);
  }
  /// The same of bytes that stay as they are for as long as the server runs, such as a page made before it
  /// served: large pieces of an answer with a content_length() are sent from there, without a copy, together
  /// with those that the handler writes next without waiting for anything else, up to 1 MB at a time.
  [[nodiscard]] WriteBody write_lasting(std::string_view bytes) noexcept {
    return WriteBody(exchange_, bytes, true);
  }
  /// Status and fields have left, or are on their way: it is too late to change them.
  [[nodiscard]] bool head_sent() const noexcept { return head_sent_; }

  /// For coroutine handlers: takes the connection out of HTTP. No answer is written; answers to earlier
  /// requests leave first. Throws std::logic_error when the head was sent, when called twice, and while the
  /// request's body is not read to its end. What was set in this answer is dropped, and write() throws.
  Stream& hijack();
  /// Answers 101 with the fields of header(), then is hijack(). Throws also when the client did not offer
  /// `protocol` in its Upgrade field (RFC 9110 7.8), and std::invalid_argument where that is not a protocol's
  /// name. Of several protocols offered it is one; compared case-insensitively.
  Stream& switch_protocols(std::string_view protocol);

 private:
  friend class Session;
  friend class WriteBody;
  friend class WebSocket;
  friend struct Exchange;
  void set_body(std::string_view bytes, std::string_view lasting_type) {
    body_.clear();
    body_.append(bytes);
    type_ = lasting_type;
  }
  void add_field(std::string_view name, std::string_view value);
  void reset(bool keep_memory) noexcept;
  void release_memory(size_t kept) noexcept;
  /// Nothing was set but a body with a type that is a literal.
  [[nodiscard]] bool is_usual() const noexcept {
    return status_ == 200 && !head_sent_ && !has_length_ && !close_ && fields_.empty() && !type_.empty() &&
           type_.data() != type_text_.data();
  }

  Exchange& exchange_;
  Buffer fields_;  // "Name: value\r\n" lines
  Buffer body_;
  std::string_view type_;  // Content-Type, unless `fields_` has one
  uint64_t length_ = 0;    // announced
  uint64_t written_ = 0;   // by write()
  uint16_t status_ = 200;
  bool has_length_ : 1 = false;
  bool has_type_ : 1 = false;
  bool has_date_ : 1 = false;
  bool has_server_ : 1 = false;
  bool close_ : 1 = false;
  bool head_sent_ : 1 = false;
  bool chunked_ : 1 = false;
  bool gone_ = false;      // write() has said once that nobody is there
  std::string type_text_;  // what type_ points into, when it is not a literal
};

}  // namespace lastcall
