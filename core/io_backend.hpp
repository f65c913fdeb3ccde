#pragma once

#include <sys/uio.h>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>

#include <lastcall/core/time.hpp>
#include <lastcall/core/token.hpp>

namespace lastcall {

/// One thing that happened to one descriptor.
struct Event {
  Token token;     ///< as given at the start call, `op` filled in
  int32_t result;  ///< accept: the new descriptor; recv: byte count, 0 at end of stream; send: bytes sent; or
                   ///< -errno
  bool last;       ///< the operation has ended: no further event for it, its memory may be freed
  std::span<const std::byte> bytes;  ///< recv only; lent until the sink returns
};

/// What `send` did at once. Not pending: `result` is final and no event follows.
struct SendStatus {
  int32_t result;
  bool pending;
};

/// What is known of a send beyond its bytes; it may be ignored.
enum class SendHint : uint8_t {
  usual,
  last,  ///< half_close() or close() follows its end at once: the bytes may wait for that, to go in one packet
};

/// The I/O of one reactor: accepting and receiving are standing subscriptions, sending is a one-shot that
/// borrows the caller's memory until it ends. Bound at compile time; used from one thread; three
/// implementations (EpollBackend, UringBackend, and the simulated one in tests) are held to the same contract
/// suite.
///
///   now()                    cached monotonic time of this turn of the loop
///   wall()                   time since 1970 UTC, read afresh
///   accept_start(token, fd)  events: result = a new connection's descriptor, or -EMFILE, -ENFILE, -ENOBUFS,
///   -ENOMEM,
///                            -EAGAIN with `last` (start again after a pause); transient errors are retried
///                            inside
///   accept_stop(token, fd)   ends the subscription. True: ended at once, no event follows. False: its last
///   event
///                            follows, and completions before it are real connections
///   accept_now(token, fd)    one connection out of the queue without waiting, or -EAGAIN; also while
///                            the subscription lasts
///   recv_start(token, fd)    events: bytes; then last with result 0 (end of stream) or
///   -errno recv_pause(token, fd)    ends the subscription: true at once, false with a last event
///   (-ECANCELED) to come, maybe
///                            after bytes that were already on their way
///   send(token, fd, iov, hint)  at most kMaxSendSegments; whole or pending. The memory stays the caller's
///   and must live
///                            until the send has ended. A result smaller than the total means the connection
///                            broke
///   watch_start(token, fd)   an eventfd: one event (result 1) after each write or few writes; never read,
///   never last
///                            before watch_stop
///   watch_stop(token, fd)    ends it, at once
///   half_close(fd)           shutdown(SHUT_WR): the peer sees end of stream after what was sent
///   abort(fd)                shutdown(SHUT_RDWR): started operations end, with their last events
///   close(token, fd)         releases the descriptor; nothing may be in flight on it
///   release(token, fd)       as close, but the descriptor stays open, for somebody else
///   unread(fd)               bytes that have come and no sink has seen: in the socket's receive queue
///   (FIONREAD),
///                            or in completions of this turn
///   progress(fd)             a number that changes whenever the peer takes bytes (for write timeouts)
///   wait(until, sink)        submits what was started, sleeps until an event or `until`, calls sink(Event)
///   for each;
///                            where they come fast it may let some wait for others, a millisecond at most,
///                            and return without any
///
/// The seven laws: (1) every started operation ends exactly once, inline by a return value or with one `last`
/// event, and only that frees memory; (2) bytes are lent until the sink returns; (3) no call but wait()
/// invokes the sink; (4) one send in flight a token; (5) a pause is advisory: what was queued may still
/// arrive; (6) EINTR, EAGAIN, ENOBUFS of the buffer ring, a multishot that ended by itself, and short sends
/// never leave a backend; (7) an event whose generation is stale is dropped, and its buffer recycled.
template <class B>
concept IoBackend = requires(B io, Token token, int fd, std::span<const iovec> iov, Instant until,
                             void (*sink)(const Event&)) {
  { io.now() } -> std::same_as<Instant>;
  { io.wall() } -> std::same_as<Duration>;
  { io.accept_start(token, fd) } -> std::same_as<void>;
  { io.accept_stop(token, fd) } -> std::same_as<bool>;
  { io.accept_now(token, fd) } -> std::same_as<int>;
  { io.recv_start(token, fd) } -> std::same_as<void>;
  { io.recv_pause(token, fd) } -> std::same_as<bool>;
  { io.send(token, fd, iov, SendHint()) } -> std::same_as<SendStatus>;
  { io.watch_start(token, fd) } -> std::same_as<void>;
  { io.watch_stop(token, fd) } -> std::same_as<void>;
  { io.half_close(fd) } -> std::same_as<void>;
  { io.abort(fd) } -> std::same_as<void>;
  { io.close(token, fd) } -> std::same_as<void>;
  { io.release(token, fd) } -> std::same_as<void>;
  { io.unread(fd) } -> std::same_as<int>;
  { io.progress(fd) } -> std::same_as<uint64_t>;
  { io.wait(until, sink) } -> std::same_as<void>;
  { B::kName } -> std::convertible_to<const char*>;
};

inline constexpr size_t kMaxSendSegments = 4;

}  // namespace lastcall
