#pragma once

// Worker: events, sending, closing. Included by worker.hpp.

#include <array>
#include <span>

#include <lastcall/net/worker.hpp>

namespace lastcall {

template <class B, class P>
Worker<B, P>::Worker(const WorkerOptions& options, StopControl& control)
    : options_(options),
      control_(control),
      reactor_(Token{.slot = kMailSlot, .generation = 1, .kind = kMail}),
      loop_{.timers = reactor_.timers(),
            .mailbox = reactor_.mailbox(),
            .buffers = reactor_.buffers(),
            .counters = control.counters(options.id)},
      connections_(options.max_connections + kOverloadSlack, kFirstConnection),
      detached_(loop_, control) {
  io().watch_start(Token{.slot = kBroadcastSlot, .generation = 1, .kind = kBroadcast},
                   control_.broadcast_fd());
  look_for_oldest_.kind = static_cast<uint16_t>(TimerKind::worker);
  beat_.kind = static_cast<uint16_t>(TimerKind::beat);
  touch_now();
  if (options_.measure_lag) arm_beat();
}

template <class B, class P>
Worker<B, P>::~Worker() {
  for (auto& listener : listeners_) loop_.timers.cancel(listener->retry);
  loop_.timers.cancel(look_for_oldest_);
  loop_.timers.cancel(beat_);
  end_all();
  detached_.end();
  io().watch_stop(Token{.slot = kBroadcastSlot, .generation = 1, .kind = kBroadcast},
                  control_.broadcast_fd());
}

template <class B, class P>
void Worker<B, P>::run() {
  here_ = this;
  control_.be_called_by(options_.id, &Worker::tell_held);
  let_interrupt();
  while (!stopped_) turn();
  here_ = nullptr;
  end_all();
  detached_.end();
  control_.acknowledge(options_.id, Phase::stopped);
}

template <class B, class P>
void Worker<B, P>::reload(const WorkerOptions& options) {
  touch_now();
  options_.max_connections = options.max_connections;
  options_.write_timeout = options.write_timeout;
  options_.linger_timeout = options.linger_timeout;
  // Also with more inside than may be now there is room to answer who is turned away.
  connections_.set_limit(std::max(options.max_connections, connections_.size()) + kOverloadSlack);
  connections_.for_each([this](Conn& connection) {
    if (connection.state_ != State::open) return;
    if (connection.sending_ && connection.reason_ == CloseReason::none)
      connection.due_ = after(loop_.now, options_.write_timeout);
    connection.protocol_.on_reload(after(loop_.now, share(connection, kIdleSpread)));
    connection.touch();  // is armed anew where something is due sooner
  });
}

template <class B, class P>
void Worker<B, P>::touch_now() noexcept {
  loop_.now = io().now();
  if (loop_.now < wall_due_) return;
  loop_.wall = io().wall();
  wall_due_ = loop_.now + (1s - loop_.wall % 1s);
}

template <class B, class P>
void Worker<B, P>::turn() {
  Instant until = loop_.dirty != nullptr ? Instant{} : kNever;
  reactor_.turn(
      until,
      [this](const Event& event) {
        touch_now();
        on_event(event);
      },
      [this](Timer& timer) {
        touch_now();
        on_timer(timer);
      });
  touch_now();
  settle_dirty();
  tell_if_empty();
}

template <class B, class P>
void Worker<B, P>::on_event(const Event& event) {
  if (event.token.kind != kConnection) [[unlikely]]
    return on_other_event(event);
  Conn* connection = connections_.find(event.token);
  if (connection == nullptr) return;
  if (event.token.op == Op::recv) {
    on_receive(*connection, event);
  } else {
    on_sent(*connection, event);
  }
}

template <class B, class P>
[[gnu::noinline]] void Worker<B, P>::on_other_event(const Event& event) {
  switch (event.token.kind) {
    case kListener: on_accept(*listeners_[event.token.slot - kFirstListener], event); return;
    case kBroadcast: on_phase(); return;
    default: LASTCALL_CHECK(false);
  }
}

template <class B, class P>
void Worker<B, P>::on_timer(Timer& timer) {
  switch (static_cast<TimerKind>(timer.kind)) {
    case TimerKind::connection: {
      Conn* connection = connections_.at_slot(timer.slot);
      on_due(*connection);
      connection->touch();
      return;
    }
    case TimerKind::listener: {
      Listener& listener = *listeners_[timer.slot];
      if (listener.stopping) {
        if (listener.socket) finish_listener(listener);
        return;
      }
      if (listener.accepting) {
        if (sweeping_) sweep(listener);
        return;
      }
      listener.accepting = true;
      io().accept_start(listener.token, listener.socket.get());
      return;
    }
    case TimerKind::worker: publish_oldest(); return;
    case TimerKind::beat: beat(); return;
    case TimerKind::task: {
      auto& task = static_cast<TaskTimer&>(timer);
      task.fire(task);
      return;
    }
  }
}

template <class B, class P>
void Worker<B, P>::on_receive(Conn& connection, const Event& event) {
  connection.touch();
  if (!event.bytes.empty()) {
    std::string_view bytes(reinterpret_cast<const char*>(event.bytes.data()), event.bytes.size());
    if (connection.rare_ != nullptr)
      connection.rare_->unheard -= std::min(connection.rare_->unheard, bytes.size());
    if (connection.state_ == State::open) [[likely]] {
      connection.protocol_.on_bytes(bytes);
    } else if (connection.late_counts_) {
      add(loop_.counters.late_requests, 1);
      connection.late_counts_ = false;
    }
  }
  if (event.last) [[unlikely]]
    on_receive_end(connection, event.result);
}

template <class B, class P>
[[gnu::noinline]] void Worker<B, P>::on_receive_end(Conn& connection, int32_t result) {
  connection.receiving_ = false;
  connection.receive_ending_ = false;
  if (result == -ECANCELED) return;  // a pause; settle() knows whether to go on
  connection.peer_ended_ = true;
  if (result < 0) {
    if (connection.state_ == State::open) end(connection, CloseReason::peer_reset);
  } else if (connection.state_ == State::open) {
    connection.protocol_.on_end_of_stream();
  }
  if (connection.state_ == State::lingering) end(connection, connection.reason_);
}

template <class B, class P>
void Worker<B, P>::on_sent(Conn& connection, const Event& event) {
  connection.sending_ = false;
  // From here on it is the time for a look at the client again.
  if (connection.reason_ == CloseReason::none) connection.due_ = loop_.now + kPeerCheck;
  account_sent(connection, event.result);
  tell_of_room(connection);
  if (!connection.dirty_ && rests(connection)) [[likely]] {
    rest(connection);
  } else {
    connection.touch();
  }
}

template <class B, class P>
void Worker<B, P>::account_sent(Conn& connection, int32_t result) {
  size_t total = connection.in_flight_.size();
  connection.in_flight_.release();
  if (connection.rare_ != nullptr) total += std::exchange(connection.rare_->lasting_in_flight, 0);
  if (result > 0) {
    connection.bytes_sent_ += static_cast<uint64_t>(result);
    add(loop_.counters.bytes_sent, static_cast<uint64_t>(result));
  }
  if (result >= 0 && static_cast<size_t>(result) == total) {
    // At once, since the answer may be waiting for it.
    if (connection.sends_last_) [[unlikely]]
      io().half_close(connection.fd_);
    return;
  }
  if (connection.state_ != State::ending) end(connection, CloseReason::peer_reset);
}

/// Whatever was written is sent first, one send behind the other: a system call displaces the code of a turn
/// from the nearest cache, so that what lies between two of them runs at the pace of the next one.
template <class B, class P>
void Worker<B, P>::settle_dirty() {
  for (auto* each = static_cast<Conn*>(loop_.dirty); each != nullptr;) {
    Conn& connection = *each;
    each = static_cast<Conn*>(connection.next_dirty_);
    if (connection.state_ == State::open && !connection.sending_ && !connection.prepared_.empty())
      static_cast<void>(send(connection));
  }
  auto* list = static_cast<Conn*>(std::exchange(loop_.dirty, nullptr));
  while (list != nullptr) {
    Conn& connection = *list;
    list = static_cast<Conn*>(connection.next_dirty_);
    tell_of_room(connection);
    if (rests(connection)) [[likely]] {
      connection.dirty_ = false;
      rest(connection);
    } else {
      settle(connection);  // stays marked dirty inside, so that touch() there does nothing
    }
  }
}

template <class B, class P>
void Worker<B, P>::tell_of_room(Conn& connection) {
  if (connection.state_ == State::open && !connection.sending_ && !connection.has_output())
    connection.protocol_.on_output_room();
}

/// Nothing is to be done for it until its next request comes, or what it sends has left.
template <class B, class P>
bool Worker<B, P>::rests(const Conn& connection) const noexcept {
  return connection.state_ == State::open && connection.receiving_ && !connection.receive_ending_ &&
         !connection.peer_ended_ && !connection.leaving_ && !connection.input_paused_ &&
         connection.rare_ == nullptr && connection.prepared_.empty() && connection.protocol_.rests() &&
         successor_ == nullptr;
}

template <class B, class P>
void Worker<B, P>::rest(Conn& connection) {
  count(connection);
  arm(connection);
}

template <class B, class P>
[[gnu::noinline]] void Worker<B, P>::settle(Conn& connection) {
  bool more = connection.state_ == State::open && pump(connection);
  if (release_if_ended(connection)) return;
  connection.dirty_ = false;
  count(connection);
  connection.leaving_ = successor_ != nullptr && may_leave(connection);
  steer_input(connection);
  if (connection.leaving_ && !connection.receiving_ && hand_over(connection)) return;
  arm(connection);
  if (more) connection.touch();
}

/// Sends what there is and lets the protocol write more; true when it had to stop before the others starve.
template <class B, class P>
bool Worker<B, P>::pump(Conn& connection) {
  for (int sends = 0; !connection.sending_; ++sends) {
    if (!connection.has_output()) connection.protocol_.on_output_room();
    if (!connection.has_output()) break;
    if (sends == kSendsPerTurn) return true;
    if (!send(connection)) return false;
  }
  if (connection.sending_ && !connection.has_output()) connection.protocol_.on_output_room();
  if (!connection.sending_ && !connection.has_output()) fulfil_close_wish(connection);
  return false;
}

/// Of a send that takes all that was prepared.
template <class B, class P>
SendHint Worker<B, P>::hint_for(const Conn& connection) const noexcept {
  const CloseWish wish = connection.protocol_.close_wish();
  if (wish == CloseWish::none) [[likely]]
    return SendHint::usual;
  const bool ends = wish == CloseWish::direct || wish == CloseWish::linger;
  return ends && !connection.has_output() ? SendHint::last : SendHint::usual;
}

/// What is lent goes along, and what the protocol lends next as far as there is room: each send may wake the
/// client, so few large ones are cheaper than many.
template <class B, class P>
size_t Worker<B, P>::take_lasting(Conn& connection, std::span<iovec> segments) {
  size_t count = 0;
  for (auto* rare = connection.rare_.get(); rare != nullptr && !rare->lasting.empty();) {
    const size_t size = std::min(rare->lasting.size(), kMaxLentPerSend - rare->lasting_in_flight);
    segments[count++] = {const_cast<char*>(rare->lasting.data()), size};
    rare->lasting.remove_prefix(size);
    rare->lasting_in_flight += size;
    if (count == segments.size() || rare->lasting_in_flight == kMaxLentPerSend) break;
    connection.protocol_.on_output_room();
    if (!connection.prepared_.empty()) break;  // goes before what may be lent behind it
  }
  return count;
}

/// False when the connection broke.
template <class B, class P>
bool Worker<B, P>::send(Conn& connection) {
  connection.in_flight_.swap(connection.prepared_);
  std::array<iovec, kMaxSendSegments> segments;
  segments[0] = {.iov_base = connection.in_flight_.data(), .iov_len = connection.in_flight_.size()};
  size_t count = connection.in_flight_.empty() ? 0 : 1;
  if (connection.rare_ != nullptr) [[unlikely]]
    count += take_lasting(connection, std::span(segments).subspan(count));
  const SendHint hint = hint_for(connection);
  connection.sends_last_ = hint == SendHint::last;
  SendStatus status = io().send(connection.token(), connection.fd_, {segments.data(), count}, hint);
  if (status.pending) {
    connection.sending_ = true;
    // One that is forced keeps the end it was given.
    if (connection.reason_ == CloseReason::none) connection.due_ = after(loop_.now, options_.write_timeout);
    return true;
  }
  account_sent(connection, status.result);
  return connection.state_ == State::open;
}

template <class B, class P>
void Worker<B, P>::fulfil_close_wish(Conn& connection) {
  CloseReason reason = connection.protocol_.close_reason();
  switch (connection.protocol_.close_wish()) {
    case CloseWish::none:
      if (connection.peer_ended_ && !connection.protocol_.active()) end(connection, CloseReason::peer_closed);
      return;
    case CloseWish::direct:
      // A close over what nobody asked for would be a reset, and could destroy the answer on its way.
      if (!connection.peer_ended_ && io().unread(connection.fd_) > 0) return linger(connection, reason);
      end(connection, reason);
      return;
    case CloseWish::linger:
    case CloseWish::reset: linger(connection, reason); return;
    case CloseWish::detach:
      stop_receiving(connection);
      if (!connection.receiving_) connection.state_ = State::detaching;
      return;
  }
}

template <class B, class P>
void Worker<B, P>::linger(Conn& connection, CloseReason reason) {
  if (connection.reason_ == CloseReason::none) connection.reason_ = reason;
  if (connection.protocol_.close_wish() == CloseWish::reset) {
    static_cast<void>(set_linger_zero(connection.fd_));  // when the peer has had time to take what is sent
  } else {
    io().half_close(connection.fd_);
  }
  connection.state_ = State::lingering;
  Duration patience = reason == CloseReason::drained_idle ? kIdleLinger : options_.linger_timeout;
  connection.due_ = loop_.now + (phase_ == Phase::forcing ? kForceGrace : patience);
  if (connection.peer_ended_) end(connection, connection.reason_);
}

template <class B, class P>
void Worker<B, P>::end(Conn& connection, CloseReason reason) {
  if (connection.reason_ == CloseReason::none) connection.reason_ = reason;
  const bool whole = connection.state_ == State::lingering;  // all that there was to send is sent
  connection.state_ = State::ending;
  if (connection.sending_) {
    // Whoever gets only part of an answer must see that it is one: a reset, not an orderly end.
    static_cast<void>(set_linger_zero(connection.fd_));
    io().abort(connection.fd_);
  } else if (!whole && classify(connection.reason_) == CloseClass::aborted) {
    static_cast<void>(set_linger_zero(connection.fd_));
  }
  stop_receiving(connection);
  connection.touch();
}

template <class B, class P>
void Worker<B, P>::stop_receiving(Conn& connection) {
  if (!connection.receiving_ || connection.receive_ending_) return;
  connection.receive_ending_ = true;
  if (!io().recv_pause(connection.token(), connection.fd_)) return;
  connection.receiving_ = false;
  connection.receive_ending_ = false;
}

/// Its slot is free from here on; whoever has the descriptor is counted as active until it says that it is
/// over.
template <class B, class P>
void Worker<B, P>::detach(Conn& connection) {
  if (!connection.counted_active_) {
    add(loop_.counters.active, 1);
    add(loop_.counters.idle, uint64_t(-1));
  }
  loop_.timers.cancel(connection.timer_);
  io().release(connection.token(), connection.fd_);
  connection.protocol_.on_detach(detached_.add(connection.fd_, connection.bytes_sent_));
  connections_.release(connection);
  static_cast<void>(gate_.leave());
}

template <class B, class P>
bool Worker<B, P>::release_if_ended(Conn& connection) {
  if (connection.state_ == State::detaching) {
    detach(connection);
    return true;
  }
  if (connection.state_ != State::ending || connection.receiving_ || connection.sending_) return false;
  switch (classify(connection.reason_)) {
    case CloseClass::completed: add(loop_.counters.completed, 1); break;
    case CloseClass::idle_closed: add(loop_.counters.idle_closed, 1); break;
    case CloseClass::aborted: add(loop_.counters.aborted, 1); break;
  }
  if (!connection.refused_)
    add(connection.counted_active_ ? loop_.counters.active : loop_.counters.idle, uint64_t(-1));
  loop_.timers.cancel(connection.timer_);
  connection.protocol_.on_close();
  io().close(connection.token(), connection.fd_);
  connections_.release(connection);
  static_cast<void>(gate_.leave());    // tell_if_empty() looks at more than the gate
  for (auto& listener : listeners_) {  // a descriptor is free again
    if (listener->retry.armed()) loop_.timers.arm(listener->retry, loop_.now);
  }
  return true;
}

template <class B, class P>
void Worker<B, P>::steer_input(Conn& connection) {
  // Whose last answer is on its way, and who said so, sends nothing more.
  bool wanted = !connection.peer_ended_ && !connection.leaving_ &&
                (connection.state_ == State::lingering ||
                 (connection.state_ == State::open && !connection.input_paused_ &&
                  connection.protocol_.close_wish() != CloseWish::direct));
  if (wanted && !connection.receiving_) {
    connection.receiving_ = true;
    io().recv_start(connection.token(), connection.fd_);
  } else if (!wanted) {
    stop_receiving(connection);
  }
}

template <class B, class P>
void Worker<B, P>::count(Conn& connection) {
  bool active = connection.state_ == State::open &&
                (connection.sending_ || connection.has_output() || connection.protocol_.active());
  if (active == connection.counted_active_) return;
  connection.counted_active_ = active;
  // Answered without a word of the stop: its client may be about to ask again.
  begin_grace(connection);
  if (connection.refused_) return;
  if (active && !connection.sending_) connection.due_ = loop_.now + kPeerCheck;
  add(loop_.counters.active, active ? 1 : uint64_t(-1));
  add(loop_.counters.idle, active ? uint64_t(-1) : 1);
}

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
