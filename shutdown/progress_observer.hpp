#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <lastcall/core/time.hpp>
#include <lastcall/shutdown/control.hpp>
#include <lastcall/shutdown/progress_terminal.hpp>
#include <lastcall/shutdown/progress_timeline.hpp>
#include <lastcall/shutdown/progress_view.hpp>
#include <lastcall/shutdown/report.hpp>

namespace lastcall {

/// Looks at the reactors' counters while a stop lasts, for people: samples for the report, bars on a
/// terminal, else lines in the log. The runner's thread only. Before the first enter() it asks for no time.
class ProgressObserver {
 public:
  /// Where the stop is, as the coordinator has it.
  struct Moment {
    Phase phase = Phase::running;
    Duration elapsed{};  ///< since the request to stop
    Duration allowed{};  ///< from the request to the deadline
    Instant now{};
  };

  explicit ProgressObserver(const StopControl& control) : control_(control) {}

  /// When look() is to be called at the latest.
  [[nodiscard]] Instant next_due() const noexcept;

  /// A phase begins; call it before the reactors are told.
  void enter(const Moment& moment);
  /// Takes a sample and redraws the bars, where they are due.
  void look(const Moment& moment);
  /// Writes `drain_progress`, unless there are bars.
  void log_progress(Instant now) const;
  /// The stop is over: the bars are replaced by the outcome. Returns the samples.
  [[nodiscard]] std::vector<TimelineSample> finish(const Moment& moment);

  struct Totals {
    uint64_t active = 0;
    uint64_t idle = 0;
  };
  [[nodiscard]] Totals totals() const noexcept;

 private:
  struct Beginning {  // a reactor's counters when the stop began
    uint64_t open, accepted, completed, idle_closed, handed_over, aborted;
  };

  void begin(Instant now);
  [[nodiscard]] TimelineSample sample(Duration elapsed) const noexcept;
  [[nodiscard]] std::optional<OldestRequest> oldest(Instant now) const;
  [[nodiscard]] StopProgress progress(const Moment& moment);
  [[nodiscard]] std::vector<ReactorOutcome> outcome() const;

  const StopControl& control_;
  Timeline timeline_;
  ProgressTerminal terminal_;
  std::vector<Beginning> beginnings_;  // empty until a stop begins
  std::vector<uint64_t> began_;        // what the bars are measured against, a reactor each
};

}  // namespace lastcall
