#pragma once

#include <liburing.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <lastcall/core/clock.hpp>
#include <lastcall/core/descriptor_slots.hpp>
#include <lastcall/core/gathering.hpp>
#include <lastcall/core/io_backend.hpp>
#include <lastcall/core/pending_sends.hpp>
#include <lastcall/core/socket_calls.hpp>
#include <lastcall/core/uring_buffers.hpp>

namespace lastcall {

struct UringOptions {
  uint32_t buffers = 512;        ///< of the receive ring; a power of two, at most 32768
  uint32_t buffer_bytes = 4096;  ///< the most that one recv event carries
  uint32_t submissions = 256;    ///< entries; when they are full the batch is submitted early
  uint32_t completions = 4096;   ///< entries; the kernel keeps what overflows
  uint32_t gather = 0;           ///< events that a wait is for, where they come soon; 0: see Gathering
};

/// The stream events of IoBackend over io_uring(7): multishot accept and recv, receive buffers picked by the
/// kernel from a ring and recycled when the sink returns, sends and closes queued so that one io_uring_enter
/// a turn carries them all. Needs Linux 6.1 (DEFER_TASKRUN; multishot recv and buffer rings came in 6.0
/// and 5.19); core/probe.hpp tells whether it works here. Construct and use it on one and the same thread.
///
/// Connections are blocking. Where the kernel answers -EAGAIN on a non-blocking socket instead of waiting
/// (Linux 6.18 does not), the flag is cleared and the operation repeated. Listeners are non-blocking, since
/// duplicates share the flag and whoever holds one may call accept(2) on it. Every send is pending, even when
/// the kernel takes it whole; sends and closes happen in the next wait.
class UringBackend {
 public:
  static constexpr const char* kName = "io_uring";

  explicit UringBackend(const UringOptions& options = {});  ///< throws std::system_error
  ~UringBackend();                                          ///< ends what is in flight, without events
  UringBackend(const UringBackend&) = delete;
  UringBackend& operator=(const UringBackend&) = delete;

  [[nodiscard]] Instant now() const noexcept { return now_; }
  [[nodiscard]] Duration wall() const noexcept { return wall_now(); }

  void accept_start(Token token, int fd);
  bool accept_stop(Token token, int fd) { return stop(token, fd, Op::accept); }
  [[nodiscard]] int accept_now(Token token, int fd);
  void recv_start(Token token, int fd);
  bool recv_pause(Token token, int fd) { return stop(token, fd, Op::recv); }
  [[nodiscard]] SendStatus send(Token token, int fd, std::span<const iovec> iov,
                                SendHint hint = SendHint::usual);
  void watch_start(Token token, int fd);
  void watch_stop(Token token, int fd);
  void half_close(int fd) { ::shutdown(fd, SHUT_WR); }
  void abort(int fd) { ::shutdown(fd, SHUT_RDWR); }
  void close(Token token, int fd);
  void release(Token token, int fd);
  [[nodiscard]] int unread(int fd);
  /// Does the next wait that may sleep for long go on until several events have come?
  [[nodiscard]] bool gathers() const noexcept { return gathering_.events() > 1 && ticks_ == Ticks::come; }
  /// Such waits that were over before.
  [[nodiscard]] uint64_t waits_in_vain() const noexcept { return waits_in_vain_; }
  [[nodiscard]] uint64_t progress(int fd) const { return send_progress(fd); }

  template <class Sink>
  void wait(Instant until, Sink&& sink);

 private:
  static constexpr int kSendFlags =
      MSG_NOSIGNAL | MSG_WAITALL;  // the kernel itself goes on after a short send

  static constexpr uint64_t kTick = pack(Token{.kind = 1});  // no operation has this name

  /// Where a subscription is. All but `armed` and `cancelling` mean that the kernel does not have it.
  enum class State : uint8_t {
    unarmed,  // a multishot that ended by itself, to be armed again when the sink returns
    armed,
    starved,     // ended for want of buffers, to be armed again when some were recycled
    cancelling,  // its last event is on the way
  };

  /// The timeout that bounds waits for several events. One that is to be removed bounds nothing, even if it
  /// still comes.
  enum class Ticks : uint8_t { none, asked_for, come, to_be_removed };

