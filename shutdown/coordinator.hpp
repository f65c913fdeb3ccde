#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include <lastcall/core/time.hpp>
#include <lastcall/shutdown/phase.hpp>
#include <lastcall/shutdown/report.hpp>
#include <lastcall/shutdown/stop_options.hpp>

namespace lastcall {

/// The policy of a stop as a pure state machine: what happened and when go in, what to do comes out. It has
/// no clock, thread or descriptor; Runner feeds it, tests drive it through time by hand.
///
///   running → announcing   a stop was requested, announce > 0 and not skipped
///           → draining     announce is over, or at once
///           → forcing      `force_margin` before the deadline, or at once on a force
///           → stopped      everyone acknowledged the phase and nothing is open; or just before the deadline
///           → finish       everyone acknowledged stopped; or 4/9 of the time from the latest `stopped` to
///           the
///                          deadline is left, but not within 10 ms of stopped: whoever did not is stuck
///
/// The plan of a stop requested at T, with D = max(deadline, 20 ms):
///   deadline  T + D;
///   forcing   M before it, M = force_margin, or D / 2 where force_margin is not below D; at least min(100
///   ms, D / 2); stopped   min(180 ms, M / 2) before it at the latest, so that reactors can still leave in
///   order (100 ms of that) and the report be written (80 ms); announce  is cut short where it would reach
///   past forcing.
/// A later request changes the plan only where it makes it shorter. A force moves the deadline to M (at least
/// 100 ms) from now, if that is earlier: whoever asks twice does not wait out the first deadline for a stuck
/// reactor.
class Coordinator {
 public:
  struct StopRequested {
    StopOptions options;
    std::string reason;  ///< "SIGTERM"; the first one names the stop
    bool skip_announce = false;
  };
  struct ForceRequested {  ///< ignored unless a stop is under way
    std::string why = "second signal";
  };
  struct Acknowledged {
    uint32_t reactor = 0;
    Phase phase = Phase::running;
  };
  /// Read them after the acknowledgements of the same step: a zero then holds for good.
  struct Counts {
    std::vector<uint64_t> open;  ///< connections, one entry a reactor
    uint64_t tasks = 0;          ///< background tasks still running; a stop waits for them as for connections
  };
  struct Aborted {};     ///< an exchange was cut off
  struct TaskFailed {};  ///< a hook or a background task failed
  struct Tick {};        ///< only time has passed
  using Input = std::variant<StopRequested, ForceRequested, Acknowledged, Counts, Aborted, TaskFailed, Tick>;

  /// Publish the phase and log it. why: the reason of the stop; of forcing "deadline" or that of the force;
  /// of stopped "drained", or the why of forcing.
  struct Enter {
    Phase phase = Phase::running;
    std::string why;
  };
  struct Progress {};  ///< log how the drain goes: once a second while draining
  struct Silent {      ///< log a reactor that has not acknowledged draining for 1 s; once each
    uint32_t reactor = 0;
  };
  /// The stop is over. exit_code: 2 where something was aborted, abandoned or stuck, else 3 where a task or
  /// hook failed, else 0.
  struct Finish {
    int exit_code = 0;
    std::vector<uint32_t> stuck;  ///< reactors that have not acknowledged stopped
  };
  using Action = std::variant<Enter, Progress, Silent, Finish>;

  explicit Coordinator(uint32_t reactors);

  /// Takes one input and returns what follows from it and from the time, in order. `now` never goes back.
  /// After Finish nothing has an effect.
  [[nodiscard]] std::vector<Action> step(const Input& input, Instant now) { return step({&input, 1}, now); }
  /// What was seen at one look, judged together: none of it is late because another part came first.
  [[nodiscard]] std::vector<Action> step(std::span<const Input> inputs, Instant now);

  /// When step() is to be called at the latest; kNever when only an input can change anything.
  [[nodiscard]] Instant next_wake() const noexcept;

  [[nodiscard]] Phase phase() const noexcept { return phase_; }
  [[nodiscard]] Instant deadline() const noexcept { return deadline_; }  ///< kNever before a request
  [[nodiscard]] bool finished() const noexcept { return finished_; }
  [[nodiscard]] const std::string& reason() const noexcept { return reason_; }
  [[nodiscard]] const StopOptions& options() const noexcept { return options_; }  ///< of the first request
  /// From the first request to the deadline, as it is now.
  [[nodiscard]] Duration allowed() const noexcept {
    return requested_at_ == kNever ? Duration::max() : deadline_ - requested_at_;
  }
  /// The phases entered so far, with the last one ending at the last step.
  [[nodiscard]] const std::vector<PhaseSpan>& spans() const noexcept { return spans_; }
  [[nodiscard]] Duration elapsed() const noexcept {
    return requested_at_ == kNever ? 0s : now_ - requested_at_;
  }

 private:
  void take(const StopRequested& request);
  void take(const ForceRequested& force);
  void take(const Acknowledged& ack);
  void take(const Counts& counts);
  void take(const Aborted&) { aborted_ = true; }
  void take(const TaskFailed&) { task_failed_ = true; }
  void take(const Tick&) {}

  bool advance();  // at most one step on; true when there was one
  void enter(Phase phase, std::string why);
  void finish();
  void remind();
  void name_silent();
  [[nodiscard]] bool all_acknowledged(Phase phase) const noexcept;
  [[nodiscard]] bool quiet() const noexcept;

  Phase phase_ = Phase::running;
  bool finished_ = false;
  std::string reason_;
  StopOptions options_;
  std::string forced_why_;  // empty until forcing is due

  Instant now_{};
  Instant requested_at_ = kNever;
  Instant drain_at_ = kNever;
  Instant force_at_ = kNever;
  Instant stop_at_ = kNever;
  Instant give_up_at_ = kNever;  // on reactors that did not leave: the report of them takes time
  Instant deadline_ = kNever;
  Instant leave_by_{};  // not before this, where stopped came too late for the deadline
  Instant progress_at_ = kNever;
  Instant silent_at_ = kNever;

  std::vector<Phase> acknowledged_;
  uint64_t open_ = 0;
  uint64_t tasks_ = 0;
  bool aborted_ = false;
  bool task_failed_ = false;
  std::vector<PhaseSpan> spans_;
  std::vector<Action> actions_;
};

}  // namespace lastcall
