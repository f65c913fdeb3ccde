#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <lastcall/http/response.hpp>

namespace lastcall {

/// One server-sent event (WHATWG HTML, 9.2). Fields that are empty are left out.
struct ServerSentEvent {
  std::string_view data;            ///< any text; each of its lines gets a line, however they end
  std::string_view event{};         ///< its type; a client's default is "message"
  std::string_view id{};            ///< what a client that comes back says in Last-Event-ID
  std::optional<Duration> retry{};  ///< how long a client is to wait before it comes back; whole milliseconds
};

/// The answer of a coroutine handler as a stream of events: sets the fields of the answer, then sends, an
/// event a call. Ends cleanly when the handler does; watch request.drain_token() to end it when the server
/// stops:
///
///   EventStream stream(response);
///   while (!request.drain_token().stop_requested()) {
///     if (!co_await stream.send({.data = next()})) co_return;
///     co_await sleep_for(1s, request.drain_token());
///   }
///   co_await stream.send({.data = "come back later", .event = "bye"});
///
/// Reactor's thread only. One send at a time.
class EventStream {
 public:
  /// Sets Content-Type, Cache-Control and X-Accel-Buffering; the head leaves with the first event. The
  /// response has to outlive the stream; its status stays as it is.
  explicit EventStream(Response& response);

  /// As Response::write: waits while the client is slow; false when nobody is there to take it any more.
  /// Throws std::invalid_argument where `event` or `id` have a line end or NUL.
  [[nodiscard]] WriteBody send(const ServerSentEvent& event);
  /// A line that clients drop: keeps proxies from taking a quiet stream for a dead one.
  [[nodiscard]] WriteBody comment(std::string_view text);

 private:
  Response& response_;
  std::string text_;  // of the send at hand
};

}  // namespace lastcall
