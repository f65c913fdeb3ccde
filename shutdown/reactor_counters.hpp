#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include <lastcall/core/time.hpp>
#include <lastcall/shutdown/turned_away.hpp>

namespace lastcall {

/// The handler that a reactor is in. Constant while it runs; valid as long as the reactor.
struct RunningHandler {
  const char* route = nullptr;   ///< its pattern
  const char* method = nullptr;  ///< "GET"
  int fd = -1;                   ///< of the connection
  Instant began{};               ///< when the head of its request was complete
};

inline constexpr size_t kAnswerClasses = 5;  ///< of status codes: 1xx to 5xx

/// What one reactor tells the world. Written by its reactor alone (relaxed), read by anyone; on cache lines
/// of its own. Every accepted connection is counted in exactly one of idle_closed, completed, handed_over and
/// aborted when it ends.
struct alignas(128) ReactorCounters {
  std::atomic<uint64_t> accepted{0};
  std::atomic<uint64_t> accepted_while_stopping{0};  ///< of those, after draining began
  std::atomic<uint64_t> idle_closed{0};              ///< closed by us between two requests
  std::atomic<uint64_t> completed{0};                ///< ended in order, or by the peer
  std::atomic<uint64_t> handed_over{0};              ///< lives on in the process that replaces this one
  std::atomic<uint64_t> aborted{0};                  ///< cut off by us with an exchange unfinished
  std::atomic<uint64_t> active{0};         ///< open, with at least one byte of a request not fully answered
  std::atomic<uint64_t> idle{0};           ///< open, between requests (or silent so far)
  std::atomic<uint64_t> late_requests{0};  ///< bytes arrived after an idle close had begun
  std::array<std::atomic<uint64_t>, kAnswerClasses> answers{};  ///< begun, by the class of their status
  std::atomic<uint64_t> bytes_sent{0};                          ///< of them, handed to the kernel
  std::atomic<const RunningHandler*> handler{nullptr};          ///< that runs right now, or nullptr
  /// The oldest request that is not answered in full: when its first byte came, in nanoseconds of the
  /// monotonic clock, and the pattern of its route (nullptr: none, or the head is not complete). For people;
  /// the reactor need only keep the two up to date while draining, several times a second. 0: none, or not
  /// told.
  std::atomic<int64_t> oldest_since_ns{0};
  std::atomic<const char*> oldest_route{nullptr};
  /// How late its loop was of late (LoopLag), and when it will next tell, in nanoseconds of the monotonic
  /// clock; 0: it does not measure, or has left.
  std::atomic<int64_t> lag_ns{0};
  std::atomic<int64_t> beat_due_ns{0};
  TurnedAwayCounters turned_away{};
};

/// Adds to one of them: the reactor is the only writer, so a plain load and store are enough.
inline void add_to(std::atomic<uint64_t>& counter, uint64_t delta) noexcept {
  counter.store(counter.load(std::memory_order_relaxed) + delta, std::memory_order_relaxed);
}

}  // namespace lastcall
