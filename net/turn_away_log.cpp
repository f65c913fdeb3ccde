#include <utility>

#include <lastcall/core/log.hpp>
#include <lastcall/net/turn_away_log.hpp>

namespace lastcall {

bool TurnAwayLog::count(TurnedAway reason, Instant now) noexcept {
  std::atomic<uint64_t>& counter = counters_[static_cast<size_t>(reason)];
  counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  Kind& kind = kinds_[static_cast<size_t>(reason)];
  ++kind.untold;
  if (now < kind.due) return false;
  kind.due = now + kInterval;
  return true;
}

void TurnAwayLog::told(TurnedAway reason, std::string_view peer, std::string_view why) noexcept {
  const uint64_t count = std::exchange(kinds_[static_cast<size_t>(reason)].untold, 0);
  log_event(LogLevel::warning, "turned_away",
            {{"reason", to_string(reason)}, {"peer", peer}, {"why", why}, {"count", count}});
}

}  // namespace lastcall
