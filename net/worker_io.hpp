#pragma once

// Worker: events, closing. Included by worker.hpp.

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
  Instant until = kNever;
  if (loop_.dirty != nullptr) until = loop_.touched ? Instant{} : after(loop_.now, kSettlesWithin);
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
    return on_other_event(event.token, event.result, event.last);
  Conn* connection = connections_.find(event.token);
  if (connection == nullptr) return;
  if (event.token.op == Op::recv) {
    on_receive(*connection, event);
  } else {
    on_sent(*connection, event);
  }
}

template <class B, class P>
[[gnu::noinline]] void Worker<B, P>::on_other_event(Token token, int32_t result, bool last) {
  switch (token.kind) {
    case kListener: on_accept(*listeners_[token.slot - kFirstListener], {token, result, last, {}}); return;
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
  const bool answered = connection.answers_ && !active;
  connection.answers_ = false;
  if (active == connection.counted_active_) {
    if (answered) begin_grace(connection);
    return;
  }
  connection.counted_active_ = active;
  // Answered without a word of the stop: its client may be about to ask again.
  begin_grace(connection);
  if (connection.refused_) return;
  if (active && !connection.sending_) connection.due_ = loop_.now + kPeerCheck;
  add(loop_.counters.active, active ? 1 : uint64_t(-1));
  add(loop_.counters.idle, active ? uint64_t(-1) : 1);
}

}  // namespace lastcall
