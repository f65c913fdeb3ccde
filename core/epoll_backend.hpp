#pragma once

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include <lastcall/core/clock.hpp>
#include <lastcall/core/descriptor_slots.hpp>
#include <lastcall/core/fd.hpp>
#include <lastcall/core/io_backend.hpp>
#include <lastcall/core/pending_sends.hpp>
#include <lastcall/core/socket_calls.hpp>

namespace lastcall {

/// The stream events of IoBackend over epoll(7), level-triggered. A descriptor is registered once, at its
/// first start; a pause costs nothing until bytes arrive during it, and EPOLLOUT is armed only behind a short
/// send. All reads go into one scratch buffer, which is what the sink is lent. Sockets may be blocking or
/// not; listeners are made non-blocking. See epoll(7), accept(2); epoll_pwait2 needs Linux 5.11 and is
/// replaced by epoll_wait before.
class EpollBackend {
 public:
  static constexpr const char* kName = "epoll";
  static constexpr size_t kScratchBytes = 64 * 1024;
  static constexpr int kEventsPerWait = 256;
  static constexpr int kReadsPerWakeup =
      4;  ///< full reads of one connection before the others get their turn
  static constexpr uint8_t kAcceptsPerWakeup = 64;  ///< accepts of one listener, likewise, at most
  /// … of which it takes as many as there were to take the last times: an accept4 that finds nothing has made
  /// a file and a socket before it looks. So many wakeups that found enough, and the next one tries for twice.
  static constexpr uint8_t kFullWakeups = 8;

  EpollBackend();  ///< throws std::system_error
  EpollBackend(const EpollBackend&) = delete;
  EpollBackend& operator=(const EpollBackend&) = delete;

  [[nodiscard]] Instant now() const noexcept { return now_; }
  [[nodiscard]] Duration wall() const noexcept { return wall_now(); }

  void accept_start(Token token, int fd);
  bool accept_stop(Token token, int fd);
  [[nodiscard]] int accept_now(Token token, int fd);
  void recv_start(Token token, int fd);
  bool recv_pause(Token token, int fd);
  [[nodiscard]] SendStatus send(Token token, int fd, std::span<const iovec> iov,
                                SendHint hint = SendHint::usual);
  void watch_start(Token token, int fd);
  void watch_stop(Token token, int fd);
  void half_close(int fd) { ::shutdown(fd, SHUT_WR); }
  void abort(int fd) { ::shutdown(fd, SHUT_RDWR); }
  void close(Token token, int fd);
  void release(Token token, int fd);
  [[nodiscard]] int unread(int fd) const { return unread_bytes(fd); }
  [[nodiscard]] uint64_t progress(int fd) const { return send_progress(fd); }

  template <class Sink>
  void wait(Instant until, Sink&& sink);

 private:
  static constexpr uint8_t kIn = 1;
  static constexpr uint8_t kOut = 2;

  /// What is known about the descriptor in a slot; -1 when none was started. Addresses move when the table
  /// grows, so no reference is held across a call of the sink.
  struct Slot {
    Token token{};
    int fd = -1;
    uint32_t send = PendingSends::kNone;
    Op standing = Op::none;  // the subscription that is wanted
    uint8_t registered = 0;    // the readiness asked of the kernel: may hold more than is wanted
    uint8_t accepts = 1;       // of a listener: how many its next wakeup takes
    uint8_t full_wakeups = 0;  // in a row that took so many
  };

  /// A registration that the kernel refused (ENOSPC, ENOMEM, EPERM): reported by the next wait.
  struct Refusal {
    Token token{};
    int code;
  };

  Slot& bind(Token token, int fd);
  [[nodiscard]] Slot* find(Token token) noexcept { return slots_.find(token); }
  [[nodiscard]] Slot* find_standing(Token token, Op op) noexcept {
    Slot* slot = find(token);
    return slot != nullptr && slot->standing == op ? slot : nullptr;
  }
  void set_interest(Slot& slot, uint8_t interest);
  void drop_unwanted(Token token, uint32_t ready);
  int poll(Instant until);
  [[nodiscard]] bool continue_send(PendingSend& send);

  template <class Sink>
  void dispatch(const epoll_event& event, Sink& sink);
  template <class Sink>
  void on_readable(Slot* slot, bool broken, Sink& sink);
  template <class Sink>
  void on_writable(Token token, Sink& sink);
  template <class Sink>
  void on_connections(Token token, Sink& sink);
  static void on_full_wakeup(Slot& listener) noexcept;
  template <class Sink>
  void report_refusals(Sink& sink);
  template <class Sink>
  void end_send(Slot& slot, int32_t result, Sink& sink);

