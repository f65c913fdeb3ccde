#include <algorithm>
#include <utility>

#include <lastcall/core/check.hpp>
#include <lastcall/http/memory_reactor.hpp>

namespace lastcall {

MemoryReactor::MemoryReactor(const SessionOptions& options, const Router& router,
                             const std::vector<Route>& routes, OffloadPool& pool, std::string_view server)
    : pool_(pool) {
  environment_.emplace(loop_, options, router, routes, pool, server);
}

MemoryReactor::~MemoryReactor() {
  LASTCALL_CHECK(connections_.empty());  // they refer to it
  environment_.reset();
  LASTCALL_CHECK(buffers_.lent() == 0);
  LASTCALL_CHECK(timers_.size() == 0);
}

void MemoryReactor::settle() {
  LASTCALL_CHECK(!std::exchange(busy_, true));  // not from inside a handler
  for (bool again = true; std::exchange(again, false);) {
    loop_.dirty = nullptr;  // everybody is looked at; the list could name who is gone
    for (MemoryConnection* connection : connections_) again = connection->settle_once() || again;
  }
  busy_ = false;
}

bool MemoryReactor::run_work() {
  busy_ = true;
  bool ran = pool_.run_one();
  ran = mailbox_.run_all() || ran;
  busy_ = false;
  if (!ran) return false;
  move_to(loop_.now);
  settle();
  return true;
}

void MemoryReactor::advance(Duration duration) {
  for (Instant end = loop_.now + duration; turn(end);) {
  }
}

bool MemoryReactor::turn(Instant end) {
  if (run_work()) return loop_.now <= end;
  Instant next = next_due();
  move_to(std::clamp(next, loop_.now, std::max(end, loop_.now)));
  busy_ = true;
  timers_.advance(loop_.now, [](Timer& timer) {
    auto& task = static_cast<TaskTimer&>(timer);
    task.fire(task);
  });
  busy_ = false;
  settle();
  for (MemoryConnection* connection : connections_) connection->on_due();
  return next <= end && loop_.now <= end;
}

void MemoryReactor::move_to(Instant then) noexcept {
  if (then > loop_.now) {
    turns_here_ = 0;
  } else if (++turns_here_ > kMostTurnsAnInstant) {
    then = loop_.now + (turns_here_ - kMostTurnsAnInstant) * 1ms;
  }
  loop_.wall += then - loop_.now;
  loop_.now = then;
}

Instant MemoryReactor::next_due() const noexcept {
  Instant next = timers_.next_due();
  for (const MemoryConnection* connection : connections_) {
    if (connection->session_) next = std::min(next, connection->session_->deadline());
  }
  return next;
}

Instant MemoryReactor::next_wakeup() const noexcept {
  Instant next = timers_.next_due();
  for (const MemoryConnection* connection : connections_) {
    const auto& session = connection->session_;
    if (session && session->active()) next = std::min(next, session->deadline());
  }
  return next;
}

void MemoryReactor::drain() {
  loop_.draining = true;
  loop_.drain.request_stop();
  for (MemoryConnection* connection : connections_) {
    if (connection->session_) connection->session_->on_drain();
  }
  settle();
}

void MemoryReactor::force() {
  for (MemoryConnection* connection : connections_) {
    if (connection->session_) connection->session_->on_force(connection->unread() != 0);
  }
  settle();
}

}  // namespace lastcall
