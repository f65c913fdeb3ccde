#include <algorithm>

#include <lastcall/core/log.hpp>
#include <lastcall/core/log_format.hpp>
#include <lastcall/shutdown/progress_observer.hpp>

namespace lastcall {
namespace {

uint64_t load(const std::atomic<uint64_t>& counter) noexcept {
  return counter.load(std::memory_order_relaxed);
}

uint64_t open_of(const ReactorCounters& counters) noexcept {
  return load(counters.active) + load(counters.idle);
}

// "r0:3/10 r1:2/8": active/idle of each reactor.
std::string per_reactor(const StopControl& control) {
  std::string text;
  for (uint32_t reactor = 0; reactor < control.reactors(); ++reactor) {
    const ReactorCounters& counters = control.counters(reactor);
    if (reactor > 0) text += ' ';
    text += 'r' + std::to_string(reactor) + ':' + std::to_string(load(counters.active)) + '/' +
            std::to_string(load(counters.idle));
  }
  return text;
}

std::string text_of(const char* route) {
  return route != nullptr ? route : "";
}

}  // namespace

Instant ProgressObserver::next_due() const noexcept {
  return std::min(timeline_.next_due(), terminal_.next_due());
}

void ProgressObserver::enter(const Moment& moment) {
  if (beginnings_.empty()) begin(moment.now);
  if (moment.phase <= Phase::draining) {
    for (uint32_t reactor = 0; reactor < control_.reactors(); ++reactor) {
      began_[reactor] = open_of(control_.counters(reactor));
    }
  }
  timeline_.add_milestone(sample(moment.elapsed), moment.now);
}

void ProgressObserver::begin(Instant now) {
  for (uint32_t reactor = 0; reactor < control_.reactors(); ++reactor) {
    const ReactorCounters& counters = control_.counters(reactor);
    beginnings_.push_back({.open = open_of(counters),
                           .accepted = load(counters.accepted),
                           .completed = load(counters.completed),
                           .idle_closed = load(counters.idle_closed),
                           .handed_over = load(counters.handed_over),
                           .aborted = load(counters.aborted)});
  }
  began_.resize(control_.reactors());
  if (ProgressTerminal::is_useful()) terminal_.start(now);
}

void ProgressObserver::look(const Moment& moment) {
  if (beginnings_.empty()) return;
  timeline_.add(sample(moment.elapsed), moment.now);
  if (moment.now >= terminal_.next_due()) terminal_.draw(progress(moment), moment.now);
}

void ProgressObserver::log_progress(Instant now) const {
  if (terminal_.on()) return;
  auto [active, idle] = totals();
  std::string reactors = per_reactor(control_);
  std::optional<OldestRequest> oldest = this->oldest(now);
  if (!oldest) {
    return log_event(LogLevel::info, "drain_progress",
                     {{"active", active}, {"idle", idle}, {"reactors", reactors}});
  }
  log_event(LogLevel::info, "drain_progress",
            {{"active", active},
             {"idle", idle},
             {"reactors", reactors},
             {"oldest", oldest->route},
             {"age", oldest->age ? format_duration(*oldest->age) : "unknown"}});
}

std::vector<TimelineSample> ProgressObserver::finish(const Moment& moment) {
  timeline_.add_milestone(sample(moment.elapsed), moment.now);
  terminal_.finish(outcome());
  return timeline_.take();
}

ProgressObserver::Totals ProgressObserver::totals() const noexcept {
  Totals sum;
  for (uint32_t reactor = 0; reactor < control_.reactors(); ++reactor) {
    sum.active += load(control_.counters(reactor).active);
    sum.idle += load(control_.counters(reactor).idle);
  }
  return sum;
}

TimelineSample ProgressObserver::sample(Duration elapsed) const noexcept {
  TimelineSample sum{.at_ms = to_ms(elapsed)};
  for (uint32_t reactor = 0; reactor < control_.reactors(); ++reactor) {
    const ReactorCounters& counters = control_.counters(reactor);
    sum.idle += load(counters.idle);
    sum.active += load(counters.active);
    sum.aborted += load(counters.aborted);
    sum.completed += load(counters.completed);
  }
  return sum;
}

// What reactors tell of themselves; failing that, the handler that keeps one of them from telling anything.
std::optional<OldestRequest> ProgressObserver::oldest(Instant now) const {
  std::optional<OldestRequest> oldest;
  for (uint32_t reactor = 0; reactor < control_.reactors(); ++reactor) {
    const ReactorCounters& counters = control_.counters(reactor);
    int64_t since = counters.oldest_since_ns.load(std::memory_order_relaxed);
    if (since == 0) continue;
    Duration age = std::max(now.time_since_epoch() - Duration(since), Duration::zero());
    if (oldest && *oldest->age >= age) continue;
    oldest = {.route = text_of(counters.oldest_route.load(std::memory_order_relaxed)), .age = age};
  }
  for (uint32_t reactor = 0; !oldest && reactor < control_.reactors(); ++reactor) {
    if (control_.acknowledged(reactor) >= Phase::draining) continue;
    const RunningHandler* handler = control_.counters(reactor).handler.load(std::memory_order_acquire);
    if (handler != nullptr)
      oldest = {.route = text_of(handler->route), .age = std::max(now - handler->began, Duration::zero())};
  }
  return oldest;
}

StopProgress ProgressObserver::progress(const Moment& moment) {
  StopProgress progress{.phase = moment.phase,
                        .elapsed = moment.elapsed,
                        .allowed = moment.allowed,
                        .aborted = 0,
                        .reactors = {},
                        .oldest = oldest(moment.now)};
  for (uint32_t reactor = 0; reactor < control_.reactors(); ++reactor) {
    const ReactorCounters& counters = control_.counters(reactor);
    ReactorProgress one{.active = load(counters.active), .idle = load(counters.idle), .began = 0};
    one.began = began_[reactor] = std::max(began_[reactor], one.active + one.idle);
    bool silent = moment.phase >= Phase::draining && control_.acknowledged(reactor) < Phase::draining;
    const RunningHandler* handler = silent ? counters.handler.load(std::memory_order_acquire) : nullptr;
    if (handler != nullptr) one.held_by = text_of(handler->route);
    progress.aborted += load(counters.aborted) - beginnings_[reactor].aborted;
    progress.reactors.push_back(std::move(one));
  }
  return progress;
}

std::vector<ReactorOutcome> ProgressObserver::outcome() const {
  std::vector<ReactorOutcome> outcomes;
  for (uint32_t reactor = 0; reactor < beginnings_.size(); ++reactor) {
    const ReactorCounters& counters = control_.counters(reactor);
    const Beginning& then = beginnings_[reactor];
    outcomes.push_back({.began = then.open,
                        .accepted = load(counters.accepted) - then.accepted,
                        .completed = load(counters.completed) - then.completed,
                        .idle_closed = load(counters.idle_closed) - then.idle_closed,
                        .handed_over = load(counters.handed_over) - then.handed_over,
                        .aborted = load(counters.aborted) - then.aborted});
  }
  return outcomes;
}

}  // namespace lastcall
