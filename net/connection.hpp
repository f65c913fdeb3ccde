#pragma once

#include <lastcall/core/token.hpp>
#include <lastcall/net/link.hpp>

namespace lastcall {

/// One accepted connection: a slot of its worker. An idle one holds no buffers. The worker does everything to
/// it; the protocol inside sees it as a Link.
template <class P>
class Connection : public Link {
 public:
  enum class State : uint8_t {
    open,
    lingering,  ///< nothing more is sent; input is read and dropped until the peer ends its side
    ending,     ///< waiting for the last events, then the descriptor is closed
    detaching,  ///< nothing is in flight: the descriptor leaves
  };

  Connection(Token token, Loop& loop, int fd, typename P::Environment& environment)
      : Link(loop), token_(token), protocol_(environment, *this) {
    fd_ = fd;
    timer_.slot = token.slot;
    timer_.kind = static_cast<uint16_t>(TimerKind::connection);
  }

  [[nodiscard]] Token token() const noexcept { return token_; }

 private:
  template <class B, class Q>
  friend class Worker;

  Token token_;
  State state_ = State::open;
  CloseReason reason_ = CloseReason::none;
  bool receiving_ = false;       // a receive subscription is alive
  bool receive_ending_ = false;  // … and its last event has been asked for
  bool sending_ = false;
  bool peer_ended_ = false;  // end of stream or an error was received
  bool counted_active_ = false;
  bool refused_ = false;      // over the limit: not counted against it
  bool leaving_ = false;      // idle, for a successor to take: nothing is received here any more
  bool late_counts_ = false;  // closed as idle: bytes from here on are late requests
  Timer timer_;
  Instant armed_ = kNever;     // when the timer fires
  Instant due_ = kNever;       // end of the linger, the write or the force, by state
  Instant idle_due_ = kNever;  // draining: when it is closed if it is idle
  uint64_t progress_ = 0;      // what the peer had taken when the write timeout was last looked at
  Instant overdue_ = kNever;   // the protocol's deadline that has passed: not before what was here is read
  size_t unheard_ = 0;         // … bytes, of what was unread then
  P protocol_;
};

}  // namespace lastcall
