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
      : Link(loop), generation_(token.generation), kind_(token.kind), protocol_(environment, *this) {
    fd_ = fd;
    lends_ = true;
    timer_.slot = token.slot;
    timer_.kind = static_cast<uint16_t>(TimerKind::connection);
  }

  [[nodiscard]] Token token() const noexcept {
    return {.slot = timer_.slot, .generation = generation_, .kind = kind_};
  }

 private:
  template <class B, class Q>
  friend class Worker;

  // In an order that leaves no gaps: an idle connection's memory is this and its protocol's.
  State state_ = State::open;
  CloseReason reason_ = CloseReason::none;
  uint16_t generation_;
  uint8_t kind_;
  bool receiving_ : 1 = false;       // a receive subscription is alive
  bool receive_ending_ : 1 = false;  // … and its last event has been asked for
  bool sending_ : 1 = false;
  bool peer_ended_ : 1 = false;  // end of stream or an error was received
  bool counted_active_ : 1 = false;
  bool refused_ : 1 = false;      // over the limit: not counted against it
  bool leaving_ : 1 = false;      // idle, for a successor to take: nothing is received here any more
  bool late_counts_ : 1 = false;  // closed as idle: bytes from here on are late requests
  bool sends_last_ : 1 = false;   // nothing comes behind what is being sent, or was sent last
  bool answers_ : 1 = false;      // has been sending since the last look, and was not counted as active for that
  Timer timer_;
  Instant due_ = kNever;  // the linger's, write's or force's end or a look at the client; idle: the grace's
  P protocol_;
};

}  // namespace lastcall
