#pragma once

// Worker: what is due when, and whether the client is still there. Included by worker.hpp.

#include <lastcall/net/worker.hpp>

namespace lastcall {

template <class B, class P>
Instant Worker<B, P>::due(Conn& connection) {
  if (connection.state_ == State::ending) return kNever;
  if (connection.state_ == State::lingering || connection.reason_ == CloseReason::forced)
    return connection.due_;
  return std::min(connection.protocol_.deadline(), connection.due_);
}

template <class B, class P>
void Worker<B, P>::arm(Conn& connection) {
  // Lazily: an instant that moved later is noticed when the timer fires, so a request costs no wheel
  // operation.
  Instant instant = due(connection);
  if (instant == kNever) return;
  if (connection.timer_.armed() && instant >= loop_.timers.due(connection.timer_)) return;
  loop_.timers.arm(connection.timer_, instant);
}

template <class B, class P>
void Worker<B, P>::on_due(Conn& connection) {
  count(connection);  // a request of this very turn makes it active
  if (due(connection) > loop_.now || connection.state_ == State::ending) return;
  if (connection.state_ == State::lingering || connection.reason_ == CloseReason::forced) {
    end(connection, connection.reason_);
  } else if (connection.sending_ && connection.due_ <= loop_.now) {
    uint64_t progress = io().progress(connection.fd_);
    bool moved = std::exchange(connection.rare().progress, progress) != progress;
    connection.due_ = after(loop_.now, options_.write_timeout);
    if (!moved) end(connection, CloseReason::write_timeout);
  } else if (!connection.counted_active_) {
    close_idle(connection);
  } else {
    check_peer(connection);
    if (connection.state_ == State::open && !is_unheard(connection)) connection.protocol_.on_deadline();
  }
}

/// A client's time is up, but what it has sent may be here: this reactor was held up, or had others to read
/// first. What is in the socket at the first look is read before the verdict, and no more than that: who
/// always has another byte on its way gets no more time.
template <class B, class P>
bool Worker<B, P>::is_unheard(Conn& connection) {
  const Instant deadline = connection.protocol_.deadline();
  if (deadline > loop_.now || !connection.receiving_ || connection.receive_ending_) return false;
  auto& rare = connection.rare();
  if (std::exchange(rare.overdue, deadline) != deadline)
    rare.unheard = static_cast<size_t>(io().unread(connection.fd_));
  return rare.unheard != 0;
}

template <class B, class P>
void Worker<B, P>::arm_beat() {
  loop_.timers.arm(beat_, loop_.now + LoopLag::kBeat);
  const Duration due = loop_.timers.due(beat_).time_since_epoch();
  loop_.counters.beat_due_ns.store(due.count(), std::memory_order_relaxed);
}

template <class B, class P>
void Worker<B, P>::beat() {
  const Duration lag = lag_.beat(loop_.timers.due(beat_), loop_.now);
  loop_.counters.lag_ns.store(lag.count(), std::memory_order_relaxed);
  arm_beat();
}

/// A handler may be at work for a client that has gone: the events tell, except that io_uring's multishot
/// receive can lose a reset that comes right behind bytes, and on Unix sockets an orderly end (seen on Linux
/// 6.18). A receive that begins anew finds that.
template <class B, class P>
void Worker<B, P>::check_peer(Conn& connection) {
  if (connection.due_ > loop_.now) return;
  connection.due_ = loop_.now + kPeerCheck;
  switch (peer_state(connection.fd_)) {
    case PeerState::there: return;
    case PeerState::broken: return end(connection, CloseReason::peer_reset);
    case PeerState::ended:
      if (!connection.peer_ended_ && io().unread(connection.fd_) == 0) stop_receiving(connection);
  }
}

template <class B, class P>
void Worker<B, P>::close_idle(Conn& connection) {
  if (connection.leaving_) return;  // it is offered again, now
  if (io().unread(connection.fd_) > 0)
    return;  // a request is here already; its event comes with the next turn
  connection.late_counts_ = true;
  linger(connection, phase_ >= Phase::draining ? CloseReason::drained_idle : CloseReason::idle_timeout);
}

}  // namespace lastcall
