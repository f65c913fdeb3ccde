#include "tests/support/session_host.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include <lastcall/core/check.hpp>
#include <lastcall/core/log.hpp>

namespace lastcall::test {
namespace {
constexpr size_t kReceiveBytes = 16 * 1024;  // most of one receive event
}

SessionHost::SessionHost(const SessionOptions& options) : options_(options) {
  log_configure(LogFormat::text, LogLevel::off);
  environment_.emplace(loop_, options_, router_, routes_, pool_, "lastcall");
  routes_.reserve(64);  // sessions point at routes
  open();
}

SessionHost::~SessionHost() {
  if (session_) end(CloseWish::none, CloseReason::none);
  link_.reset();
  environment_.reset();
  LASTCALL_CHECK(buffers_.lent() == 0);
  LASTCALL_CHECK(timers_.size() == 0);
}

SessionHost& SessionHost::on(Method method, std::string_view pattern, Handler handler, RouteOptions options) {
  Result<void> added = router_.add(method, pattern, static_cast<uint32_t>(routes_.size()));
  LASTCALL_CHECK(added.has_value() && routes_.size() < routes_.capacity());
  routes_.push_back({.pattern = std::string(pattern), .handler = std::move(handler), .options = options});
  return *this;
}

void SessionHost::open() {
  LASTCALL_CHECK(!session_);
  loop_.dirty = nullptr;
  link_.emplace(loop_);
  session_.emplace(*environment_, *link_);
  unread_.clear();
  sent_.clear();
  peer_ended_ = false;
  reason_ = CloseReason::none;
  wish_ = CloseWish::none;
}

void SessionHost::receive(std::string_view bytes) {
  LASTCALL_CHECK(!peer_ended_);
  if (!session_) return;
  unread_.append(bytes);
  settle();
}

void SessionHost::end_of_stream() {
  if (!session_) return;
  settle();
  LASTCALL_CHECK(unread_.empty());
  peer_ended_ = true;
  session_->on_end_of_stream();
  settle();
}

void SessionHost::vanish() {
  end(CloseWish::none, CloseReason::peer_reset);
}

std::string SessionHost::take(size_t most) {
  std::string taken = sent_.substr(0, most);
  sent_.erase(0, taken.size());
  if (session_) settle();
  while (session_ && taken.size() < most && !sent_.empty()) {
    size_t more = std::min(sent_.size(), most - taken.size());
    taken.append(sent_, 0, more);
    sent_.erase(0, more);
    settle();
  }
  if (taken.size() < most) taken.append(std::exchange(sent_, {}));
  return taken;
}

void SessionHost::deliver() {
  while (session_ && !unread_.empty() && !link_->input_paused()) {
    size_t size = std::min(unread_.size(), kReceiveBytes);
    auto lent = std::make_unique<char[]>(size);
    std::memcpy(lent.get(), unread_.data(), size);
    unread_.erase(0, size);
    session_->on_bytes({lent.get(), size});
    most_prepared_ = std::max(most_prepared_, link_->output().size());
    send();
  }
}

/// Worker::pump().
void SessionHost::send() {
  for (bool moved = true; std::exchange(moved, false);) {
    if (link_->output().empty()) session_->on_output_room();
    most_prepared_ = std::max(most_prepared_, link_->output().size());
    Buffer& in_flight = link_->in_flight();
    if (in_flight.empty()) in_flight.swap(link_->output());
    if (size_t room = window_bytes_ - std::min(window_bytes_, sent_.size()); room > 0 && !in_flight.empty()) {
      size_t bytes = std::min(room, in_flight.size());
      sent_.append(in_flight.view().substr(0, bytes));
      link_->sent(bytes);
      moved = true;
    }
  }
  fulfil_wish();
}

void SessionHost::fulfil_wish() {
  CloseWish wish = session_->close_wish();
  if (!(link_->in_flight().empty() && link_->output().empty())) return;
  if (wish != CloseWish::none) {
    end(wish, session_->close_reason());
  } else if (peer_ended_ && !session_->active()) {
    end(wish, CloseReason::peer_closed);
  }
}

void SessionHost::settle() {
  do {
    loop_.dirty = nullptr;
    link_->settled();
    deliver();
    if (session_) send();
  } while (session_ && (link_->dirty() || (!unread_.empty() && !link_->input_paused())));
}

void SessionHost::end(CloseWish wish, CloseReason reason) {
  wish_ = wish;
  reason_ = reason;
  session_->on_close();
  session_.reset();
  link_->output().release();
  link_->in_flight().release();
}

void SessionHost::on_due() {
  if (!session_ || session_->deadline() > loop_.now) return;
  bool unsent = !link_->in_flight().empty() || !link_->output().empty();
  if (unsent || session_->active()) {
    session_->on_deadline();
    LASTCALL_CHECK(session_->deadline() > loop_.now);
    settle();
  } else {
    end(CloseWish::linger, CloseReason::idle_timeout);
  }
}

void SessionHost::advance(Duration duration) {
  for (Instant end = loop_.now + duration;;) {
    Instant next = std::min(timers_.next_due(), session_ ? session_->deadline() : kNever);
    Instant then = std::clamp(next, loop_.now, end);
    loop_.wall += then - loop_.now;
    loop_.now = then;
    timers_.advance(then, [](Timer& timer) {
      auto& task = static_cast<TaskTimer&>(timer);
      task.fire(task);
    });
    if (session_) settle();
    on_due();
    if (next > end) return;
  }
}

void SessionHost::run_mail() {
  mailbox_.run_all();
  if (session_) settle();
}

void SessionHost::drain() {
  loop_.draining = true;
  loop_.drain.request_stop();
  if (!session_) return;
  session_->on_drain();
  settle();
}

void SessionHost::force() {
  session_->on_force(false);
  settle();
}

std::vector<AbortedExchange> SessionHost::unanswered() {
  StopControl control(1);
  AbortedReport report(control, "", 0);
  session_->describe(loop_.now, report);
  return control.take_aborted();
}

}  // namespace lastcall::test
