#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include <lastcall/core/time.hpp>
#include <lastcall/shutdown/turned_away.hpp>

namespace lastcall {

/// Counts who is turned away, and says so in the log: at most one line a reason in kInterval, with how many
/// there were since the line before. One a reactor, its thread only.
class TurnAwayLog {
 public:
  static constexpr Duration kInterval = 5s;

  explicit TurnAwayLog(TurnedAwayCounters& counters) noexcept : counters_(counters) {}
  /// True: a line is due, which told() writes; a peer's name costs memory and need not be known else.
  [[nodiscard]] bool count(TurnedAway reason, Instant now) noexcept;
  /// `event=turned_away reason= peer= why= count=`.
  void told(TurnedAway reason, std::string_view peer, std::string_view why) noexcept;

 private:
  struct Kind {
    Instant due{};
    uint64_t untold = 0;
  };
  TurnedAwayCounters& counters_;
  std::array<Kind, kTurnedAwayReasons> kinds_{};
};

}  // namespace lastcall
