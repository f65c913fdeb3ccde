#pragma once

#include <atomic>
#include <cstdint>

#include <lastcall/shutdown/control.hpp>

namespace lastcall {

/// Of a counter that another thread may be writing.
inline uint64_t load(const std::atomic<uint64_t>& counter) noexcept {
  return counter.load(std::memory_order_relaxed);
}

/// What a reactor still holds. active and idle alone do not tell: a connection that moves from one to the
/// other between the two reads is in neither. accepted stands still once draining is acknowledged and the
/// ends only grow, so their difference never reads zero too early.
inline uint64_t unended(const ReactorCounters& counters) noexcept {
  uint64_t ended = load(counters.idle_closed) + load(counters.completed) + load(counters.handed_over) +
                   load(counters.aborted);
  uint64_t accepted = load(counters.accepted);
  return accepted > ended ? accepted - ended : 0;
}

}  // namespace lastcall
