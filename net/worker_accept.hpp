#pragma once

// Worker: listeners and new connections. Included by worker.hpp.

#include <lastcall/net/worker.hpp>

namespace lastcall {

template <class B, class P>
void Worker<B, P>::listen(Fd socket, uint32_t address, Preface preface) {
  LASTCALL_CHECK(listeners_.size() < kMaxListeners);
  auto index = static_cast<uint32_t>(listeners_.size());
  auto listener = std::make_unique<Listener>();
  listener->token = {.slot = kFirstListener + index, .generation = 1, .kind = kListener};
  listener->socket = std::move(socket);
  listener->address = address;
  listener->retry.slot = index;
  listener->retry.kind = static_cast<uint16_t>(TimerKind::listener);
  listener->preface = preface;
  listener->accepting = true;
  io().accept_start(listener->token, listener->socket.get());
  listeners_.push_back(std::move(listener));
}

template <class B, class P>
void Worker<B, P>::adopt(Fd connection, Preface preface) {
  open_connection(connection.release(), preface, true);
}

template <class B, class P>
void Worker<B, P>::adopt(Fd connection, std::string_view note) {
  open_connection(connection.release(), Preface::none, true, note);
}

template <class B, class P>
void Worker<B, P>::on_accept(Listener& listener, const Event& event) {
  if (event.result >= 0) open_connection(event.result, listener.preface);
  if (!event.last) return;
  listener.accepting = false;
  if (listener.stopping) {
    finish_listener(listener);
  } else if (event.result < 0) {
    pause_accepting(listener, -event.result);
  } else {
    listener.accepting = true;
    io().accept_start(listener.token, listener.socket.get());
  }
}

template <class B, class P>
void Worker<B, P>::pause_accepting(Listener& listener, int code) {
  // Out of descriptors or memory: the kernel's queue keeps who is waiting; a freed connection or the timer
  // tries again.
  loop_.timers.arm(listener.retry, loop_.now + kAcceptPause);
  if (code == EINVAL) return;  // the gate of a Unix socket has been closed; we are about to be told
  if (loop_.now < log_due_) return;
  log_due_ = loop_.now + 10s;
  log_event(LogLevel::warning, "accept_paused",
            {{"reactor", options_.id}, {"error", std::generic_category().message(code)}});
}

template <class B, class P>
void Worker<B, P>::sweep_listeners(bool shared) {
  sweeping_ = shared;
  for (auto& listener : listeners_) {
    if (listener->accepting && !listener->stopping) sweep(*listener);
  }
  if (!shared && closing_listeners_) acknowledge_if_closed();
}

template <class B, class P>
void Worker<B, P>::sweep(Listener& listener) {
  int fd = 0;
  while ((fd = io().accept_now(listener.token, listener.socket.get())) >= 0)
    open_connection(fd, listener.preface);
  if (sweeping_) loop_.timers.arm(listener.retry, loop_.now + kSweep);
}

template <class B, class P>
bool Worker<B, P>::over_limit() const noexcept {
  // The limit is of all reactors together: a cache line of each is read for a connection, none is written.
  uint64_t open = 0;
  for (uint32_t i = 0; i < control_.reactors(); ++i) {
    const ReactorCounters& counters = control_.counters(i);
    open += counters.active.load(std::memory_order_relaxed) + counters.idle.load(std::memory_order_relaxed);
  }
  return open >= options_.max_connections;
}

template <class B, class P>
void Worker<B, P>::open_connection(int fd, Preface preface, bool adopted,
                                   std::optional<std::string_view> note) {
  add(loop_.counters.accepted, 1);
  if (phase_ >= Phase::draining) add(loop_.counters.accepted_while_stopping, 1);
  bool refuse = !adopted && over_limit();
  if (adopted) connections_.set_limit(std::max(connections_.limit(), connections_.size() + 1));
  Conn* connection = connections_.acquire(kConnection, loop_, fd, *environment_);
  if (connection == nullptr) {  // even the slack is full of connections being refused
    io().close(Token{.slot = UINT32_MAX}, fd);
    add(loop_.counters.completed, 1);
    if (loop_.turned_away.count(TurnedAway::max_connections, loop_.now))
      loop_.turned_away.told(TurnedAway::max_connections, "", "too many to be told so");
    return;
  }
  gate_.enter();
  connection->receiving_ = true;
  io().recv_start(connection->token(), fd);
  if (refuse) {
    connection->protocol_.refuse_overload();
  } else if (note) {
    refuse = !connection->protocol_.on_adopt(read_peer_address(fd), *note);
  } else if (preface != Preface::none || options_.tell_peers) {
    refuse = !connection->protocol_.on_connect(read_peer_address(fd), preface);
  }
  connection->refused_ = refuse;
  begin_grace(*connection);
  if (!refuse) add(loop_.counters.idle, 1);
  connection->touch();
}

}  // namespace lastcall
