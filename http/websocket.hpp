#pragma once

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <lastcall/core/time.hpp>
#include <lastcall/http/request.hpp>
#include <lastcall/http/response.hpp>
#include <lastcall/http/task.hpp>

namespace lastcall {

class WebSocketConnection;
struct WebSocketMail;

/// A message, whole: its fragments are put together.
struct WebSocketMessage {
  /// As the frames have it (RFC 6455 5.6).
  enum class Kind : uint8_t { text, binary };
  Kind kind = Kind::text;  ///< that it was, or is to be, sent as
  std::string data;        ///< UTF-8 where it is text
};

/// How a WebSocket is accepted and kept.
struct WebSocketOptions {
  size_t max_message_bytes =
      1024 * 1024;  ///< of a message that comes, all its fragments; closed with 1009 beyond
  /// What senders sent and the kernel has not taken, and as much again on its way to the reactor; a client
  /// that lets more add up is closed with 1008.
  size_t max_queued_bytes = 1024 * 1024;
  Duration ping_interval =
      30s;  ///< between two pings; closed with 1011 when one is not answered by the next; 0: none
  Duration close_timeout = 5s;  ///< from our close frame, to the client's and the end of the handler
  std::vector<std::string> allowed_origins{};  ///< "https://example.org"; empty: all. 403 otherwise
  std::vector<std::string> subprotocols{};     ///< the favourite first
};

/// @cond internal
/// Something that a handler waits for on a WebSocket.
class WebSocketWaiter : TaskContext::Waiter {
 public:
  WebSocketWaiter(const WebSocketWaiter&) = delete;
  WebSocketWaiter& operator=(const WebSocketWaiter&) = delete;

 protected:
  WebSocketWaiter(WebSocketConnection& connection, bool for_room) noexcept;
  ~WebSocketWaiter() = default;
  void suspend(TaskContext& context, std::coroutine_handle<> coroutine) noexcept;

  WebSocketConnection& connection_;

 private:
  friend class WebSocketConnection;
  void resume();

  TaskContext* context_ = nullptr;
  std::coroutine_handle<> coroutine_;
  bool for_room_;
};
/// @endcond

/// `co_await socket.receive()`: see WebSocket::receive.
class [[nodiscard]] ReceiveWebSocket : WebSocketWaiter {
 public:
  /// For WebSocket::receive().
  explicit ReceiveWebSocket(WebSocketConnection& connection) noexcept : WebSocketWaiter(connection, false) {}
  [[nodiscard]] bool await_ready() const noexcept;
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> coroutine) noexcept {
    suspend(*coroutine.promise().context, coroutine);
  }
  std::optional<WebSocketMessage> await_resume();
};

/// `co_await socket.send(message)`: see WebSocket::send.
class [[nodiscard]] SendWebSocket : WebSocketWaiter {
 public:
  /// For WebSocket::send().
  SendWebSocket(WebSocketConnection& connection, WebSocketMessage::Kind kind, std::string_view data) noexcept
      : WebSocketWaiter(connection, true), kind_(kind), data_(data) {}
  [[nodiscard]] bool await_ready();
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> coroutine) noexcept {
    suspend(*coroutine.promise().context, coroutine);
  }
  [[nodiscard]] bool await_resume() const noexcept;

 private:
  WebSocketMessage::Kind kind_;
  std::string_view data_;
  bool taken_ = false;
};

/// The server's end of a WebSocket (RFC 6455), for a coroutine handler:
///
///   server.get("/ws", [](Request& request, Response& response) -> Task<> {
///     auto socket = WebSocket::accept(request, response, {.max_message_bytes = 64 * 1024});
///     if (!socket) co_return;  // answered 400, 403 or 426
///     while (auto message = co_await socket->receive())
///       if (!co_await socket->send(*message)) break;
///   });
///
/// Pings are answered and sent, and the close handshake is made, whatever the handler waits for. When the
/// stop begins to drain, the client is sent 1001, what it had sent is still received, and its close is waited
/// for. A handler that ends while the socket is open closes it with 1000 (1011 by an exception). Reactor's
/// thread only, but for Sender. Destroyed before its handler has ended.
class WebSocket {
 public:
  /// Answers the handshake: with 101, or with 400, 403 or 426 and nullopt. Throws as
  /// Response::switch_protocols where something of an answer is out.
  [[nodiscard]] static std::optional<WebSocket> accept(Request& request, Response& response,
                                                       const WebSocketOptions& options = {});
  /// @{
  /// What was moved from may only be destroyed or assigned to.
  WebSocket(WebSocket&&) noexcept;
  WebSocket& operator=(WebSocket&&) noexcept;
  /// @}
  ~WebSocket();

