#include <algorithm>
#include <string>
#include <utility>

#include <lastcall/core/clock.hpp>
#include <lastcall/core/log.hpp>
#include <lastcall/shutdown/counts.hpp>
#include <lastcall/shutdown/runner.hpp>

// Runner: what it writes down at the end, above all of reactors that are stuck.

namespace lastcall {
namespace {

constexpr const char* kStuckReactor = "stuck reactor";

}  // namespace

AbortedExchange Runner::stuck_exchange(uint32_t reactor) const {
  AbortedExchange exchange;
  exchange.state = "handling";
  exchange.why = kStuckReactor;
  const RunningHandler* handler = control_.counters(reactor).handler.load(std::memory_order_acquire);
  if (handler == nullptr) return exchange;
  exchange.method = handler->method;
  exchange.target = handler->route;
  exchange.route = handler->route;
  exchange.age_ms = to_ms(monotonic_now() - handler->began);
  if (options_.name_peer && handler->fd >= 0) exchange.peer = options_.name_peer(handler->fd);
  return exchange;
}

/// What a stuck reactor holds ends with the process: all its requests are reported, or, when it does not come
/// to tell them by the limit, the one whose handler it is in.
void Runner::report_stuck(uint32_t reactor, Instant limit) {
  AbortedExchange stuck = stuck_exchange(reactor);
  log_event(LogLevel::error, "reactor_stuck", {{"reactor", reactor}, {"route", stuck.route}});
  report_queue(reactor);
  ReactorTotals& totals = report_.reactors[reactor];
  const uint64_t held = unended(control_.counters(reactor));
  RollCall call;
  if (!control_.call_roll(reactor, call, std::max<Duration>(limit - monotonic_now(), 1ms))) {
    log_event(LogLevel::warning, "reactor_not_told", {{"reactor", reactor}, {"connections", held}});
    totals.aborted += held;
    control_.report_aborted(std::move(stuck));
    return;
  }
  totals.idle_closed += call.idle_closed();
  totals.completed += call.completed();
  const uint64_t ended = call.idle_closed() + call.completed();
  totals.aborted += held > ended ? held - ended : 0;
  for (const RollCall::Entry& entry : call.entries()) {
    control_.report_aborted({.peer = options_.name_peer ? options_.name_peer(entry.fd) : "",
                             .method = std::string(entry.method, entry.method_size),
                             .target = std::string(entry.target, entry.target_size),
                             .state = entry.state,
                             .age_ms = entry.age_ms,
                             .bytes_sent = entry.bytes_sent,
                             .why = stuck.why,
                             .route = stuck.route});
  }
  control_.report_unlisted(call.unlisted());
}

void Runner::report_queue(uint32_t reactor) {
  if (!options_.end_queue) return;
  ReactorTotals& totals = report_.reactors[reactor];
  for (QueuedConnection& queued : options_.end_queue(reactor)) {
    ++totals.accepted;
    ++totals.accepted_while_stopping;
    ++(queued.asked ? totals.aborted : totals.idle_closed);
    if (!queued.asked) continue;
    control_.report_aborted(
        {.peer = std::move(queued.peer), .method = {}, .target = {}, .state = "head", .why = kStuckReactor});
  }
}

void Runner::fill_report(int exit_code) {
  report_.reason = coordinator_.reason();
  report_.io = options_.io;
  report_.exit_code = exit_code;
  report_.duration_ms = to_ms(coordinator_.elapsed());
  report_.deadline_ms = to_ms(coordinator_.allowed());
  report_.phases = coordinator_.spans();
  for (uint32_t reactor = 0; reactor < control_.reactors(); ++reactor) {
    const ReactorCounters& counters = control_.counters(reactor);
    report_.reactors.push_back({.id = reactor,
                                .accepted = load(counters.accepted),
                                .accepted_while_stopping = load(counters.accepted_while_stopping),
                                .idle_closed = load(counters.idle_closed),
                                .completed = load(counters.completed),
                                .handed_over = load(counters.handed_over),
                                .aborted = load(counters.aborted)});
    report_.late_requests += load(counters.late_requests);
  }
  report_.background = {.completed = load(tasks_.completed),
                        .failed = load(tasks_.failed),
                        .abandoned = load(tasks_.abandoned) + load(tasks_.running)};
}

void Runner::log_stopped() const {
  uint64_t completed = 0;
  uint64_t idle_closed = 0;
  uint64_t handed_over = 0;
  for (const ReactorTotals& reactor : report_.reactors) {
    completed += reactor.completed;
    idle_closed += reactor.idle_closed;
    handed_over += reactor.handed_over;
  }
  log_event(report_.exit_code == 0 ? LogLevel::info : LogLevel::warning, "stopped",
            {{"duration", coordinator_.elapsed()},
             {"completed", completed},
             {"idle_closed", idle_closed},
             {"handed_over", handed_over},
             {"aborted", report_.aborted.size() + report_.aborted_unlisted},
             {"exit_code", report_.exit_code}});
}

}  // namespace lastcall