  Fd epoll_;
  Instant now_;
  bool has_pwait2_ = true;
  DescriptorSlots<Slot> slots_;
  PendingSends sends_;
  std::vector<Refusal> refusals_;
  std::unique_ptr<std::byte[]> scratch_;
  std::array<epoll_event, kEventsPerWait> events_;
};

template <class Sink>
void EpollBackend::wait(Instant until, Sink&& sink) {
  int count = poll(until);
  if (!refusals_.empty()) report_refusals(sink);
  for (int i = 0; i < count; ++i) dispatch(events_[static_cast<size_t>(i)], sink);
}

template <class Sink>
void EpollBackend::dispatch(const epoll_event& event, Sink& sink) {
  const Token token = unpack(event.data.u64);
  Slot* slot = find(token);
  if (slot == nullptr) return;  // closed by an event before this one
  // The usual event. What the sink no longer wants after it is dropped when it comes again.
  if (event.events == EPOLLIN && slot->standing == Op::recv) return on_readable(slot, false, sink);
  switch (slot->standing) {
    case Op::watch: return sink(Event{with_op(slot->token, Op::watch), 1, false, {}});
    case Op::accept: return on_connections(token, sink);
    default: break;
  }
  // EPOLLHUP and EPOLLERR cannot be masked: they count as everything that was asked for.
  const bool broken = (event.events & (EPOLLHUP | EPOLLERR)) != 0;
  if ((broken || (event.events & EPOLLOUT) != 0) && slot->send != PendingSends::kNone)
    on_writable(token, sink);
  slot = find_standing(token, Op::recv);
  if ((broken || (event.events & EPOLLIN) != 0) && slot != nullptr) on_readable(slot, broken, sink);
  drop_unwanted(token, event.events);
}

template <class Sink>
void EpollBackend::on_readable(Slot* slot, bool broken, Sink& sink) {
  const Token name = with_op(slot->token, Op::recv);
  for (int reads = 0; reads < kReadsPerWakeup && slot != nullptr; ++reads) {
    const ssize_t got = receive(slot->fd, scratch_.get(), kScratchBytes, MSG_DONTWAIT);
    if (got > 0) {
      sink(Event{name, static_cast<int32_t>(got), false, {scratch_.get(), static_cast<size_t>(got)}});
      if (static_cast<size_t>(got) < kScratchBytes && !broken) return;  // short: the queue is empty
      slot = find_standing(name, Op::recv);                             // paused, or closed, by the sink
      continue;
    }
    const int code = got == 0 ? 0 : errno;
    if (code == EINTR) continue;
    if (code == EAGAIN) return;
    slot->standing = Op::none;
    return sink(Event{name, -code, true, {}});
  }
}

template <class Sink>
void EpollBackend::on_writable(Token token, Sink& sink) {
  Slot& slot = slots_[token.slot];
  PendingSend& send = sends_[slot.send];
  if (!continue_send(send)) return;
  end_send(slot, send.result(), sink);
}

template <class Sink>
void EpollBackend::end_send(Slot& slot, int32_t result, Sink& sink) {
  const Token name = with_op(sends_[slot.send].token, Op::send);
  sends_.give(slot.send);
  slot.send = PendingSends::kNone;
  sink(Event{name, result, true, {}});
}

template <class Sink>
void EpollBackend::on_connections(Token token, Sink& sink) {
  for (uint8_t accepts = 0;; ++accepts) {
    Slot* slot = find_standing(token, Op::accept);
    if (slot == nullptr) return;  // stopped by the sink
    if (accepts == slot->accepts) return on_full_wakeup(*slot);
    const Token name = with_op(slot->token, Op::accept);
    const int accepted = accept_one(slot->fd, SOCK_NONBLOCK);
    if (accepted == -EAGAIN) {
      slot->accepts = std::max(accepts, uint8_t{1});
      slot->full_wakeups = 0;
      return;
    }
    if (accepted < 0 && is_transient_accept_error(-accepted)) return;  // epoll comes again
    if (accepted < 0) {
      set_interest(*slot, 0);
      slot->standing = Op::none;
    }
    sink(Event{name, accepted, accepted < 0, {}});
  }
}

template <class Sink>
void EpollBackend::report_refusals(Sink& sink) {
  const size_t count = refusals_.size();  // what the sink's starts add is for the next wait
  for (size_t i = 0; i < count; ++i) {
    const Refusal refusal = refusals_[i];
    Slot* slot = find(refusal.token);
    if (slot == nullptr || slot->registered != 0) continue;  // gone, or tried again with success
    if (slot->standing != Op::none) {
      const Token name = with_op(slot->token, slot->standing);
      slot->standing = Op::none;
      sink(Event{name, -refusal.code, true, {}});
      slot = find(refusal.token);
    }
    if (slot != nullptr && slot->send != PendingSends::kNone) {
      PendingSend& send = sends_[slot->send];
      send.fail(refusal.code);
      end_send(*slot, send.result(), sink);
    }
  }
  refusals_.erase(refusals_.begin(), refusals_.begin() + static_cast<ptrdiff_t>(count));
}

}  // namespace lastcall