  /// The next message; nullopt once the close handshake is over and all that came before is received, or when
  /// the client is gone. Name what comes, `while (auto message = co_await socket.receive())`: of a loop on
  /// the awaited value itself GCC 12 makes code that crashes.
  [[nodiscard]] ReceiveWebSocket receive() noexcept { return ReceiveWebSocket(*connection_); }
  /// Sends a message, in one frame; it is copied. Waits while the client is slow to take what was sent. False
  /// when it was not sent: closing, or nobody is there; throws std::system_error (EPIPE) when called again
  /// after that, unless a message was received in between. Throws std::invalid_argument for a text that is
  /// not UTF-8.
  [[nodiscard]] SendWebSocket send(const WebSocketMessage& message) noexcept {
    return {*connection_, message.kind, message.data};
  }
  /// @{
  /// As send().
  [[nodiscard]] SendWebSocket send_text(std::string_view data) noexcept {
    return {*connection_, WebSocketMessage::Kind::text, data};
  }
  [[nodiscard]] SendWebSocket send_binary(std::string_view data) noexcept {
    return {*connection_, WebSocketMessage::Kind::binary, data};
  }
  /// @}
  /// Sends a close frame and waits for the client's, or until the time for it is over. What still comes is
  /// dropped. Throws std::invalid_argument for a code that nobody may send and a reason that is not UTF-8 or
  /// longer than 123 bytes.
  Task<> close(uint16_t code = 1000, std::string reason = {});

  /// Of the client's close frame: 1005 when it had no code; 1006 while there was none.
  [[nodiscard]] uint16_t close_code() const noexcept;
  /// Of the same frame; UTF-8, at most 123 bytes, may be empty.
  [[nodiscard]] const std::string& close_reason() const noexcept;
  /// The subprotocol that was agreed on; empty for none.
  [[nodiscard]] const std::string& subprotocol() const noexcept;
  /// Nothing can be sent any more: closing, or closed.
  [[nodiscard]] bool closing() const noexcept;

  /// Sends to the socket from anywhere: other handlers, other reactors, threads. May outlive socket and
  /// server. Any thread, also several at a time; messages of one thread arrive in their order.
  class Sender {
   public:
    /// Takes a message on its way; never waits. False when it was not taken: the socket is closing or gone,
    /// past max_queued_bytes (which closes it with 1008), or the message alone is larger than that. Throws
    /// std::invalid_argument for a text that is not UTF-8.
    bool send(WebSocketMessage message) const;
    /// @{
    /// As send().
    bool send_text(std::string data) const {
      return send({.kind = WebSocketMessage::Kind::text, .data = std::move(data)});
    }
    bool send_binary(std::string data) const {
      return send({.kind = WebSocketMessage::Kind::binary, .data = std::move(data)});
    }
    /// @}
    /// Whether both send to the same socket.
    friend bool operator==(const Sender&, const Sender&) = default;

   private:
    friend class WebSocketConnection;
    explicit Sender(std::shared_ptr<WebSocketMail> mail) noexcept : mail_(std::move(mail)) {}
    std::shared_ptr<WebSocketMail> mail_;  // shared: lives as long as the last of the socket and its senders
  };
  /// For others to send with; as many as wanted.
  [[nodiscard]] Sender sender();

 private:
  explicit WebSocket(std::unique_ptr<WebSocketConnection> connection) noexcept;
  std::unique_ptr<WebSocketConnection> connection_;
};

}  // namespace lastcall