  /// What is known about the descriptor in a slot; -1 when none was started. Addresses move when the table
  /// grows.
  struct Slot {
    /// As the kernel knows the subscription, until its end was reported: `op` says which it is, and in place
    /// of the caller's `kind` is a number that changes with each arming, so that completions of the one
    /// before are known.
    Token token{};
    int fd = -1;
    uint32_t send = PendingSends::kNone;
    State state = State::unarmed;
    uint8_t kind = 0;  // the caller's
    bool listening : 1 = false;
    bool fed : 1 = false;    // bytes came since it was armed
    bool fresh : 1 = false;  // a connection that nothing was received from
    Gathering::Mark heard = 0;
  };

  struct Ring {
    explicit Ring(const UringOptions& options);
    ~Ring() { io_uring_queue_exit(&raw); }
    Ring(const Ring&) = delete;
    Ring& operator=(const Ring&) = delete;
    io_uring raw{};
  };

  Slot& bind(Token token, int fd);
  static void forget(Slot& slot) noexcept { slot = Slot{.token = {.kind = slot.token.kind}}; }
  [[nodiscard]] Slot* find(Token token) noexcept { return slots_.find(token); }
  /// The slot whose subscription a completion of this name belongs to.
  [[nodiscard]] Slot* find_standing(uint64_t name) noexcept {
    Slot* slot = find(unpack(name));
    return slot != nullptr && pack(slot->token) == name ? slot : nullptr;
  }
  /// The caller's token, of an event.
  [[nodiscard]] static Token name_for_caller(const Slot& slot, Op op) noexcept {
    return {.slot = slot.token.slot, .generation = slot.token.generation, .kind = slot.kind, .op = op};
  }
  void subscribe(Token token, int fd, Op op);
  void arm(Slot& slot);
  void arm_recv(io_uring_sqe* entry, Slot& slot);
  void arm_late();
  void cancel(Slot& slot);
  bool stop(Token token, int fd, Op op);
  void submit_send(int fd, PendingSend& send, int more_flags = 0);
  [[nodiscard]] bool continue_send(int fd, PendingSend& send, int32_t result);
  [[nodiscard]] static bool is_passing(Op op, int32_t result) noexcept;
  void retry(Slot& slot, int32_t result);
  [[nodiscard]] io_uring_sqe* next_entry();
  void enter(Instant until);
  void ask_for_ticks();
  void remove_ticks();
  void on_tick(int32_t result, bool more);
  void end_turn();
  void feed_starved();
  void cancel_all() noexcept;

  template <class Sink>
  void dispatch(const io_uring_cqe& entry, Sink& sink);
  template <class Sink>
  void on_buffers(const io_uring_cqe& entry, Sink& sink);
  template <class Sink>
  void on_bytes(uint64_t name, bool more, std::span<const std::byte> bytes, Sink& sink);
  template <class Sink>
  void on_standing(uint64_t name, int32_t result, bool more, Sink& sink);
  template <class Sink>
  void on_sent(Token name, int32_t result, Sink& sink);
  template <class Sink>
  void on_lost(uint64_t name, Sink& sink);
  template <class Sink>
  void end(Slot& slot, int32_t result, Sink& sink);

