#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace lastcall::test {

/// Faults that the simulated world commits on purpose, to show that its invariants would see them. Each
/// stands at the seam (in the backend, the runner or the counters), where it looks like the bug in the server
/// that it is named after.
enum class Bug : uint8_t {
  none,
  late_accepts,      ///< connections whose accept completes after the cancel are dropped
  queue_drain,       ///< a listener is closed over its accept queue
  readable_bytes,    ///< an idle connection is closed over readable bytes
  forgotten_count,   ///< one connection that ended is counted nowhere
  double_count,      ///< one connection that ended is counted twice
  lost_last,         ///< one operation never ends
  double_last,       ///< one operation ends twice
  short_send,        ///< a part of an answer is taken for all of it
  wrong_connection,  ///< bytes of one connection are received on another
  lost_broadcast,    ///< a reactor misses the broadcast
  early_stop,        ///< the stop is over while connections are open
  oversleep,         ///< the runner wakes up late for its deadline
  lost_report,       ///< the report leaves out what was aborted
  no_grace,          ///< idle connections get no grace
  deaf_to_force,     ///< a second signal has no effect
  leak,              ///< a buffer stays lent
  kCount,
};

[[nodiscard]] std::string_view to_string(Bug bug);
[[nodiscard]] std::optional<Bug> parse_bug(std::string_view name);

}  // namespace lastcall::test
