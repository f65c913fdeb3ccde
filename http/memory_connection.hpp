#pragma once

#include <cstddef>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include <lastcall/http/session.hpp>

namespace lastcall {

class MemoryReactor;

/// The link of a connection that exists only in memory.
class MemoryLink : public Link {
 public:
  using Link::Link;
  void settled() noexcept { listed_ = Listed::no; }
  [[nodiscard]] bool dirty() const noexcept { return listed_ != Listed::no; }
  [[nodiscard]] Buffer& in_flight() noexcept { return in_flight_; }
  void sent(size_t bytes) noexcept {
    bytes_sent_ += bytes;
    in_flight_.consume(bytes);
    if (in_flight_.empty()) in_flight_.release();
  }
};

/// A Session on a connection that exists only in memory, from its accept on. Does what the worker does for a
/// real one: hands over input unless that is paused, sends output as far as the peer's window lets it, asks
/// for more when there is room, carries out deadlines and close wishes. Bytes are lent in blocks of exactly
/// their size, so that a sanitizer sees who reads beyond. Must not outlive its reactor, whose thread it
/// shares.
class MemoryConnection {
 public:
  explicit MemoryConnection(MemoryReactor& reactor);
  MemoryConnection(const MemoryConnection&) = delete;
  MemoryConnection& operator=(const MemoryConnection&) = delete;
  ~MemoryConnection();  ///< the peer vanishes, where it is still there

  // What the peer does.
  void receive(std::string_view bytes);  ///< sends bytes; they go nowhere once the connection has ended
  void end_of_stream();                  ///< ends its side
  void vanish();                         ///< the connection breaks
  [[nodiscard]] std::string take(size_t most = std::numeric_limits<size_t>::max());  ///< takes what was sent
  void set_window(size_t bytes) noexcept { window_bytes_ = bytes; }  ///< most that is sent and not taken
  /// Most bytes of one receive event, from 1.
  void set_piece(size_t bytes) noexcept { piece_bytes_ = bytes; }

  [[nodiscard]] bool open() const noexcept { return session_.has_value(); }
  /// How the connection ended; none while it is open.
  [[nodiscard]] CloseReason reason() const noexcept { return reason_; }
  [[nodiscard]] CloseWish wish() const noexcept { return wish_; }
  [[nodiscard]] Session& session() { return *session_; }
  [[nodiscard]] MemoryLink& link() noexcept { return link_; }
  [[nodiscard]] size_t unread() const noexcept { return unread_.size(); }  ///< input held back by the pause
  [[nodiscard]] size_t sent() const noexcept { return sent_.size(); }      ///< bytes sent and not taken
  [[nodiscard]] size_t most_prepared() const noexcept { return most_prepared_; }

 private:
  friend class MemoryReactor;
  [[nodiscard]] bool settle_once();
  void deliver();
  void send();
  void end(CloseWish wish, CloseReason reason);
  void fulfil_wish();
  void on_due();

  MemoryReactor& reactor_;
  MemoryLink link_;
  std::optional<Session> session_;
  std::string unread_;  // from the peer, not handed to the session
  std::string sent_;    // at the peer, not taken
  size_t window_bytes_ = std::numeric_limits<size_t>::max();
  size_t piece_bytes_ = std::numeric_limits<size_t>::max();
  size_t most_prepared_ = 0;
  bool peer_ended_ = false;
  CloseReason reason_ = CloseReason::none;
  CloseWish wish_ = CloseWish::none;
};

}  // namespace lastcall
