#pragma once

#include <algorithm>
#include <cstdint>

#include <lastcall/core/time.hpp>

namespace lastcall {

/// How many events a busy reactor lets come together before it is woken for them: a wake-up costs a system
/// call and a change of context, whatever it brings. Decided anew for each millisecond by the one before.
/// There is no waiting for more than one event but where the reactor has little time left to sleep, so that
/// nobody waits only to spare what nobody else wants; where as many come soon; and where they can: those that
/// wait for each other never come together, so it is for an eighth of the connections at most. Pure; owner
/// thread only.
class Gathering {
 public:
  static constexpr Duration kWindow = 1ms;
  static constexpr Duration kPatience = 120us;    ///< in which so many came before
  static constexpr uint32_t kLeastReceives = 50;  ///< in a window
  static constexpr uint32_t kLeastEvents = 6;     ///< fewer cost more in sleeps than they save
  static constexpr uint32_t kMostEvents = 8;
  static constexpr int kBusyPercent = 65;       ///< of a window, to begin …
  static constexpr int kStillBusyPercent = 55;  ///< … and to go on, with what is saved by it
  static constexpr Duration kRest = 100ms;      ///< without, where those that were waited for did not come

  /// Kept for each connection: when it was last heard of.
  using Mark = uint8_t;

  /// `always`: so many whatever comes; 0: as described.
  explicit Gathering(uint32_t always = 0) noexcept : always_(always), events_(std::max(always, 1U)) {}

  void on_receive(Mark& mark) noexcept {
    ++receives_;
    if (mark == window_) return;
    mark = window_;
    ++connections_;
  }
  /// At the end of each turn; `now` is when it began, cpu() the thread's CPU time.
  template <class Cpu>
  void on_turn(Instant now, Cpu&& cpu) noexcept {
    if (now - began_ < kWindow) [[likely]]
      return;
    const Duration length = now - began_;
    const bool fast = length <= receives_ * kWindow / kLeastReceives;
    decide(now, length, fast && always_ == 0 ? cpu() : kUnknown);
  }
  /// A wait ended before the events had come, so long after the turn before it began.
  void on_missing(Instant now, Duration waited) noexcept {
    if (always_ != 0 || waited < 2 * kPatience) return;
    events_ = 1;
    rests_until_ = std::max(rests_until_, now + kRest);
  }
  /// From here on there is no waiting for more than one.
  void refuse() noexcept {
    always_ = 0;
    events_ = 1;
    rests_until_ = kNever;
  }
  /// To wait for; 1: for whatever comes first.
  [[nodiscard]] uint32_t events() const noexcept { return events_; }

 private:
  static constexpr Duration kUnknown = Duration::min();

  void decide(Instant now, Duration length, Duration cpu) noexcept {
    const bool known = cpu != kUnknown && cpu_began_ != kUnknown;
    const int percent = events_ > 1 ? kStillBusyPercent : kBusyPercent;
    const bool busy = known && (cpu - cpu_began_) * 100 >= length * percent;
    if (always_ == 0) events_ = busy && now >= rests_until_ ? events_after(length) : 1;
    began_ = now;
    cpu_began_ = cpu;
    ++window_;
    receives_ = connections_ = 0;
  }
  [[nodiscard]] uint32_t events_after(Duration length) const noexcept {
    const auto in_time = static_cast<uint32_t>(receives_ * kPatience / length);
    const uint32_t events = std::min({in_time, connections_ / 8, kMostEvents});
    return events < kLeastEvents ? 1 : events;
  }

  uint32_t always_;
  uint32_t events_;
  Instant began_{};
  Instant rests_until_{};
  Duration cpu_began_ = kUnknown;
  uint32_t receives_ = 0;     // in this window
  uint32_t connections_ = 0;  // that they came from
  Mark window_ = 1;
};

}  // namespace lastcall
