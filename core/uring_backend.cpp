#include <poll.h>

#include <algorithm>
#include <system_error>
#include <utility>

#include <lastcall/core/check.hpp>
#include <lastcall/core/uring_backend.hpp>

namespace lastcall {
namespace {

// Linux 6.10; liburing 2.3 does not have the names yet.
constexpr uint16_t kRecvBundle = 1 << 4;       // IORING_RECVSEND_BUNDLE
constexpr uint32_t kFeatureBundle = 1U << 14;  // IORING_FEAT_RECVSEND_BUNDLE

/// Completions under this name concern nobody.
constexpr uint64_t kIgnored = pack(Token{});

constexpr unsigned kTimeoutMultishot = 1U << 6;  // IORING_TIMEOUT_MULTISHOT, Linux 6.4

constexpr Duration kTickInterval = 1ms;  // the longest that gathering lets an event wait

[[nodiscard]] __kernel_timespec to_kernel(Duration duration) noexcept {
  const timespec ts = to_timespec(duration);
  return {.tv_sec = ts.tv_sec, .tv_nsec = ts.tv_nsec};
}

}  // namespace

UringBackend::Ring::Ring(const UringOptions& options) {
  io_uring_params params{};
  // DEFER_TASKRUN: completions are worked out inside our own enter, not at any interrupt. SUBMIT_ALL: a bad
  // entry does not hold back those behind it.
  params.flags =
      IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE;
  params.cq_entries = options.completions;
  if (int code = io_uring_queue_init_params(options.submissions, &raw, &params); code != 0) {
    throw std::system_error(-code, std::generic_category(), "io_uring_setup");
  }
  io_uring_register_ring_fd(&raw);  // saves looking up the descriptor at each enter; no harm where it fails
}

UringBackend::UringBackend(const UringOptions& options)
    : ring_(options),
      now_(monotonic_now()),
      buffers_(ring_.raw, options.buffers, options.buffer_bytes),
      gathering_(options.gather) {}

UringBackend::~UringBackend() {
  cancel_all();
}

/// Requests outlive a closed ring for a while, and would go on reading and writing memory that is ours no
/// more.
void UringBackend::cancel_all() noexcept {
  io_uring_submit(&ring_.raw);  // closes above all
  io_uring_sync_cancel_reg all{};
  all.fd = -1;
  all.flags = IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_ANY;
  all.timeout.tv_sec = 1;
  io_uring_register_sync_cancel(&ring_.raw, &all);
  for (unsigned count = 1; count != 0;) {
    io_uring_cqe* entry = nullptr;
    __kernel_timespec zero{};
    io_uring_submit_and_wait_timeout(&ring_.raw, &entry, 1, &zero, nullptr);
    unsigned head = 0;
    count = 0;
    io_uring_for_each_cqe(&ring_.raw, head, entry) {
      if (unpack(entry->user_data).op == Op::accept && entry->res >= 0) ::close(entry->res);
      ++count;
    }
    io_uring_cq_advance(&ring_.raw, count);
  }
}

io_uring_sqe* UringBackend::next_entry() {
  constexpr int kMaxSubmits = 1000;  // each makes room, unless the kernel is out of memory
  io_uring_sqe* entry = io_uring_get_sqe(&ring_.raw);
  for (int submits = 0; entry == nullptr && submits < kMaxSubmits; ++submits) {
    io_uring_submit(&ring_.raw);
    entry = io_uring_get_sqe(&ring_.raw);
  }
  LASTCALL_CHECK(entry != nullptr);
  return entry;
}

UringBackend::Slot& UringBackend::bind(Token token, int fd) {
  LASTCALL_CHECK(fd >= 0);
  Slot& slot = slots_.at(token);
  if (slot.fd == fd && slot.token.generation == token.generation) return slot;
  // A slot names one descriptor at a time: the one before was closed, or stopped.
  LASTCALL_CHECK(slot.token.op == Op::none && slot.send == PendingSends::kNone);
  slot = Slot{.token = {.slot = token.slot, .generation = token.generation, .kind = slot.token.kind},
              .fd = fd,
              .kind = token.kind,
              .fresh = true};
  return slot;
}

void UringBackend::subscribe(Token token, int fd, Op op) {
  Slot& slot = bind(token, fd);
  LASTCALL_CHECK(slot.token.op == Op::none);  // also while the last event of the one before is on its way
  slot.token.op = op;
  slot.kind = token.kind;
  slot.listening = op != Op::recv;
  arm(slot);
}

void UringBackend::arm(Slot& slot) {
  io_uring_sqe* entry = next_entry();
  switch (slot.token.op) {
    case Op::accept: io_uring_prep_multishot_accept(entry, slot.fd, nullptr, nullptr, SOCK_CLOEXEC); break;
    case Op::recv: arm_recv(entry, slot); break;
    case Op::watch: io_uring_prep_poll_multishot(entry, slot.fd, POLLIN); break;
    default: LASTCALL_CHECK(slot.token.op == Op::recv);  // not a subscription
  }
  ++slot.token.kind;  // what is still to come from the one before goes by another name
  io_uring_sqe_set_data64(entry, pack(slot.token));
  slot.state = State::armed;
  slot.fed = false;
}

/// The first receive of a connection is a single one: a multishot would look again, find nothing and be put
/// to sleep, to be cancelled where the first request was the last.
void UringBackend::arm_recv(io_uring_sqe* entry, Slot& slot) {
  if (slot.fresh) {
    slot.fresh = false;
    io_uring_prep_recv(entry, slot.fd, nullptr, 0, 0);
  } else {
    io_uring_prep_recv_multishot(entry, slot.fd, nullptr, 0, 0);
  }
  entry->flags |= IOSQE_BUFFER_SELECT;
  entry->buf_group = UringBuffers::kGroup;
  // As many buffers at once as there are bytes for.
  if ((ring_.raw.features & kFeatureBundle) != 0) entry->ioprio |= kRecvBundle;
}

void UringBackend::arm_late() {
  for (const Token token : late_) {
    Slot* slot = find(token);
    if (slot != nullptr && slot->token.op != Op::none && slot->state == State::unarmed) arm(*slot);
  }
  late_.clear();
}

void UringBackend::cancel(Slot& slot) {
  io_uring_sqe* entry = next_entry();
  io_uring_prep_cancel64(entry, pack(slot.token), 0);
  entry->flags |= IOSQE_CQE_SKIP_SUCCESS;
  io_uring_sqe_set_data64(entry, kIgnored);
}

/// Ends a subscription: true at once, false when its last event is to come.
bool UringBackend::stop(Token token, int /*fd*/, Op op) {
  Slot* slot = find(token);
  if (slot == nullptr || slot->token.op != op) return true;
  if (slot->state == State::unarmed || slot->state == State::starved) {
    slot->token.op = Op::none;
    slot->state = State::unarmed;
    return true;
  }
  if (slot->state == State::armed) cancel(*slot);
  slot->state = State::cancelling;
  return false;
}

/// Does this error of a subscription concern the backend alone, which is to go on?
bool UringBackend::is_passing(Op op, int32_t result) noexcept {
  if (op == Op::accept) return is_transient_accept_error(-result);
  return op == Op::recv && (result == -ENOBUFS || result == -EAGAIN || result == -EINTR);
}

void UringBackend::retry(Slot& slot, int32_t result) {
  if (result == -ENOBUFS) {
    slot.state = State::starved;
    starved_.push_back(slot.token);
    return;
  }
  if (result == -EAGAIN) set_nonblocking(slot.fd, false);
  arm(slot);
}

void UringBackend::accept_start(Token token, int fd) {
  // Non-blocking, since whoever shares the listener may sit in accept(2); where the kernel minds, retry()
  // clears it.
  set_nonblocking(fd, true);
  subscribe(token, fd, Op::accept);
}

int UringBackend::accept_now(Token /*token*/, int fd) {
  set_nonblocking(fd, true);
  return accept_one(fd, 0);
}

void UringBackend::recv_start(Token token, int fd) {
  subscribe(token, fd, Op::recv);
}

void UringBackend::watch_start(Token token, int fd) {
  subscribe(token, fd, Op::watch);
}

void UringBackend::watch_stop(Token token, int /*fd*/) {
  Slot* slot = find(token);
  if (slot == nullptr || slot->token.op != Op::watch) return;
  if (slot->state == State::armed) cancel(*slot);
  forget(*slot);  // its completions find nobody
}

SendStatus UringBackend::send(Token token, int fd, std::span<const iovec> iov, SendHint hint) {
  LASTCALL_CHECK(!iov.empty() && iov.size() <= kMaxSendSegments);
  const size_t total = total_bytes(iov);
  LASTCALL_CHECK(total <= INT32_MAX);
  if (total == 0) return {0, false};
  Slot& slot = bind(token, fd);
  LASTCALL_CHECK(slot.send == PendingSends::kNone);
  slot.send = sends_.take(token, iov);
  submit_send(fd, sends_[slot.send], hint == SendHint::last ? MSG_MORE : 0);
  return {0, true};
}

void UringBackend::submit_send(int fd, PendingSend& send, int more_flags) {
  ++sends_begun_;
  io_uring_sqe* entry = next_entry();
  const int flags = kSendFlags | more_flags;
  const std::span<iovec> rest = send.remaining();
  if (rest.size() == 1) {
    io_uring_prep_send(entry, fd, rest[0].iov_base, rest[0].iov_len, flags);
  } else {
    send.message.msg_iov = rest.data();
    send.message.msg_iovlen = rest.size();
    io_uring_prep_sendmsg(entry, fd, &send.message, static_cast<unsigned>(flags));
  }
  io_uring_sqe_set_data64(entry, pack(with_op(send.token, Op::send)));
}

/// True when it has ended. A short result may mean that the connection broke: sending the rest tells.
bool UringBackend::continue_send(int fd, PendingSend& send, int32_t result) {
  if (result == -EAGAIN) set_nonblocking(fd, false);
  if (result > 0) send.advance(static_cast<size_t>(result));
  const bool goes_on = result > 0 || result == -EAGAIN || result == -EINTR;
  if (!goes_on) send.fail(result == 0 ? EPIPE : -result);
  if (send.done() || !goes_on) return true;
  submit_send(fd, send);
  return false;
}

void UringBackend::close(Token token, int fd) {
  Slot* slot = find(token);
  if (slot == nullptr) {
    ::close(fd);
    return;
  }
  LASTCALL_CHECK(slot->fd == fd && slot->token.op == Op::none && slot->send == PendingSends::kNone);
  const bool listening = slot->listening;
  forget(*slot);
  if (listening) {  // not a moment later than asked: the address is to be free
    ::close(fd);
    return;
  }
  io_uring_sqe* entry = next_entry();
  io_uring_prep_close(entry, fd);
  entry->flags |= IOSQE_CQE_SKIP_SUCCESS;
  io_uring_sqe_set_data64(entry, kIgnored);
}

void UringBackend::release(Token token, int fd) {
  Slot* slot = find(token);
  if (slot == nullptr) return;
  LASTCALL_CHECK(slot->fd == fd && slot->token.op == Op::none && slot->send == PendingSends::kNone);
  forget(*slot);
}

/// In the socket, or in a completion that no sink has seen: the kernel takes bytes out of sockets whenever it
/// is entered, also where a full queue is submitted in the middle of a turn.
int UringBackend::unread(int fd) {
  int bytes = unread_bytes(fd);
  unsigned head = 0;
  unsigned index = 0;
  io_uring_cqe* entry = nullptr;
  io_uring_for_each_cqe(&ring_.raw, head, entry) {
    if (index++ < dispatched_ || entry->res <= 0) continue;
    const bool received = unpack(entry->user_data).op == Op::recv;
    const Slot* slot = received ? find_standing(entry->user_data) : nullptr;
    if (slot != nullptr && slot->fd == fd) bytes += entry->res;
  }
  return bytes;
}

/// Submits everything and waits for the first completion, in one system call.
void UringBackend::enter(Instant until) {
  if (!late_.empty()) arm_late();
  if (gathering_.events() > 1 && ticks_ == Ticks::none) ask_for_ticks();
  int code = 0;
  if (gathers() && until - now_ > kTickInterval) [[likely]] {
    wanted_ = sends_begun_ + gathering_.events();  // sends end at once, nearly always
    code = io_uring_submit_and_wait(&ring_.raw, wanted_);
  } else {
    io_uring_cqe* first = nullptr;
    __kernel_timespec timeout{};
    __kernel_timespec* limit = nullptr;
    if (until != kNever) {
      // The turn may have been long: the sleep is measured from here, not from the cached time.
      timeout = to_kernel(until <= now_ ? Duration::zero() : until - monotonic_now());
      limit = &timeout;
    }
    wanted_ = 1;
    code = io_uring_submit_and_wait_timeout(&ring_.raw, &first, wanted_, limit, nullptr);
  }
  sends_begun_ = 0;
  // EAGAIN, EBUSY: short of memory, or completions to be taken first. What was not submitted goes with the
  // next enter.
  LASTCALL_CHECK(code >= 0 || code == -ETIME || code == -EINTR || code == -EAGAIN || code == -EBUSY);
  turn_before_ = std::exchange(now_, monotonic_now());
}

/// A timeout that completes wakes whoever waits for completions, however few there are. One that repeats
/// bounds all waits: a limit of its own for each would be a timer to program and to take back every time,
/// which costs more than gathering saves. And one that does not repeat could complete just before a wait, and
/// leave it without.
void UringBackend::ask_for_ticks() {
  static constexpr __kernel_timespec kInterval{.tv_sec = 0, .tv_nsec = kTickInterval.count()};
  io_uring_sqe* entry = next_entry();
  io_uring_prep_timeout(entry, const_cast<__kernel_timespec*>(&kInterval), 0, kTimeoutMultishot);
  io_uring_sqe_set_data64(entry, kTick);
  ticks_ = Ticks::asked_for;  // the kernel may refuse
}

void UringBackend::remove_ticks() {
  io_uring_sqe* entry = next_entry();
  io_uring_prep_timeout_remove(entry, kTick, 0);
  entry->flags |= IOSQE_CQE_SKIP_SUCCESS;
  io_uring_sqe_set_data64(entry, kIgnored);  // where it comes too late, the next tick tries again
  ticks_ = Ticks::to_be_removed;
}

void UringBackend::on_tick(int32_t result, bool more) {
  if (io_uring_cq_ready(&ring_.raw) < wanted_) {
    ++waits_in_vain_;
    wanted_ = 1;  // of two ticks in one wait, one counts
    gathering_.on_missing(now_, now_ - turn_before_);
  }
  if (!more) {
    ticks_ = Ticks::none;
    if (result == -EINVAL) gathering_.refuse();  // before Linux 6.4
    return;
  }
  if (ticks_ == Ticks::to_be_removed || gathering_.events() == 1) return remove_ticks();
  ticks_ = Ticks::come;
}

void UringBackend::end_turn() {
  gathering_.on_turn(now_, thread_cpu_now);
  if (!starved_.empty()) buffers_.widen();
  buffers_.publish();
  if (!starved_.empty()) feed_starved();
}

/// Arms again what ended for want of buffers; those that got nothing go first, so that everybody has a turn.
/// It cannot spin: all buffers are in the ring now, and who finds none again was beaten to them by others
/// that made progress. Not with IORING_RECVSEND_POLL_FIRST: on a socket where bytes and the end are both
/// waiting, the end is then lost (seen with Unix sockets on Linux 6.18).
void UringBackend::feed_starved() {
  for (const bool fed : {false, true}) {
    for (const Token token : starved_) {
      Slot* slot = find(token);
      if (slot == nullptr || slot->token.op != Op::recv || slot->state != State::starved || slot->fed != fed)
        continue;
      arm(*slot);
    }
  }
  starved_.clear();
}

}  // namespace lastcall
