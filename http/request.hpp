#pragma once

#include <concepts>
#include <exception>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <lastcall/http/client_address.hpp>
#include <lastcall/http/request_head.hpp>
#include <lastcall/http/task.hpp>

namespace lastcall {

struct Exchange;

/// `co_await request.read()`, `co_await request.read_all()`: see Request.
class [[nodiscard]] ReadBody : TaskContext::Waiter {
 public:
  /// For Request::read() and Request::read_all().
  ReadBody(Exchange& exchange, bool whole) noexcept : exchange_(exchange), whole_(whole) {
    cancel = [](Waiter& waiter) { static_cast<ReadBody&>(waiter).resume(); };
  }
  bool await_ready() noexcept { return false; }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> coroutine) {
    coroutine_ = coroutine;
    return suspend(*coroutine.promise().context);
  }
  std::string_view await_resume() noexcept;

 protected:
  /// Takes a piece, for whoever is derived from this.
  using Call = void (*)(ReadBody&, std::string_view);
  /// For ReadEach.
  ReadBody(Exchange& exchange, Call call) noexcept : ReadBody(exchange, true) { take_ = call; }
  /// True at the end of the body; throws what `take` threw.
  [[nodiscard]] bool finish();

 private:
  friend class Session;
  [[nodiscard]] bool whole() const noexcept { return whole_; }  // waits for the end of the body
  [[nodiscard]] bool takes_pieces() const noexcept { return take_ != nullptr && !error_; }
  [[nodiscard]] bool failed() const noexcept { return error_ != nullptr; }
  void give(std::string_view piece) noexcept;
  bool suspend(TaskContext& context);
  void resume();

  Exchange& exchange_;
  std::coroutine_handle<> coroutine_;
  Call take_ = nullptr;
  std::exception_ptr error_;  // out of take_
  bool whole_;
};

/// `co_await request.read_each(take)`: see Request.
template <class Take>
class [[nodiscard]] ReadEach : public ReadBody {
 public:
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 13
  static_assert(
      std::is_lvalue_reference_v<Take> || std::is_trivially_destructible_v<Take>,
      "give the function a name (auto f = [...] {...}; co_await request.read_each(f)): this compiler destroys "
      "the captures of a lambda inside a co_await expression twice");
#endif

  /// For Request::read_each().
  ReadEach(Exchange& exchange, Take&& take)
      : ReadBody(exchange,
                 [](ReadBody& read, std::string_view piece) { static_cast<ReadEach&>(read).take_(piece); }),
        take_(std::forward<Take>(take)) {}
  bool await_resume() { return finish(); }

 private:
  Take take_;
};

/// A request as the handler sees it. Views are valid until a synchronous handler returns, or until a
/// coroutine handler has ended. Reactor's thread only.
class Request {
 public:
  /// For the server.
  explicit Request(Exchange& exchange) noexcept : exchange_(exchange) {}
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;

  [[nodiscard]] Method method() const noexcept;  ///< always a known one: others were answered 501
  [[nodiscard]] std::string_view method_name() const noexcept;  ///< as on the wire: "GET"; static storage
  [[nodiscard]] std::string_view target() const noexcept;       ///< as sent
  [[nodiscard]] std::string_view path() const;                  ///< percent-decoded
  [[nodiscard]] std::string_view query() const noexcept;        ///< as sent, without '?'
  [[nodiscard]] std::string_view host() const noexcept;  ///< Host, or the authority of an absolute target
  [[nodiscard]] int version_minor() const noexcept;      ///< of HTTP/1.x: 0 or 1

  /// Value of the first field of that name (case-insensitive), or nullopt.
  [[nodiscard]] std::optional<std::string_view> header(std::string_view name) const noexcept;
  [[nodiscard]] std::span<const Field> headers() const noexcept;   ///< in the order received, names as sent
  [[nodiscard]] std::span<const Field> trailers() const noexcept;  ///< once the body is complete
  /// A {parameter} of the route, percent-decoded; nullopt when the pattern has none of that name.
  [[nodiscard]] std::optional<std::string_view> param(std::string_view name) const noexcept;
  /// Value of the first `name=value` of the query, with %XX and '+' decoded.
  [[nodiscard]] std::optional<std::string> query_param(std::string_view name) const;

  /// The whole body, decoded: for synchronous handlers, which run when it is complete, and after read_all().
  [[nodiscard]] std::string_view body() const noexcept;
  /// Content-Length of the request, if it has one.
  [[nodiscard]] std::optional<uint64_t> content_length() const noexcept;
  /// For coroutine handlers: the next piece of the body, valid until the next read; empty at the end, and
  /// when the body broke off (then aborted() is true). Memory stays bounded: the client is held back until
  /// the handler reads on.
  [[nodiscard]] ReadBody read() noexcept { return ReadBody(exchange_, false); }
  /// For coroutine handlers: waits for all of the body, of at most max_body_bytes; what read() has not handed
  /// out, which body() returns from then on. Valid until the next read(). Empty when it broke off (then
  /// aborted() is true).
  [[nodiscard]] ReadBody read_all() noexcept { return ReadBody(exchange_, true); }
  /// For coroutine handlers that want no more than a look at each piece: to count, hash or store it. Calls
  /// `take(std::string_view)` with the pieces as they come, where they were received: nothing is copied or
  /// kept. A piece is valid while `take` runs, on the reactor. True at the end of the body; false when it broke
  /// off (then aborted() is true). What `take` throws ends the reading and comes out here; read() and
  /// read_all() return what came behind that piece. One that has a name is used in its place, as by offload().
  template <class Take>
    requires std::invocable<Take&, std::string_view>
  [[nodiscard]] ReadEach<Take> read_each(Take&& take) {
    return ReadEach<Take>(exchange_, std::forward<Take>(take));
  }
  /// The client is gone, its body broke off or was refused, or the stop ran out of time: nobody waits for the
  /// answer.
  [[nodiscard]] bool aborted() const noexcept;

  /// Requested when the stop begins to drain: finish soon. Any thread may hold it, also after the server.
  [[nodiscard]] std::stop_token drain_token() const;
  /// Requested when nobody waits for the answer any more: the client is gone, or the stop ran out of time.
  [[nodiscard]] std::stop_token stop_token() const;
  /// For coroutine handlers: waits until that is so, aborted(); nothing else ends it.
  [[nodiscard]] SleepFor disconnected() noexcept { return SleepFor(Duration::max()); }

  /// The other end of the connection: "127.0.0.1:53124", "[::1]:53124", "unix:"; on a listener with
  /// ServerOptions::proxy_protocol, whom the PROXY header names.
  [[nodiscard]] const std::string& peer() const;
  /// Who asks: peer(), or where that is one of ServerOptions::trusted_proxies, whom the proxies name in
  /// X-Forwarded-For or Forwarded (ServerOptions::forwarded_header): from the right, the first that is no
  /// trusted proxy itself.
  [[nodiscard]] const ClientAddress& client() const;

 private:
  Exchange& exchange_;
};

}  // namespace lastcall
