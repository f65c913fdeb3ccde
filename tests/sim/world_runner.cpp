#include "tests/sim/world_runner.hpp"

#include <poll.h>

#include <algorithm>
#include <utility>

#include "tests/sim/world.hpp"

namespace lastcall::test {
namespace {

constexpr Duration kShortestStop = 20ms;
constexpr Duration kLeaveTime = 100ms;
constexpr Duration kLateness = 50ms;    // that the contract allows
constexpr Duration kSlowRunner = 20ms;  // most that it wakes up late
constexpr Duration kOversleep = 300ms;  // Bug::oversleep

uint64_t load(const std::atomic<uint64_t>& counter) {
  return counter.load(std::memory_order_relaxed);
}

}  // namespace

WorldRunner::WorldRunner(World& world, StopControl& control, const StopOptions& stop)
    : world_(world), control_(control), stop_(stop), coordinator_(control.reactors()) {}

void WorldRunner::signal(int number) {
  world_.trace("signal %d", number);
  signals_.push_back(number);
}

void WorldRunner::request_stop(const StopOptions& options, std::string reason) {
  world_.trace("%s: deadline %lld ms", reason.c_str(), static_cast<long long>(to_ms(options.deadline)));
  requests_.push_back({options, std::move(reason)});
}

void WorldRunner::task_ended(bool failed) {
  task_failed_ = task_failed_ || failed;
  if (--tasks_ == 0) control_.wake_runner();
}

bool WorldRunner::is_stuck(uint32_t reactor) const {
  return std::ranges::find(stuck_, reactor) != stuck_.end();
}

// --- when it runs

Instant WorldRunner::next_wake() const {
  Instant wake = coordinator_.next_wake();
  if (world_.bug() == Bug::oversleep && wake != kNever) wake += kOversleep;
  return slow_until_ > world_.now() ? slow_until_ : wake;
}

bool WorldRunner::ready() const {
  if (finished() || running_) return false;
  if (!signals_.empty() || !requests_.empty() || next_wake() <= world_.now()) return true;
  pollfd wake{.fd = control_.wake_fd(), .events = POLLIN, .revents = 0};
  return ::poll(&wake, 1, 0) == 1;
}

bool WorldRunner::step() {
  if (running_ || finished() || world_.over()) return false;
  if (slow_until_ > world_.now()) return false;
  if (!slowed_ && !world_.plan().calm && world_.chance(0.1)) {  // late for this one
    slowed_ = true;
    slow_until_ = world_.now() + 1us + any_size(world_.random(), kSlowRunner);
    return false;
  }
  slowed_ = false;
  running_ = true;
  look_at_reactors();
  if (!finished() && !world_.over()) {
    take_signals();
    take_requests();
  }
  running_ = false;
  return true;
}

/// Between two looks at what the reactors write.
void WorldRunner::pause() {
  if (world_.over() || !world_.chance(world_.plan().interlude)) return;
  world_.saw(Seen::interludes);
  std::vector<ReactorState*> idle;
  for (auto& reactor : world_.reactors_) {
    if (!reactor->turning && !reactor->left && reactor->stalled_until <= world_.now())
      idle.push_back(reactor.get());
  }
  if (!idle.empty()) world_.turn(*idle[world_.random().below(idle.size())]);
}

// --- what it sees

void WorldRunner::take_signals() {
  for (int number : std::exchange(signals_, {})) {
    ++stop_signals_;
    if (stop_signals_ >= 3) {
      world_.saw(Seen::killed);
      return world_.exit("the third signal");
    }
    if (stop_signals_ == 2) {
      world_.saw(Seen::force_signals);
      if (coordinator_.phase() != Phase::running) expect_end({}, true);
      if (world_.bug() == Bug::deaf_to_force) continue;
      feed_one(Coordinator::ForceRequested{});
    } else {
      expect_end(stop_, false);
      feed_one(
          Coordinator::StopRequested{stop_, number == SIGQUIT ? "SIGQUIT" : "SIGTERM", number == SIGQUIT});
    }
  }
}

void WorldRunner::take_requests() {
  for (Request& request : std::exchange(requests_, {})) {
    expect_end(request.options, false);
    feed_one(Coordinator::StopRequested{request.options, std::move(request.reason)});
  }
}

void WorldRunner::look_at_reactors() {
  control_.clear_wake();
  std::vector<Coordinator::Input> seen;
  for (uint32_t reactor = 0; reactor < control_.reactors(); ++reactor) {
    seen.emplace_back(Coordinator::Acknowledged{reactor, control_.acknowledged(reactor)});
    pause();
  }
  Coordinator::Counts counts;
  for (uint32_t reactor = 0; reactor < control_.reactors(); ++reactor) {
    counts.open.push_back(open_connections(reactor));
    pause();
  }
  counts.tasks = tasks_;
  if (task_failed_) seen.emplace_back(Coordinator::TaskFailed{});
  if (take_aborted()) seen.emplace_back(Coordinator::Aborted{});
  seen.emplace_back(std::move(counts));
  feed(seen);
}

uint64_t WorldRunner::open_connections(uint32_t reactor) {
  if (world_.bug() == Bug::early_stop) return 0;
  const ReactorCounters& counters = control_.counters(reactor);
  uint64_t ended = load(counters.idle_closed);
  pause();
  ended += load(counters.completed);
  pause();
  ended += load(counters.aborted);
  pause();
  uint64_t accepted = load(counters.accepted);
  pause();
  uint64_t open = load(counters.active);
  pause();
  open += load(counters.idle);
  return std::max(accepted > ended ? accepted - ended : 0, open);
}

bool WorldRunner::take_aborted() {
  std::vector<AbortedExchange> aborted = control_.take_aborted();
  if (aborted.empty()) return false;
  if (world_.bug() == Bug::lost_report) aborted.pop_back();
  for (AbortedExchange& exchange : aborted) {
    world_.trace("report: %s %s in %s after %lld ms, %llu bytes, %s", exchange.method.c_str(),
                 exchange.target.c_str(), exchange.state.c_str(), static_cast<long long>(exchange.age_ms),
                 static_cast<unsigned long long>(exchange.bytes_sent), exchange.why.c_str());
    if (exchange.target.empty()) {
      ++unnamed_;
    } else if (!reported_.emplace(exchange.target, exchange.state).second) {
      world_.fail("aborted once, reported once", "%s is in the report twice", exchange.target.c_str());
    }
    aborted_.push_back(std::move(exchange));
  }
  return true;
}

// --- what it does

void WorldRunner::feed(std::span<const Coordinator::Input> inputs) {
  if (world_.over()) return;
  Instant deadline = coordinator_.deadline();
  for (const Coordinator::Action& action : coordinator_.step(inputs, world_.now())) {
    std::visit([this](const auto& known) { act(known); }, action);
  }
  if (coordinator_.deadline() > deadline) world_.fail("a deadline only gets shorter", "it was moved back");
}

void WorldRunner::act(const Coordinator::Enter& entered) {
  world_.trace("runner: %s, %s", lastcall::to_string(entered.phase), entered.why.c_str());
  if (entered.phase <= phase_)
    world_.fail("phases only move forward", "%s twice", lastcall::to_string(entered.phase));
  phase_ = entered.phase;
  StopOptions options = coordinator_.options();
  if (phase_ == Phase::draining) {
    drain_at_ = world_.now();
    world_.close_gate();
  }
  if (world_.bug() == Bug::no_grace) options.idle_grace = 0s;
  control_.enter(entered.phase, options, entered.why);
  world_.stall_reactors(lastcall::to_string(entered.phase));
}

void WorldRunner::act(const Coordinator::Silent& silent) {
  world_.trace("runner: r%u is silent", silent.reactor);
}

void WorldRunner::act(const Coordinator::Finish& finish) {
  static_cast<void>(take_aborted());
  stuck_ = finish.stuck;
  exit_code_ = finish.exit_code;
  world_.trace("runner: stopped, exit code %d, %zu aborted, %zu stuck", exit_code_, aborted_.size(),
               stuck_.size());
  if (world_.now() > after(end_at_, kLateness)) {
    world_.fail("the end comes by the deadline", "%lld ms late",
                static_cast<long long>(to_ms(world_.now() - end_at_)));
  }
  world_.exit("the end");
}

/// When the process must be gone at the latest, by the contract.
void WorldRunner::expect_end(const StopOptions& options, bool forced) {
  Duration allowed = std::max(options.deadline, kShortestStop);
  if (forced) {
    allowed = std::max(widest_margin_, kLeaveTime);
  } else {
    widest_margin_ = std::max(widest_margin_, options.force_margin);
  }
  end_at_ = std::min(end_at_, after(world_.now(), allowed));
}

void WorldRunner::after_the_end() {
  auto step = [this](const Coordinator::Input& input) {
    if (!coordinator_.step(input, world_.now()).empty()) {
      world_.fail("after the end nothing has an effect", "the coordinator acted");
    }
  };
  step(Coordinator::StopRequested{stop_, "SIGTERM"});
  step(Coordinator::ForceRequested{});
  step(Coordinator::Tick{});
  world_.saw(Seen::signals_after_end);
}

}  // namespace lastcall::test