  Ring ring_;
  Instant now_;
  UringBuffers buffers_;
  DescriptorSlots<Slot> slots_;
  PendingSends sends_;
  std::vector<Token> starved_;
  std::vector<Token> late_;  // ended by themselves, to be armed before the next sleep
  Gathering gathering_;
  Instant turn_before_;       // when it began
  unsigned sends_begun_ = 0;  // since the last enter
  unsigned wanted_ = 1;       // completions that it was for
  uint64_t waits_in_vain_ = 0;
  Ticks ticks_ = Ticks::none;
  unsigned dispatched_ = 0;  // completions of this turn, which the ring still holds
};

template <class Sink>
void UringBackend::wait(Instant until, Sink&& sink) {
  enter(until);
  // Those that are there now: the kernel adds some only where it is entered, and what a sink's starts make it
  // add can wait for the next turn.
  const io_uring_cq& queue = ring_.raw.cq;
  const io_uring_cqe* const entries = queue.cqes;  // of 16 bytes each: the ring is not set up with CQE32
  const unsigned mask = queue.ring_mask;
  const unsigned head = *queue.khead;
  const unsigned count = io_uring_smp_load_acquire(queue.ktail) - head;
  while (dispatched_ < count) dispatch(entries[(head + dispatched_++) & mask], sink);
  io_uring_cq_advance(&ring_.raw, count);
  dispatched_ = 0;
  end_turn();
}

template <class Sink>
void UringBackend::dispatch(const io_uring_cqe& entry, Sink& sink) {
  const bool more = (entry.flags & IORING_CQE_F_MORE) != 0;
  if ((entry.flags & IORING_CQE_F_BUFFER) != 0) {
    on_buffers(entry, sink);
    if (entry.res > 0) return;
  }
  switch (unpack(entry.user_data).op) {
    case Op::recv:
    case Op::accept:
    case Op::watch: return on_standing(entry.user_data, entry.res, more, sink);
    case Op::send: return on_sent(unpack(entry.user_data), entry.res, sink);
    case Op::none:
      if (entry.user_data == kTick) on_tick(entry.res, more);
      return;  // a cancel or a close that failed: its target had ended
  }
}

/// A bundle fills several buffers in the order of the ring; each is an event.
template <class Sink>
void UringBackend::on_buffers(const io_uring_cqe& entry, Sink& sink) {
  const uint64_t name = entry.user_data;
  auto buffer = static_cast<uint16_t>(entry.flags >> IORING_CQE_BUFFER_SHIFT);
  int32_t left = entry.res;
  if (left > 0 && left <= buffers_.capacity()) [[likely]] {
    const auto more = (entry.flags & IORING_CQE_F_MORE) != 0;
    on_bytes(name, more, buffers_.bytes(buffer, left), sink);
    return buffers_.recycle(buffer);
  }
  do {
    const int32_t size = std::min(left, buffers_.capacity());
    const uint16_t next = buffers_.after(buffer);
    left -= size;
    if (size > 0) {
      const bool more = left > 0 || (entry.flags & IORING_CQE_F_MORE) != 0;
      on_bytes(name, more, buffers_.bytes(buffer, size), sink);
    }
    buffers_.recycle(buffer);
    buffer = next;
  } while (left > 0);
}

template <class Sink>
void UringBackend::on_bytes(uint64_t name, bool more, std::span<const std::byte> bytes, Sink& sink) {
  Slot* slot = find_standing(name);
  if (slot == nullptr) return;
  slot->fed = true;
  gathering_.on_receive(slot->heard);
  if (!more && slot->state == State::armed) slot->state = State::unarmed;
  sink(Event{name_for_caller(*slot, Op::recv), static_cast<int32_t>(bytes.size()), false, bytes});
  if (!more) on_lost(name, sink);
}

/// Everything of a subscription but received bytes.
template <class Sink>
[[gnu::noinline]] void UringBackend::on_standing(uint64_t name, int32_t result, bool more, Sink& sink) {
  const Op op = unpack(name).op;
  Slot* slot = find_standing(name);
  if (slot == nullptr) {
    if (op == Op::accept && result >= 0) ::close(result);
    return;
  }
  const bool cancelling = slot->state == State::cancelling;
  if (!more && !cancelling) slot->state = State::unarmed;
  if (op != Op::recv && result >= 0) {
    sink(Event{name_for_caller(*slot, op), op == Op::watch ? 1 : result, false, {}});
    if (!more) on_lost(name, sink);
    return;
  }
  if (!is_passing(op, result)) return end(*slot, result, sink);
  if (cancelling) return end(*slot, -ECANCELED, sink);
  retry(*slot, result);
}

/// A multishot has ended by itself, and the sink has returned from its last completion.
template <class Sink>
[[gnu::noinline]] void UringBackend::on_lost(uint64_t name, Sink& sink) {
  Slot* slot = find_standing(name);
  if (slot == nullptr) return;
  // Not at once: what this turn makes of the bytes may be that no more are wanted.
  if (slot->state == State::unarmed) return late_.push_back(slot->token);
  if (slot->state == State::cancelling) end(*slot, -ECANCELED, sink);
}

template <class Sink>
void UringBackend::end(Slot& slot, int32_t result, Sink& sink) {
  const Token token = name_for_caller(slot, slot.token.op);
  slot.token.op = Op::none;
  slot.state = State::unarmed;
  sink(Event{token, result, true, {}});
}

template <class Sink>
void UringBackend::on_sent(Token name, int32_t result, Sink& sink) {
  Slot* slot = find(name);
  if (slot == nullptr || slot->send == PendingSends::kNone) return;
  PendingSend& send = sends_[slot->send];
  if (!continue_send(slot->fd, send, result)) return;
  const int32_t sent = send.result();
  sends_.give(slot->send);
  slot->send = PendingSends::kNone;
  sink(Event{name_for_caller(*slot, Op::send), sent, true, {}});
}

}  // namespace lastcall
