// What must hold in a World: after every turn, at the end, and behind it.

#include <algorithm>
#include <string>

#include "tests/sim/world.hpp"
#include "tests/sim/world_client.hpp"

namespace lastcall::test {
namespace {

constexpr uint64_t kAbsurd = 1u << 20;  // a counter that went below zero

uint64_t load(const std::atomic<uint64_t>& counter) {
  return counter.load(std::memory_order_relaxed);
}

ReactorState::Counts counts_of(const ReactorCounters& counters) {
  return {.accepted = load(counters.accepted),
          .idle_closed = load(counters.idle_closed),
          .completed = load(counters.completed),
          .aborted = load(counters.aborted),
          .late_requests = load(counters.late_requests)};
}

}  // namespace

// --- after every turn

void World::check(ReactorState& reactor) {
  check_counters(reactor, counts_of(control_.counters(reactor.id)));
  check_acknowledgement(reactor);
}

void World::check_counters(ReactorState& reactor, const ReactorState::Counts& now) {
  const ReactorState::Counts& before = reactor.before;
  bool shrunk = now.accepted < before.accepted || now.idle_closed < before.idle_closed ||
                now.completed < before.completed || now.aborted < before.aborted ||
                now.late_requests < before.late_requests;
  if (shrunk) fail("counters only grow", "r%u", reactor.id);
  reactor.before = now;
  if (now.accepted != reactor.accepted) {
    fail("every accepted connection is counted", "r%u: %llu counted, %llu accepted", reactor.id,
         1ull * now.accepted, 1ull * reactor.accepted);
  }
  if (now.ended() != reactor.closed) {
    fail("every connection that ended is counted once", "r%u: %llu counted, %llu closed", reactor.id,
         1ull * now.ended(), 1ull * reactor.closed);
  }
  if (now.late_requests > reactor.late) {
    fail("late requests are counted once", "r%u: %llu counted, %llu came", reactor.id,
         1ull * now.late_requests, 1ull * reactor.late);
  }
  uint64_t active = load(control_.counters(reactor.id).active);
  uint64_t idle = load(control_.counters(reactor.id).idle);
  if (active > kAbsurd || idle > kAbsurd) fail("counters stay above zero", "r%u", reactor.id);
  uint64_t open = reactor.accepted - reactor.closed;
  auto overloaded = static_cast<uint64_t>(std::ranges::count_if(flows_, [&](const Flow& flow) {
    return flow.reactor == reactor.id && flow.state == Flow::State::open && flow.overloaded;
  }));
  if (active + idle + overloaded < open) {
    fail("an open connection is active or idle", "r%u: %llu active, %llu idle, %llu open", reactor.id,
         1ull * active, 1ull * idle, 1ull * open);
  }
}

void World::check_acknowledgement(ReactorState& reactor) {
  Phase acknowledged = control_.acknowledged(reactor.id);
  if (acknowledged < reactor.acknowledged) fail("acknowledgements only move forward", "r%u", reactor.id);
  if (acknowledged > control_.phase()) fail("nobody is ahead of the phase", "r%u", reactor.id);
  if (acknowledged < Phase::draining) return;
  if (reactor.acknowledged < Phase::draining) reactor.accepted_at_acknowledgement = reactor.accepted;
  reactor.acknowledged = acknowledged;
  if (!reactor.listeners.empty() && !reactor.left)
    fail("who acknowledges the drain has closed its listeners", "r%u", reactor.id);
  if (reactor.accepted != reactor.accepted_at_acknowledgement) {
    fail("nothing is accepted after the listener closed", "r%u", reactor.id);
  }
}

/// Deliberate bugs that no backend could commit.
void World::tamper(ReactorState& reactor) {
  ReactorCounters& counters = control_.counters(reactor.id);
  if (load(counters.completed) > reactor.before.completed) {
    if (commit(Bug::forgotten_count)) --counters.completed;
    if (commit(Bug::double_count)) ++counters.completed;
  }
  if (bug_ == Bug::leak && !leak_ && reactor.accepted > 0 && commit(Bug::leak)) {
    leak_.emplace(reactor.worker->loop().buffers).append("leaked");
  }
}

// --- at the end

bool World::gone_with_reactor(const Flow& flow) const {
  bool killed = exited_ && !runner_.finished();
  return killed || (flow.state != Flow::State::closed && runner_.is_stuck(flow.reactor));
}

bool World::take_unnamed_report() {
  if (unnamed_taken_ >= runner_.unnamed()) return false;
  ++unnamed_taken_;
  return true;
}

void World::judge_end() {
  if (failed_) return;
  for (auto& client : clients_) {
    if (!failed_) client->judge();
  }
  if (!runner_.finished()) return;  // killed: the rest was left as it was
  for (auto& reactor : reactors_) judge_reactor(*reactor);
  judge_report();
  runner_.after_the_end();
}

void World::judge_reactor(ReactorState& reactor) {
  if (runner_.is_stuck(reactor.id)) {
    saw(Seen::stuck);
    bool held = reactor.turning || reactor.stalled_until > now() - 1ms;
    if (!held) fail("a reactor that can turn is not stuck", "r%u", reactor.id);
    return;
  }
  if (reactor.worker->io().unended() != 0) fail("every operation that was started ends", "r%u", reactor.id);
  if (!reactor.left) fail("the stop ends when every reactor has left", "r%u", reactor.id);
  ReactorState::Counts counts = counts_of(control_.counters(reactor.id));
  if (counts.accepted != counts.ended()) {
    fail("each accepted connection is counted once", "r%u: %llu accepted, %llu ended", reactor.id,
         1ull * counts.accepted, 1ull * counts.ended());
  }
  if (reactor.accepted != reactor.closed) fail("every connection was closed", "r%u", reactor.id);
}

void World::judge_report() {
  bool cut = !runner_.aborted().empty();
  bool stuck = !runner_.stuck().empty();
  int expected = cut || stuck || runner_.tasks() > 0 ? 2 : runner_.task_failed() ? 3 : 0;
  if (runner_.exit_code() != expected) {
    fail("the exit code tells how it went", "%d, not %d", runner_.exit_code(), expected);
  }
  saw(expected == 0 ? Seen::exit_0 : expected == 2 ? Seen::exit_2 : Seen::exit_3);
  saw(Seen::forced, runner_.aborted().size());
  uint64_t accepted = 0, aborted = 0;
  for (auto& reactor : reactors_) {
    accepted += reactor->accepted;
    aborted += load(control_.counters(reactor->id).aborted);
  }
  if (network_.accepted() != accepted) {
    fail("every connection that the kernel accepted reached a reactor", "%llu of %llu", 1ull * accepted,
         1ull * network_.accepted());
  }
  // A connection has an entry for each of its requests, and is counted once.
  auto named = static_cast<uint64_t>(
      std::ranges::count_if(clients_, [](const auto& client) { return client->any_reported(); }));
  if (!stuck && (aborted < named || (aborted == 0 && cut))) {
    fail("aborted entries match the counters", "%llu connections, %llu counted", 1ull * named,
         1ull * aborted);
  }
  for (const AbortedExchange& exchange : runner_.aborted()) {
    if (exchange.why != "deadline" && exchange.why != "second signal") {
      fail("the report says why", "'%s'", exchange.why.c_str());
    }
  }
}

// --- behind the end

/// As the threads' last lines do: nothing may be lent, armed or open behind them. Who was stuck gets to its
/// end, too.
void World::take_apart() {
  for (Phase phase : {Phase::draining, Phase::forcing, Phase::stopped}) {
    if (control_.phase() < phase) control_.enter(phase, plan_.stop, "killed");
  }
  for (auto& reactor : reactors_) {
    for (int turns = 0; !reactor->left && turns < 100; ++turns) turn(*reactor);
    if (!reactor->left) return fail("a reactor leaves when it is told", "r%u", reactor->id);
    if (size_t unended = reactor->worker->io().unended(); unended != 0) {
      return fail("every operation that was started ends", "r%u: %zu have not", reactor->id, unended);
    }
    reactor->environment.reset();
    Loop& loop = reactor->worker->loop();
    if (loop.buffers.lent() != 0) fail("no buffer leaks", "r%u: %zu bytes", reactor->id, loop.buffers.lent());
    // A listener's timer is disarmed with its worker, and a listener is closed with it.
    if (loop.timers.size() > plan_.addresses)
      fail("no timer leaks", "r%u: %zu", reactor->id, loop.timers.size());
    if (reactor->worker->open() != 0)
      fail("no connection leaks", "r%u: %zu", reactor->id, size_t{reactor->worker->open()});
    if (failed_) return;
    reactor->worker.reset();
  }
  uint64_t left_open = 0;  // listeners of who left in a hurry are closed by their owner
  for (auto& reactor : reactors_) left_open += reactor->listeners.size();
  if (network_.open_descriptors() != left_open) {
    fail("no descriptor leaks", "%zu open, not %llu", network_.open_descriptors(), 1ull * left_open);
  }
}

}  // namespace lastcall::test
