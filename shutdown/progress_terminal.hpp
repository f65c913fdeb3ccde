#pragma once

#include <string>
#include <vector>

#include <lastcall/core/time.hpp>
#include <lastcall/shutdown/progress_view.hpp>

namespace lastcall {

/// The bars below the log, redrawn in place while a stop lasts. For the runner's thread; never waits for the
/// terminal: a picture that finds no room is left out.
class ProgressTerminal {
 public:
  static constexpr Duration kRedrawInterval = 100ms;

  /// Does something only where standard error is a terminal that understands escape sequences and the log is
  /// text of level info or more: where the drain_progress lines would be seen by a person.
  static bool is_useful() noexcept;

  /// The first picture comes one interval later: most stops are over before.
  void start(Instant now) noexcept { due_ = after(now, kRedrawInterval); }
  /// kNever when not started.
  [[nodiscard]] Instant next_due() const noexcept { return due_; }
  [[nodiscard]] bool on() const noexcept { return due_ != kNever; }

  /// Draws if it is due.
  void draw(const StopProgress& progress, Instant now);
  /// Takes the bars off, leaves the outcome in their place if there were any, and is off from here on.
  void finish(const std::vector<ReactorOutcome>& outcome);

 private:
  Instant due_ = kNever;
  bool drawn_ = false;
};

}  // namespace lastcall
