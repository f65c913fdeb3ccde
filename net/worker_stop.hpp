#pragma once

// Worker: its part in the stop. Included by worker.hpp.

#include <lastcall/net/worker.hpp>

namespace lastcall {

template <class B, class P>
void Worker<B, P>::on_phase() {
  Phase phase = control_.phase();
  // A fast runner may have gone two phases on; each is entered all the same, in order.
  while (phase_ < phase) {
    phase_ = static_cast<Phase>(static_cast<uint8_t>(phase_) + 1);
    switch (phase_) {
      case Phase::running: break;
      case Phase::announcing:
        loop_.announce_began = loop_.now;
        loop_.announce_ends = after(loop_.now, control_.announce());
        break;
      case Phase::draining: begin_drain(); break;
      case Phase::forcing: force(); break;
      case Phase::stopped:
        stopped_ = true;
        loop_.timers.cancel(look_for_oldest_);
        loop_.timers.cancel(beat_);
        loop_.counters.beat_due_ns.store(0, std::memory_order_relaxed);
        break;
    }
  }
  if (phase_ >= Phase::draining && !control_.listeners_held()) close_listeners();
}

template <class B, class P>
void Worker<B, P>::begin_drain() {
  loop_.draining = true;
  successor_ = control_.successor();
  loop_.handing_over = successor_ != nullptr;
  abandon_at_ = loop_.now + kHandOverPatience;
  loop_.drain.request_stop();
  connections_.for_each([this](Conn& connection) {
    begin_grace(connection);
    connection.protocol_.on_drain();
    connection.touch();
  });
  publish_oldest();
}

/// For people: which request the stop is waiting for longest.
template <class B, class P>
void Worker<B, P>::publish_oldest() {
  std::pair<Instant, const char*> oldest{kNever, nullptr};
  connections_.for_each([&oldest](Conn& connection) {
    if (connection.state_ == State::open)
      oldest = std::min(oldest, connection.protocol_.unanswered(),
                        [](auto& a, auto& b) { return a.first < b.first; });
  });
  const int64_t since = oldest.first == kNever ? 0 : oldest.first.time_since_epoch().count();
  loop_.counters.oldest_since_ns.store(since, std::memory_order_relaxed);
  loop_.counters.oldest_route.store(oldest.second, std::memory_order_relaxed);
  loop_.timers.arm(look_for_oldest_, loop_.now + kLookForOldest);
}

/// Of a time over which connections are closed that all could be at once: their clients would come back in
/// the same instant.
template <class B, class P>
Duration Worker<B, P>::share(const Conn& connection, Duration spread) noexcept {
  const uint32_t place =
      connection.token().slot * 0x9e3779b1u;  // evenly over 32 bits, whatever the slots in use
  return Duration((spread.count() * int64_t{place >> 8}) >> 24);
}

/// When an idle connection is closed whose grace begins now.
template <class B, class P>
Instant Worker<B, P>::grace_end(const Conn& connection) const noexcept {
  const Duration grace = control_.idle_grace();
  const Duration spread = std::min(grace / 4, kIdleSpread);
  return after(after(loop_.now, grace), share(connection, spread));
}

/// Of an idle connection, which before the drain has none.
template <class B, class P>
void Worker<B, P>::begin_grace(Conn& connection) const noexcept {
  if (connection.state_ != State::open || connection.counted_active_ || connection.sending_) return;
  if (connection.reason_ != CloseReason::none) return;
  connection.due_ = phase_ >= Phase::draining ? grace_end(connection) : kNever;
}

template <class B, class P>
void Worker<B, P>::close_listeners() {
  if (std::exchange(closing_listeners_, true)) return;
  for (auto& listener : listeners_) {
    loop_.timers.cancel(listener->retry);
    listener->stopping = true;
    if (!listener->accepting || io().accept_stop(listener->token, listener->socket.get())) {
      listener->accepting = false;
      finish_listener(*listener);
    }
  }
  acknowledge_if_closed();
}

template <class B, class P>
void Worker<B, P>::finish_listener(Listener& listener) {
  // Whoever is in the queue finished a handshake with us and would be reset by the close. Or, where the
  // socket lives on elsewhere, would wait for ever: one sleeper is woken for each, and it may have been us.
  int fd = 0;
  while ((fd = io().accept_now(listener.token, listener.socket.get())) >= 0)
    open_connection(fd, listener.preface);
  // EINVAL: the queue of a Unix socket that takes nobody any more is empty.
  if (fd != -EAGAIN && fd != -EINVAL && phase_ < Phase::forcing) {
    pause_accepting(listener, -fd);  // out of descriptors: when one is free the queue goes on
    return;
  }
  io().close(listener.token, listener.socket.release());
  acknowledge_if_closed();
}

template <class B, class P>
void Worker<B, P>::acknowledge_if_closed() {
  for (auto& listener : listeners_) {
    if (listener->socket) return;
  }
  if (gate_.closed() || sweeping_) return;  // another process may still hand connections over
  static_cast<void>(gate_.close());
  control_.acknowledge(options_.id, Phase::draining);
  if (phase_ >= Phase::forcing) force();  // whoever came out of the queue since then, too
}

template <class B, class P>
void Worker<B, P>::force() {
  close_listeners();
  abandon_hand_over();
  for (auto& listener : listeners_) {
    if (listener->socket && !listener->accepting) finish_listener(*listener);
  }
  connections_.for_each([this](Conn& connection) {
    if (connection.reason_ != CloseReason::forced) force(connection);
  });
  detached_.force();
  if (gate_.closed()) control_.acknowledge(options_.id, Phase::forcing);
}

template <class B, class P>
void Worker<B, P>::force(Conn& connection) {
  connection.touch();
  // Ended as soon would be a reset over what is still on its way.
  if (connection.state_ == State::lingering)
    connection.due_ = std::min(connection.due_, loop_.now + kForceGrace);
  if (connection.state_ != State::open) return;
  bool unsent = connection.sending_ || connection.has_output();
  bool idle = !unsent && !connection.protocol_.active();
  const bool unread = io().unread(connection.fd_) > 0;
  if (idle && !unread) {
    io().half_close(connection.fd_);
    end(connection, CloseReason::drained_idle);
    return;
  }
  if (!report(connection, unread)) {  // answered; only the rest of its body was waited for
    linger(connection, CloseReason::finished);
    return;
  }
  connection.reason_ = CloseReason::forced;
  connection.due_ = loop_.now + kForceGrace;
  connection.protocol_.on_force(idle);
}

/// `unread`: bytes are in the socket that nobody will read. False: everything is answered.
template <class B, class P>
bool Worker<B, P>::report(Conn& connection, bool unread) {
  AbortedReport report(control_, connection.protocol_.peer(), connection.bytes_sent_);
  return tell(connection, unread, loop_.now, report);
}

template <class B, class P>
bool Worker<B, P>::tell(const Conn& connection, bool unread, Instant now, UnansweredSink& sink) {
  struct Counted final : UnansweredSink {
    explicit Counted(UnansweredSink& to) : sink(to) {}
    void add(const UnansweredRequest& request) override {
      any = true;
      sink.add(request);
    }
    [[nodiscard]] bool may_allocate() const noexcept override { return sink.may_allocate(); }
    UnansweredSink& sink;
    bool any = false;
  } counted(sink);
  connection.protocol_.describe(now, counted);
  if (counted.any) return true;
  const bool unsent = connection.sending_ || connection.has_output();
  if (!unread && !unsent) return false;
  // Of an unwanted body it may be the rest, or the next request behind it: nobody can know.
  sink.add({.method = {}, .target = {}, .state = unsent ? "writing" : "head", .age_ms = 0});
  return true;
}

/// On the reactor's own thread, in a signal handler: it is stuck in a handler, and leaves with the process.
template <class B, class P>
void Worker<B, P>::tell_held(RollCall& call) noexcept {
  Worker* const worker = here_;
  if (worker == nullptr || worker->loop_.counters.handler.load(std::memory_order_relaxed) == nullptr) return;
  call.begin();
  const Instant now = monotonic_now();  // the one of the turn is long ago
  worker->connections_.for_each([worker, now, &call](Conn& connection) {
    const bool unsent = connection.sending_ || connection.has_output();
    const bool idle = !unsent && !connection.protocol_.active();
    const bool unread = worker->io().unread(connection.fd_) > 0;
    if (connection.state_ == State::open && (!idle || unread)) {
      call.connection(connection.fd_, connection.bytes_sent_, connection.protocol_.named_peer());
      if (!worker->tell(connection, unread, now, call)) call.count_completed();
    } else if (connection.state_ == State::open || classify(connection.reason_) == CloseClass::idle_closed) {
      call.count_idle_closed();
    } else if (classify(connection.reason_) == CloseClass::completed) {
      call.count_completed();
    }
  });
}

template <class B, class P>
void Worker<B, P>::tell_if_empty() {
  if (phase_ < Phase::draining || !gate_.closed() || told_empty_) return;
  if (gate_.count() != 0) return;
  // The protocol counts a handler that outlives its connection as active.
  const ReactorCounters& counters = loop_.counters;
  if (counters.active.load(std::memory_order_relaxed) + counters.idle.load(std::memory_order_relaxed) != 0)
    return;
  told_empty_ = true;
  control_.wake_runner();
}

template <class B, class P>
bool Worker<B, P>::is_closing_listeners() const noexcept {
  return std::ranges::any_of(listeners_, [](const auto& one) { return one->stopping && one->socket; });
}

template <class B, class P>
void Worker<B, P>::end_all() {
  // The kernel may still be reading memory of pending sends, and an accept may yet complete: the last event
  // of each operation is seen before leaving. Who comes out of a queue that late is forced like the others,
  // and counted.
  bool told = false;
  for (Instant limit = io().now() + kStopGrace;;) {
    if (!told && !is_closing_listeners()) {
      told = true;
      connections_.for_each([this](Conn& connection) {
        if (connection.state_ != State::ending) end(connection, CloseReason::forced);
      });
    }
    settle_dirty();
    if ((told && gate_.count() == 0) || io().now() >= limit) return;
    reactor_.turn(
        loop_.dirty != nullptr ? Instant{} : limit,
        [this](const Event& event) {
          if (event.token.kind == kConnection || event.token.kind == kListener) on_event(event);
        },
        [](Timer&) {});
  }
}

}  // namespace lastcall
