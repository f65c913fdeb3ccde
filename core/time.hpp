#pragma once

#include <chrono>
#include <cstdint>

namespace lastcall {

/// Names the monotonic time line; deliberately without now(): only a backend (or the runner) reads a clock.
struct MonotonicClock {
  /// @{
  /// Nanoseconds; the epoch is CLOCK_MONOTONIC's.
  using duration = std::chrono::nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<MonotonicClock, duration>;
  static constexpr bool is_steady = true;
  /// @}
};

using Duration = std::chrono::nanoseconds;  ///< every time-out and wait
using Instant =
    MonotonicClock::time_point;  ///< on the monotonic time line, whatever happens to the wall clock
using namespace std::chrono_literals;

inline constexpr Instant kNever = Instant::max();  ///< the instant of what is not due

/// Whole milliseconds, rounded down.
[[nodiscard]] constexpr int64_t to_ms(Duration duration) noexcept {
  return std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
}

/// `base + delta` that saturates at kNever, so that "no limit" durations can be added safely.
[[nodiscard]] constexpr Instant after(Instant base, Duration delta) noexcept {
  return base > kNever - delta ? kNever : base + delta;
}

}  // namespace lastcall
