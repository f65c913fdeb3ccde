#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <lastcall/core/time.hpp>
#include <lastcall/shutdown/phase.hpp>

namespace lastcall {

/// A request that has waited longest for its answer to be complete.
struct OldestRequest {
  std::string route;            ///< the route's pattern; empty where it is not known
  std::optional<Duration> age;  ///< since its first byte; unknown where only the running handler is
};

/// How far one reactor is.
struct ReactorProgress {
  uint64_t active = 0;
  uint64_t idle = 0;
  uint64_t began = 0;     ///< what was open when the drain began, or later if that was more
  std::string held_by{};  ///< route of the handler that keeps it from taking part in the stop, else empty
};

/// What people see of a stop at one instant.
struct StopProgress {
  Phase phase = Phase::draining;
  Duration elapsed{};  ///< since the request to stop
  Duration allowed{};  ///< from the request to the deadline
  uint64_t aborted = 0;
  std::vector<ReactorProgress> reactors{};
  std::optional<OldestRequest> oldest{};
};

/// What became of one reactor's connections in the stop.
struct ReactorOutcome {
  uint64_t began = 0;     ///< open when the stop began
  uint64_t accepted = 0;  ///< since then
  uint64_t completed = 0;
  uint64_t idle_closed = 0;
  uint64_t handed_over = 0;
  uint64_t aborted = 0;
};

struct TerminalSize {
  uint32_t columns = 80;
  uint32_t rows = 24;
};

/// The stop as lines for a terminal: where it is, one bar a reactor (`#` active, `-` idle, `.` gone, against
/// what it began with), the oldest request. ASCII without control characters. No line is as long as the
/// terminal is wide, so nothing wraps; there are fewer lines than it has rows (at least one): reactors that
/// find no room are summed up in one. Pure.
[[nodiscard]] std::vector<std::string> render_progress(const StopProgress& progress, TerminalSize size);

/// What takes the place of the bars at the end: one line a reactor, in the same bounds.
[[nodiscard]] std::vector<std::string> render_outcome(const std::vector<ReactorOutcome>& reactors,
                                                      TerminalSize size);

/// "#####---....": each count that is not zero has at least one cell, as far as `cells` go.
[[nodiscard]] std::string render_bar(uint64_t active, uint64_t idle, uint64_t began, size_t cells);

}  // namespace lastcall
