#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include <lastcall/core/mailbox.hpp>
#include <lastcall/http/stream.hpp>
#include <lastcall/http/websocket.hpp>
#include <lastcall/http/websocket_codec.hpp>

namespace lastcall {

/// What senders and their socket share. A mutex, and not the reactor's thread alone, since a sender must know
/// that the reactor is still there while it posts: who takes the socket away takes the mutex first. Held for
/// a push or a swap.
struct WebSocketMail {
  std::mutex mutex;
  WebSocketConnection* connection = nullptr;  ///< nullptr: closing or gone. Used on its reactor only
  Mailbox* reactor = nullptr;                 ///< valid while `connection` is
  size_t max_bytes = 0;
  std::vector<WebSocketMessage> messages;  ///< not yet seen by the reactor
  size_t bytes = 0;                        ///< of those, with what each costs by itself
  bool posted = false;                     ///< the reactor has been told of them
  bool overflown = false;

  /// What a message holds: an empty one, too.
  [[nodiscard]] static size_t cost(const WebSocketMessage& message) noexcept {
    return message.data.size() + sizeof message;
  }
  [[nodiscard]] static bool send(const std::shared_ptr<WebSocketMail>& mail, WebSocketMessage message);
  static void deliver(WebSocketMail& mail);
};

/// A WebSocket on a stream: moves bytes between it and the codec whenever one of the two has some, so that
/// control frames and the stop are served whatever the handler does. Messages wait here for the handler.
///
/// What comes from outside (bytes, room, a timer, mail) ends with wake(), as its last act: the handler that
/// is resumed may destroy all this. Reactor's thread only.
class WebSocketConnection final : StreamWatcher, TaskTimer {
 public:
  /// Messages that wait for the handler, before the client is held back; or max_message_bytes of them.
  static constexpr size_t kMaxWaitingMessages = 64;

  WebSocketConnection(Stream& stream, const WebSocketOptions& options, std::string subprotocol);
  ~WebSocketConnection();
  WebSocketConnection(const WebSocketConnection&) = delete;
  WebSocketConnection& operator=(const WebSocketConnection&) = delete;

  // The handler's calls.
  [[nodiscard]] bool can_receive() const noexcept { return !inbox_.empty() || state_ == State::closed; }
  [[nodiscard]] std::optional<WebSocketMessage> take();
  [[nodiscard]] bool send(WebSocketMessage::Kind kind, std::string_view data);
  [[nodiscard]] bool has_room() const noexcept;
  void wait(WebSocketWaiter& waiter) noexcept;
  void cancel_wait() noexcept { waiter_ = nullptr; }
  void close(uint16_t code, std::string_view reason);
  [[nodiscard]] WebSocket::Sender sender();

  [[nodiscard]] bool open() const noexcept { return state_ == State::open; }
  [[nodiscard]] uint16_t peer_code() const noexcept { return peer_code_; }
  [[nodiscard]] const std::string& peer_reason() const noexcept { return peer_reason_; }
  [[nodiscard]] const std::string& subprotocol() const noexcept { return subprotocol_; }

  /// On the reactor: what senders sent.
  void deliver(std::vector<WebSocketMessage> messages, bool overflown);

 private:
  enum class State : uint8_t {
    open,
    closing,  ///< our close frame is out, the client's is not here
    closed,   ///< both are, or the client broke the rules, or it is gone: the handler may end
  };
  struct Drained {
    WebSocketConnection& connection;
    void operator()() const;
  };

  void on_stream();
  void on_timer();
  void pump();
  void handle(WebSocketCodec::Event&& event);
  void on_ping(std::string_view payload);
  void on_close(WebSocketCodec::Event&& event);
  void check_alive();
  void set_closed();
  [[nodiscard]] std::vector<WebSocketMessage> detach_senders() noexcept;
  [[nodiscard]] bool write_mail(const std::vector<WebSocketMessage>& messages);
  void arm(Duration patience) noexcept;
  void flush();
  void flush_all();
  [[nodiscard]] size_t queued() const noexcept;
  [[nodiscard]] bool holds_back() const noexcept;
  void wake();
  [[nodiscard]] Loop& loop() const noexcept;

  Stream& stream_;
  const size_t max_message_bytes_, max_queued_bytes_;
  const Duration ping_interval_, close_timeout_;
  const std::string subprotocol_;
  WebSocketCodec codec_;
  std::deque<WebSocketMessage> inbox_;
  size_t inbox_bytes_ = 0;
  std::string outbox_;      // frames that the stream had no room for, …
  size_t outbox_sent_ = 0;  // … and how much of it has gone there since
  WebSocketWaiter* waiter_ = nullptr;
  std::shared_ptr<WebSocketMail> mail_;  // shared with senders, which may outlive this
  std::string peer_reason_;
  uint16_t peer_code_ = websocket_code::kAbnormal;
  State state_ = State::open;
  bool awaits_pong_ = false;
  bool refused_send_ = false;
  std::optional<std::stop_callback<Drained>> drained_;
};

}  // namespace lastcall
