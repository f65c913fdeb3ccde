#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <lastcall/http/session.hpp>

namespace lastcall::test {

/// The connection of a SessionHost's session.
class HostLink : public Link {
 public:
  using Link::Link;
  void settled() noexcept { dirty_ = false; }
  [[nodiscard]] bool dirty() const noexcept { return dirty_; }
  [[nodiscard]] Buffer& in_flight() noexcept { return in_flight_; }
  void sent(size_t bytes) noexcept {
    bytes_sent_ += bytes;
    in_flight_.consume(bytes);
    if (in_flight_.empty()) in_flight_.release();
  }
};

/// A Session on a connection that exists only in memory, under a clock that the test moves. Does what the
/// worker does for a real one: hands over input unless that is paused, sends output as far as the peer's
/// window lets it, asks for more when there is room, carries out deadlines and close wishes. Bytes are lent
/// in blocks of exactly their size.
class SessionHost {
 public:
  explicit SessionHost(const SessionOptions& options = {});
  SessionHost(const SessionHost&) = delete;
  SessionHost& operator=(const SessionHost&) = delete;
  ~SessionHost();

  SessionHost& on(Method method, std::string_view pattern, Handler handler, RouteOptions options = {});
  void open();  ///< a new connection, in place of the one that has ended; the first is there from the start

  // What the peer does.
  void receive(std::string_view bytes);  ///< sends bytes
  void end_of_stream();                  ///< ends its side
  void vanish();                         ///< the connection breaks
  [[nodiscard]] std::string take(size_t most = std::numeric_limits<size_t>::max());  ///< takes what was sent
  void set_window(size_t bytes) { window_bytes_ = bytes; }  ///< most that is sent and not taken
  /// receive(), then what was sent in answer.
  [[nodiscard]] std::string ask(std::string_view bytes) {
    receive(bytes);
    return take();
  }

  // What the server does.
  void advance(Duration duration);  ///< time passes; timers and deadlines on the way come in their order
  void run_mail();                  ///< what other threads have posted
  void drain();                     ///< the stop begins
  void force();                     ///< … and ends, for this connection
  void settle();                    ///< the end of a turn

  [[nodiscard]] Session& session() { return *session_; }
  /// Whom the report would name.
  [[nodiscard]] std::vector<AbortedExchange> unanswered();
  [[nodiscard]] Loop& loop() noexcept { return loop_; }
  [[nodiscard]] HostLink& link() { return *link_; }
  [[nodiscard]] SessionEnvironment& environment() { return *environment_; }
  [[nodiscard]] OffloadPool& pool() noexcept { return pool_; }
  [[nodiscard]] bool open_still() const noexcept { return session_.has_value(); }
  /// How the connection ended.
  [[nodiscard]] CloseReason reason() const noexcept { return reason_; }
  [[nodiscard]] CloseWish wish() const noexcept { return wish_; }
  /// Handlers that outlived their connections.
  [[nodiscard]] uint64_t outliving() const noexcept { return counters_.active.load(); }
  [[nodiscard]] size_t unread() const noexcept { return unread_.size(); }  ///< input held back by the pause
  [[nodiscard]] size_t most_prepared() const noexcept { return most_prepared_; }
  [[nodiscard]] size_t lent() const noexcept { return buffers_.lent(); }

 private:
  void deliver();
  void send();
  void end(CloseWish wish, CloseReason reason);
  void fulfil_wish();
  void on_due();

  SessionOptions options_;
  TimerWheel timers_{Instant{}};
  Mailbox mailbox_;
  BufferPool buffers_;
  ReactorCounters counters_;
  Loop loop_{.timers = timers_, .mailbox = mailbox_, .buffers = buffers_, .counters = counters_};
  Router router_;
  std::vector<Route> routes_;
  OffloadPool pool_{1, 1};
  std::optional<SessionEnvironment> environment_;
  std::optional<HostLink> link_;
  std::optional<Session> session_;
  std::string unread_;  // from the peer, not handed to the session
  std::string sent_;    // at the peer, not taken
  size_t window_bytes_ = std::numeric_limits<size_t>::max();
  size_t most_prepared_ = 0;
  bool peer_ended_ = false;
  CloseReason reason_ = CloseReason::none;
  CloseWish wish_ = CloseWish::none;
};

}  // namespace lastcall::test
