#include <algorithm>

#include <lastcall/core/log.hpp>
#include <lastcall/shutdown/service_reporter.hpp>

namespace lastcall {
namespace {

constexpr Duration kSoonest = 10ms;  // of two signs of life

Duration left(const ServiceReporter::Moment& moment) noexcept {
  return std::max<Duration>(moment.deadline - moment.now, 0s);
}

}  // namespace

ServiceReporter::ServiceReporter(const StopControl& control, ServiceNotify& notify)
    : control_(control), notify_(notify), watchdog_(notify.watchdog()) {
  if (watchdog_ > 0s) alive_due_ = Instant{};
}

Instant ServiceReporter::next_due() const noexcept {
  return std::min(alive_due_, progress_due_);
}

void ServiceReporter::begin(const Moment& moment, std::string_view reason) {
  if (!notify_.wanted() || progress_due_ != kNever) return;
  progress_due_ = after(moment.now, kProgress);
  notify_.stopping("stopping: " + std::string(reason), extension(moment));
}

void ServiceReporter::look(const Moment& moment) {
  if (moment.now >= alive_due_) tell_alive(moment.now);
  if (moment.now < progress_due_) return;
  progress_due_ = after(moment.now, kProgress);
  notify_.progress(describe(moment), extension(moment));
}

void ServiceReporter::tell_alive(Instant now) {
  alive_due_ = after(now, std::max(watchdog_ / 4, kSoonest));
  const int late = late_reactor(now);
  if (late < 0) {
    notify_.alive();
  } else if (withheld_for_ < 0) {
    log_event(LogLevel::warning, "watchdog_withheld", {{"reactor", late}});
  }
  withheld_for_ = late;
}

/// The first one that is, or -1. What it tells of its own lag is of the last seconds; here only now counts.
int ServiceReporter::late_reactor(Instant now) const noexcept {
  for (uint32_t reactor = 0; reactor < control_.reactors(); ++reactor) {
    const Duration due(control_.counters(reactor).beat_due_ns.load(std::memory_order_relaxed));
    if (due != Duration::zero() && now.time_since_epoch() - due >= watchdog_ / 2)
      return static_cast<int>(reactor);
  }
  return -1;
}

std::string ServiceReporter::describe(const Moment& moment) const {
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(left(moment)).count();
  if (moment.phase == Phase::stopped) return "finishing: " + std::to_string(seconds) + " s left";
  uint64_t active = 0;
  uint64_t idle = 0;
  for (uint32_t reactor = 0; reactor < control_.reactors(); ++reactor) {
    active += control_.counters(reactor).active.load(std::memory_order_relaxed);
    idle += control_.counters(reactor).idle.load(std::memory_order_relaxed);
  }
  return std::string(to_string(moment.phase)) + ": " + std::to_string(active) + " active, " +
         std::to_string(idle) + " idle, " + std::to_string(seconds) + " s left";
}

Duration ServiceReporter::extension(const Moment& moment) noexcept {
  return std::min(kPatience, left(moment) + kAtTheEnd);
}

}  // namespace lastcall
