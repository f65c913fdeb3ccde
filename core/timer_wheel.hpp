#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include <lastcall/core/time.hpp>

namespace lastcall {

/// An intrusive timer: lives inside what it times, armed in at most one wheel. Who arms it, destroys it
/// disarmed.
struct Timer {
  Timer* next = nullptr;
  Timer* previous = nullptr;
  int64_t due_tick = 0;  ///< milliseconds since the wheel began; meaningful while armed
  uint32_t slot = 0;     ///< the owner's, for the sink
  uint16_t kind = 0;     ///< the owner's, for the sink
  uint8_t level = 0;     ///< the wheel's
  uint8_t index = 0;     ///< the wheel's

  [[nodiscard]] bool armed() const noexcept { return next != nullptr; }
};

/// Hierarchical timer wheel, 1 ms ticks: arm and cancel are O(1) and allocate nothing; finding the next due
/// instant is a few bit scans. A timer never fires early; it fires at the first advance() at or past its
/// instant, rounded up to the tick. Timers beyond the horizon (about 49 days) wait at the horizon and are
/// re-filed. Belongs to one thread.
class TimerWheel {
 public:
  explicit TimerWheel(Instant start);
  ~TimerWheel();
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;

  /// Arms, or moves an armed timer. An instant in the past fires at the next advance().
  void arm(Timer& timer, Instant due) noexcept;
  /// Does nothing to a timer that is not armed.
  void cancel(Timer& timer) noexcept;

  /// No later than the earliest armed timer, kNever when none is armed. May be earlier (when far timers must
  /// be re-filed first), never later.
  [[nodiscard]] Instant next_due() const noexcept;

  /// Takes out each timer due at `now` and calls fire(Timer&), in due order by tick. fire may arm and cancel
  /// any timer, including its own; a timer that fire arms at or before `now` fires in the next advance(). A
  /// timer armed in the past counts as due at the tick of the arming. Not to be called from fire.
  template <class Fire>
  void advance(Instant now, Fire&& fire) {
    collect(now);
    while (Timer* timer = take_due()) fire(*timer);
  }

  /// When a timer that was armed fires at the earliest: its instant, rounded up to the tick. Also right after
  /// it has fired.
  [[nodiscard]] Instant due(const Timer& timer) const noexcept {
    return start_ + std::chrono::milliseconds(timer.due_tick);
  }

  [[nodiscard]] size_t size() const noexcept { return size_; }

 private:
  struct Wheel;
  void collect(Instant now) noexcept;        // moves due timers to the due list, in order
  [[nodiscard]] Timer* take_due() noexcept;  // unlinks the first of the due list
  std::unique_ptr<Wheel> wheel_;
  Instant start_;
  size_t size_ = 0;
};

}  // namespace lastcall
