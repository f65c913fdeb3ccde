#include <algorithm>
#include <numeric>
#include <utility>

#include <lastcall/core/check.hpp>
#include <lastcall/shutdown/coordinator.hpp>

namespace lastcall {
namespace {

constexpr Duration kShortestStop =
    20ms;  // still lets reactors leave, and is within the 50 ms a stop may be late
constexpr Duration kLeaveTime = 100ms;     // for reactors to leave their loops
constexpr Duration kReportTime = 80ms;     // to ask those that did not, to write the report and to exit
constexpr Duration kShortestLeave = 10ms;  // of them, when the step into stopped comes late
constexpr Duration kSilence = 1s;
constexpr Duration kProgressInterval = 1s;

struct Plan {
  Instant drain_at, force_at, stop_at, give_up_at, deadline;
};

/// Of the time behind `force_at`: for leaving and the report.
Duration last_part(Duration margin) {
  return std::min(kLeaveTime + kReportTime, margin / 2);
}

/// … and of that, the report's.
Duration report_part(Duration last) {
  return last * kReportTime.count() / (kLeaveTime + kReportTime).count();
}

Plan plan_of(const StopOptions& options, bool skip_announce, Instant now) {
  Duration whole = std::max(options.deadline, kShortestStop);
  Duration margin = options.force_margin < whole ? options.force_margin : whole / 2;
  margin = std::max(margin, std::min(kLeaveTime, whole / 2));
  Duration last = last_part(margin);
  Duration announce = skip_announce ? Duration::zero() : std::max(options.announce, Duration::zero());
  Instant deadline = after(now, whole);
  Instant force_at = deadline - margin;
  return {.drain_at = std::min(after(now, announce), force_at),
          .force_at = force_at,
          .stop_at = deadline - last,
          .give_up_at = deadline - report_part(last),
          .deadline = deadline};
}

}  // namespace

Coordinator::Coordinator(uint32_t reactors) : acknowledged_(reactors, Phase::running) {}

std::vector<Coordinator::Action> Coordinator::step(std::span<const Input> inputs, Instant now) {
  LASTCALL_CHECK(now >= now_);
  if (finished_) return {};
  now_ = now;
  for (const Input& input : inputs) std::visit([this](const auto& known) { take(known); }, input);
  while (advance()) {
  }
  remind();
  if (!spans_.empty()) spans_.back().end_ms = to_ms(elapsed());
  return std::exchange(actions_, {});
}

void Coordinator::take(const StopRequested& request) {
  Plan plan = plan_of(request.options, request.skip_announce, now_);
  if (requested_at_ == kNever) {
    requested_at_ = now_;
    reason_ = request.reason;
    options_ = request.options;
  }
  drain_at_ = std::min(drain_at_, plan.drain_at);
  if (plan.deadline >= deadline_) return;
  deadline_ = plan.deadline;
  force_at_ = std::min(force_at_, plan.force_at);
  stop_at_ = std::min(stop_at_, plan.stop_at);
  give_up_at_ = std::min(give_up_at_, plan.give_up_at);
}

void Coordinator::take(const ForceRequested& force) {
  if (requested_at_ == kNever || !forced_why_.empty()) return;
  forced_why_ = force.why;
  Duration margin = std::max(deadline_ - force_at_, kLeaveTime);
  Instant sooner = after(now_, margin);
  if (sooner >= deadline_) return;
  deadline_ = sooner;
  stop_at_ = std::min(stop_at_, sooner - last_part(margin));
  give_up_at_ = std::min(give_up_at_, sooner - report_part(last_part(margin)));
}

void Coordinator::take(const Acknowledged& ack) {
  LASTCALL_CHECK(ack.reactor < acknowledged_.size());
  Phase& known = acknowledged_[ack.reactor];
  known = std::max(known, ack.phase);
}

void Coordinator::take(const Counts& counts) {
  LASTCALL_CHECK(counts.open.size() == acknowledged_.size());
  open_ = std::accumulate(counts.open.begin(), counts.open.end(), uint64_t{0});
  tasks_ = counts.tasks;
}

bool Coordinator::advance() {
  if (finished_ || requested_at_ == kNever) return false;
  bool forced = !forced_why_.empty();
  Phase before = phase_;
  switch (phase_) {
    case Phase::running: enter(now_ < drain_at_ ? Phase::announcing : Phase::draining, reason_); break;
    case Phase::announcing:
      if (forced)
        enter(Phase::forcing, forced_why_);
      else if (now_ >= drain_at_)
        enter(Phase::draining, reason_);
      break;
    case Phase::draining:
      if (quiet())
        enter(Phase::stopped, "drained");
      else if (forced || now_ >= force_at_)
        enter(Phase::forcing, forced ? forced_why_ : "deadline");
      break;
    case Phase::forcing:
      if (quiet() || now_ >= stop_at_) enter(Phase::stopped, forced_why_);
      break;
    case Phase::stopped:
      if (all_acknowledged(Phase::stopped) || now_ >= std::max(give_up_at_, leave_by_)) finish();
      break;
  }
  return phase_ != before;
}

void Coordinator::enter(Phase phase, std::string why) {
  int64_t at_ms = to_ms(elapsed());
  if (!spans_.empty()) spans_.back().end_ms = at_ms;
  spans_.push_back({.phase = phase, .start_ms = at_ms, .end_ms = at_ms});
  if (phase_ < Phase::draining && phase >= Phase::draining) silent_at_ = after(now_, kSilence);
  phase_ = phase;
  progress_at_ = phase == Phase::draining ? after(now_, kProgressInterval) : kNever;
  if (phase == Phase::forcing) forced_why_ = why;
  if (phase == Phase::stopped) leave_by_ = after(now_, std::min(kShortestLeave, deadline_ - stop_at_));
  actions_.emplace_back(Enter{phase, std::move(why)});
}

void Coordinator::finish() {
  finished_ = true;
  Finish result;
  for (uint32_t reactor = 0; reactor < acknowledged_.size(); ++reactor) {
    if (acknowledged_[reactor] < Phase::stopped) result.stuck.push_back(reactor);
  }
  if (aborted_ || tasks_ > 0 || !result.stuck.empty())
    result.exit_code = 2;
  else if (task_failed_)
    result.exit_code = 3;
  actions_.emplace_back(std::move(result));
}

// What is said while a phase lasts. A late step says it once, not once a second missed.
void Coordinator::remind() {
  if (finished_) return;
  if (now_ >= silent_at_) name_silent();
  if (now_ < progress_at_) return;
  actions_.emplace_back(Progress{});
  while (progress_at_ <= now_) progress_at_ += kProgressInterval;
}

void Coordinator::name_silent() {
  silent_at_ = kNever;  // once
  for (uint32_t reactor = 0; reactor < acknowledged_.size(); ++reactor) {
    if (acknowledged_[reactor] < Phase::draining) actions_.emplace_back(Silent{reactor});
  }
}

bool Coordinator::all_acknowledged(Phase phase) const noexcept {
  return std::ranges::all_of(acknowledged_, [phase](Phase known) { return known >= phase; });
}

bool Coordinator::quiet() const noexcept {
  return all_acknowledged(phase_) && open_ == 0 && tasks_ == 0;
}

Instant Coordinator::next_wake() const noexcept {
  if (finished_) return kNever;
  switch (phase_) {
    case Phase::running: return kNever;
    case Phase::announcing: return drain_at_;
    case Phase::draining: return std::min({force_at_, progress_at_, silent_at_});
    case Phase::forcing: return std::min(stop_at_, silent_at_);
    case Phase::stopped: return std::max(give_up_at_, leave_by_);
  }
  return kNever;
}

}  // namespace lastcall
