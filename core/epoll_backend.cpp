#include <algorithm>
#include <climits>
#include <system_error>

#include <lastcall/core/check.hpp>
#include <lastcall/core/epoll_backend.hpp>

namespace lastcall {
namespace {

constexpr int kSendFlags = MSG_NOSIGNAL | MSG_DONTWAIT;

/// Bytes taken or -errno; signals are retried.
ssize_t send_some(int fd, std::span<const iovec> iov, int more_flags = 0) noexcept {
  const int flags = kSendFlags | more_flags;
  for (;;) {
    ssize_t sent = 0;
    if (iov.size() == 1) {
      sent = transmit(fd, iov[0].iov_base, iov[0].iov_len, flags);
    } else {
      msghdr message{};
      message.msg_iov = const_cast<iovec*>(iov.data());  // which sendmsg(2) only reads
      message.msg_iovlen = iov.size();
      sent = ::sendmsg(fd, &message, flags);
    }
    if (sent >= 0) return sent;
    if (errno != EINTR) return -errno;
  }
}

/// Milliseconds for epoll_wait(2), rounded up so that it never returns before its time.
int timeout_ms(Duration duration) noexcept {
  auto ms = std::chrono::ceil<std::chrono::milliseconds>(duration).count();
  return static_cast<int>(std::min<int64_t>(ms, INT_MAX));
}

}  // namespace

EpollBackend::EpollBackend()
    : epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      now_(monotonic_now()),
      scratch_(std::make_unique_for_overwrite<std::byte[]>(kScratchBytes)) {
  if (!epoll_) throw std::system_error(errno, std::generic_category(), "epoll_create1");
}

EpollBackend::Slot& EpollBackend::bind(Token token, int fd) {
  LASTCALL_CHECK(fd >= 0);
  Slot& slot = slots_.at(token);
  if (slot.fd == fd && slot.token.generation == token.generation) return slot;
  // A slot names one descriptor at a time: the one before was closed, or stopped.
  LASTCALL_CHECK(slot.standing == Op::none && slot.send == PendingSends::kNone && slot.registered == 0);
  slot = Slot{.token = token, .fd = fd};
  return slot;
}

void EpollBackend::set_interest(Slot& slot, uint8_t interest) {
  if (interest == slot.registered) return;
  epoll_event event{};
  event.data.u64 = pack(with_op(slot.token, Op::none));
  if ((interest & kIn) != 0) event.events |= EPOLLIN;
  if ((interest & kOut) != 0) event.events |= EPOLLOUT;
  if (slot.standing == Op::accept) event.events |= EPOLLEXCLUSIVE;  // one reactor wakes for a shared listener
  if (slot.standing == Op::watch) event.events |= EPOLLET;          // each write is an edge, nothing is read
  int operation = EPOLL_CTL_MOD;
  if (slot.registered == 0) operation = EPOLL_CTL_ADD;
  if (interest == 0) operation = EPOLL_CTL_DEL;
  if (::epoll_ctl(epoll_.get(), operation, slot.fd, &event) == 0) {
    slot.registered = interest;
    return;
  }
  LASTCALL_CHECK(operation == EPOLL_CTL_ADD);  // the others cannot fail on a descriptor that is registered
  refusals_.push_back({slot.token, errno});
}

/// After an event: level-triggered readiness that nobody wants would wake every wait from here on.
void EpollBackend::drop_unwanted(Token token, uint32_t ready) {
  Slot* slot = find(token);
  if (slot == nullptr || slot->registered == 0) return;
  const bool receiving = slot->standing == Op::recv;
  const bool sending = slot->send != PendingSends::kNone;
  uint8_t interest = slot->registered;
  if (!receiving && (ready & EPOLLIN) != 0) interest &= static_cast<uint8_t>(~kIn);
  if (!sending) interest &= static_cast<uint8_t>(~kOut);
  if (!receiving && !sending && (ready & (EPOLLHUP | EPOLLERR)) != 0) interest = 0;
  set_interest(*slot, interest);
}

void EpollBackend::accept_start(Token token, int fd) {
  Slot& slot = bind(token, fd);
  LASTCALL_CHECK(slot.standing == Op::none);
  set_nonblocking(fd, true);
  slot.token = token;
  slot.standing = Op::accept;
  set_interest(slot, kIn);
}

bool EpollBackend::accept_stop(Token token, int /*fd*/) {
  Slot* slot = find_standing(token, Op::accept);
  if (slot == nullptr) return true;
  set_interest(*slot, 0);
  slot->standing = Op::none;
  return true;
}

/// As many as expected, and maybe more, which the next wait reports.
void EpollBackend::on_full_wakeup(Slot& listener) noexcept {
  if (++listener.full_wakeups < kFullWakeups) return;
  listener.full_wakeups = 0;
  listener.accepts = static_cast<uint8_t>(std::min(2 * listener.accepts, int{kAcceptsPerWakeup}));
}

int EpollBackend::accept_now(Token /*token*/, int fd) {
  set_nonblocking(fd, true);
  return accept_one(fd, SOCK_NONBLOCK);
}

void EpollBackend::recv_start(Token token, int fd) {
  Slot& slot = bind(token, fd);
  LASTCALL_CHECK(slot.standing == Op::none);
  slot.token = token;
  slot.standing = Op::recv;
  set_interest(slot, slot.registered | kIn);
}

bool EpollBackend::recv_pause(Token token, int /*fd*/) {
  if (Slot* slot = find_standing(token, Op::recv)) slot->standing = Op::none;
  return true;
}

SendStatus EpollBackend::send(Token token, int fd, std::span<const iovec> iov, SendHint hint) {
  LASTCALL_CHECK(!iov.empty() && iov.size() <= kMaxSendSegments);
  const size_t total = total_bytes(iov);
  LASTCALL_CHECK(total <= INT32_MAX);
  if (total == 0) return {0, false};
  const ssize_t sent = send_some(fd, iov, hint == SendHint::last ? MSG_MORE : 0);
  if (sent == static_cast<ssize_t>(total)) return {static_cast<int32_t>(total), false};
  if (sent < 0 && sent != -EAGAIN) return {static_cast<int32_t>(sent), false};

  Slot& slot = bind(token, fd);
  LASTCALL_CHECK(slot.send == PendingSends::kNone);
  slot.send = sends_.take(token, iov);
  if (sent > 0) sends_[slot.send].advance(static_cast<size_t>(sent));
  set_interest(slot, slot.registered | kOut);
  return {0, true};
}

/// True when it has ended: all sent, or broken.
bool EpollBackend::continue_send(PendingSend& send) {
  while (!send.done()) {
    const ssize_t sent = send_some(slots_[send.token.slot].fd, send.remaining());
    if (sent == -EAGAIN) return false;
    if (sent < 0) {
      send.fail(static_cast<int>(-sent));
      return true;
    }
    send.advance(static_cast<size_t>(sent));
  }
  return true;
}

void EpollBackend::watch_start(Token token, int fd) {
  Slot& slot = bind(token, fd);
  LASTCALL_CHECK(slot.standing == Op::none);
  slot.token = token;
  slot.standing = Op::watch;
  set_interest(slot, kIn);
}

void EpollBackend::watch_stop(Token token, int /*fd*/) {
  Slot* slot = find_standing(token, Op::watch);
  if (slot == nullptr) return;
  set_interest(*slot, 0);
  *slot = Slot{};
}

void EpollBackend::close(Token token, int fd) {
  if (Slot* slot = find(token)) {
    LASTCALL_CHECK(slot->fd == fd && slot->standing == Op::none && slot->send == PendingSends::kNone);
    *slot =
        Slot{};  // closing takes a connection out of the epoll set; listeners were taken out by accept_stop
  }
  ::close(fd);
}

void EpollBackend::release(Token token, int fd) {
  Slot* slot = find(token);
  if (slot == nullptr) return;
  LASTCALL_CHECK(slot->fd == fd && slot->standing == Op::none && slot->send == PendingSends::kNone);
  if (slot->registered != 0) set_interest(*slot, 0);
  *slot = Slot{};
}

int EpollBackend::poll(Instant until) {
  if (!refusals_.empty()) until = now_;
  int count = -1;
  if (until == kNever) {
    count = ::epoll_wait(epoll_.get(), events_.data(), kEventsPerWait, -1);
  } else {
    // The turn may have been long: the sleep is measured from here, not from the cached time.
    const Duration sleep =
        until <= now_ ? Duration::zero() : std::max(until - monotonic_now(), Duration::zero());
    if (has_pwait2_ && sleep > Duration::zero()) {
      const timespec timeout = to_timespec(sleep);
      count = ::epoll_pwait2(epoll_.get(), events_.data(), kEventsPerWait, &timeout, nullptr);
      if (count < 0 && errno != EINTR)
        has_pwait2_ = false;  // ENOSYS before Linux 5.11, EPERM from an old seccomp filter
    }
    if (count < 0 && (sleep <= Duration::zero() || !has_pwait2_)) {
      count = ::epoll_wait(epoll_.get(), events_.data(), kEventsPerWait, timeout_ms(sleep));
    }
  }
  LASTCALL_CHECK(count >= 0 || errno == EINTR);
  now_ = monotonic_now();
  return std::max(count, 0);
}

}  // namespace lastcall
