#pragma once

#include <algorithm>
#include <utility>

#include <lastcall/core/time.hpp>
#include <lastcall/shutdown/reactor_counters.hpp>

namespace lastcall {

/// How late a loop comes to a timer of its own that is due every 50 ms. What keeps it is what keeps everybody
/// on it waiting. The worst of the last second or two, so that whoever looks once a second misses none.
class LoopLag {
 public:
  static constexpr Duration kBeat = 50ms;
  static constexpr Duration kWindow = 1s;

  /// The beat that was due at `due` has come; returns the lag as it is now. `now` never goes back.
  [[nodiscard]] Duration beat(Instant due, Instant now) noexcept {
    if (now >= window_ends_) {
      before_ = std::exchange(worst_, Duration::zero());
      window_ends_ = after(now, kWindow);
    }
    worst_ = std::max(worst_, now - due);
    return std::max(worst_, before_);
  }

 private:
  Instant window_ends_{};
  Duration worst_{};   // of this window
  Duration before_{};  // of the window before
};

/// The same as others see it, also of a loop that is stuck right now.
[[nodiscard]] inline Duration loop_lag(const ReactorCounters& counters, Instant now) noexcept {
  const Duration due(counters.beat_due_ns.load(std::memory_order_relaxed));
  const Duration told(counters.lag_ns.load(std::memory_order_relaxed));
  return due == Duration::zero() ? told : std::max(told, now.time_since_epoch() - due);
}

}  // namespace lastcall
