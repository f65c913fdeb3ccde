#include "tests/sim/world.hpp"

#include <algorithm>
#include <cstdio>
#include <utility>

#include <lastcall/core/check.hpp>
#include <lastcall/core/log.hpp>

#include "tests/sim/world_client.hpp"
#include "tests/support/session_routes.hpp"

namespace lastcall::test {
namespace {

constexpr size_t kLastLines = 60;
constexpr uint64_t kLivelock = 500'000;  // rounds at one instant
constexpr size_t kDeepest = 3;           // reactors that are in a turn at the same time
constexpr Duration kLongStall = 2s;
constexpr Duration kBroadcastStall = 3s;
constexpr double kPreempted = 0.3;  // of the interludes
constexpr Duration kPreemption = 5ms;
constexpr Duration kEndlessStall = 60s;  // beyond every deadline
constexpr Duration kSynRetry = 1s;
constexpr Duration kGateLook = 1ms;  // as in gate.cpp
constexpr int kGateCleanLooks = 2;
constexpr Duration kGateLimit = 200ms;
constexpr uint64_t kBugsAfter = 20;  // a deliberate bug is committed within so many opportunities

thread_local World* newest = nullptr;

}  // namespace

World& World::current() {
  LASTCALL_CHECK(newest != nullptr);
  return *newest;
}

World::World(uint64_t seed, Bug bug, std::function<void(std::string_view)> trace)
    : seed_(seed),
      bug_(bug),
      sink_(std::move(trace)),
      plan_(WorldPlan::of(seed)),
      random_(seed ^ 0x5bd1e9955bd1e995),
      network_([this] {
        SimOptions options = plan_.network;
        options.accept_error = plan_.accept_error;
        return options;
      }()),
      start_(network_.now()),
      control_(plan_.reactors),
      runner_(*this, control_, plan_.stop),
      bug_countdown_(1 + SimRandom(seed).below(kBugsAfter)),
      older_(std::exchange(newest, this)) {
  log_configure(LogFormat::text, LogLevel::off);
  add_world_routes();
  make_reactors();
}

World::~World() {
  newest = older_;
}

bool World::commit(Bug bug) {
  if (bug_ != bug || bug_countdown_ == 0 || failed_) return false;
  if (--bug_countdown_ != 0) return false;
  trace("the bug: %s", std::string(to_string(bug)).c_str());
  return true;
}

void World::add_world_routes() {
  auto add = [this](Method method, std::string_view pattern, Handler handler, RouteOptions options) {
    auto index = static_cast<uint32_t>(routes_.size());
    LASTCALL_CHECK(router_.add(method, pattern, index).has_value());
    routes_.push_back({.pattern = std::string(pattern), .handler = std::move(handler), .options = options});
  };
  add_routes(add);
  add(Method::get, "/spin",
      [this](const Request& request, Response& response) {
        hog(std::chrono::microseconds(std::stoul(request.query_param("us").value_or("0"))));
        response.text("spun");
      },
      {});
  // A handler that does not care whether anyone waits for it.
  add(Method::get, "/stubborn",
      [](Request& request, Response& response) -> Task<> {
        auto naps = std::stoul(request.query_param("n").value_or("0"));
        auto nap = std::chrono::milliseconds(std::stoul(request.query_param("ms").value_or("0")));
        while (naps-- > 0) static_cast<void>(co_await sleep_for(nap));
        response.text("stubborn");
      },
      {});
}

void World::make_reactors() {
  for (uint32_t id = 0; id < plan_.reactors; ++id) {
    reactors_.push_back(std::make_unique<ReactorState>());
    ReactorState& reactor = *reactors_.back();
    reactor.id = id;
    WorkerOptions options = plan_.worker;
    options.id = id;
    reactor.worker.emplace(options, control_);
    reactor.environment.emplace(reactor.worker->loop(), plan_.session, router_, routes_, pool_, "lastcall");
    reactor.worker->serve(*reactor.environment);
    for (uint32_t i = 0; i < plan_.addresses; ++i) {
      int listener = network_.listen();
      reactor.listeners.insert(listener);
      reactor.worker->listen(Fd(listener));
    }
  }
}

void World::schedule(Duration delay, std::function<void()> action) {
  network_.schedule_in(delay, [this, run = std::move(action)] {
    if (!over()) run();
  });
}

void World::schedule_everything() {
  for (Duration at : plan_.arrivals) {
    clients_.push_back(std::make_unique<Client>(*this, clients_.size(), random_.next()));
    schedule(at, [this, client = clients_.back().get()] { arrive(*client, false); });
  }
  for (const WorldPlan::Stop& stop : plan_.stops) {
    schedule(stop.at, [this, stop] {
      using Kind = WorldPlan::Stop::Kind;
      if (stop.at == plan_.stop_at() && flows_.empty()) saw(Seen::before_first_connection);
      if (stop.at != plan_.stop_at())
        saw(stop.kind == Kind::request ? Seen::second_requests : Seen::third_signals, 1);
      if (stop.kind == Kind::request) {
        runner_.request_stop(stop.options, "request");
      } else {
        runner_.signal(stop.kind == Kind::quit ? SIGQUIT : SIGTERM);
      }
    });
  }
  for (const WorldPlan::Task& task : plan_.tasks) {
    schedule(task.begin, [this] { runner_.task_began(); });
    schedule(task.end, [this, task] { runner_.task_ended(task.fails); });
  }
  for (Duration at : plan_.breakages) schedule(at, [this] { break_a_connection(); });
}

SimulationResult World::run() {
  schedule_everything();
  while (!over() && step(kNever)) {
  }
  if (!over()) fail("the stop comes to an end", "nothing more can happen, and it has not");
  if (!failed_) take_apart();
  SimulationResult result;
  result.ok = !failed_;
  result.invariant = invariant_;
  result.detail = detail_;
  result.trace_lines = lines_;
  result.trace_hash = hash_;
  result.tally = tally_;
  for (size_t i = 0; i < last_lines_.size(); ++i) {
    result.trace.push_back(last_lines_[(lines_ + i) % last_lines_.size()]);
  }
  return result;
}

// --- who runs

bool World::step(Instant limit) {
  network_.run_due();
  if (over()) return false;
  if (round()) {
    if (++rounds_here_ > kLivelock) fail("time gets on", "%llu rounds at one instant", 1ull * kLivelock);
    return true;
  }
  if (over() || now() >= limit) return false;
  Instant before = now();
  bool more = network_.advance(std::min(limit, next_instant()));
  if (now() != before) rounds_here_ = 0;
  return more || now() != before;
}

/// Everybody who can run now gets a turn, in any order; true when that changed something.
bool World::round() {
  std::vector<size_t> order(reactors_.size() + 1);
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  for (size_t left = order.size(); left > 1; --left) std::swap(order[left - 1], order[random_.below(left)]);
  bool progress = false;
  for (size_t index : order) {
    if (over()) return false;
    if (index == reactors_.size()) {
      progress = (runner_.ready() && runner_.step()) || progress;
      continue;
    }
    ReactorState& reactor = *reactors_[index];
    if (reactor.turning || reactor.left || reactor.stalled_until > now()) continue;
    if (chance(plan_.skip)) {
      progress = true;
      continue;
    }
    turn(reactor);
    progress = progress || reactor.worked;
  }
  return progress;
}

Instant World::next_instant() const {
  Instant next = runner_.next_wake();
  for (const auto& reactor : reactors_) {
    if (reactor->turning || reactor->left) continue;
    // Behind a stall there may be events, whatever it was waiting for before.
    bool stalled = reactor->stalled_until > network_.now();
    next =
        std::min(next, stalled ? reactor->stalled_until : std::max(reactor->wake_at, network_.now() + 1ns));
  }
  return next;
}

void World::turn(ReactorState& reactor) {
  reactor.turning = true;
  stack_.push_back(&reactor);
  reactor.worker->turn();
  if (!failed_ && reactor.worker->stopped() && !reactor.left) {
    reactor.leaving = true;
    reactor.worker->run();
    reactor.leaving = false;
    reactor.left = true;
    reactor.worked = true;
    trace("r%u has left", reactor.id);
  }
  stack_.pop_back();
  reactor.turning = false;
  if (over()) return;
  tamper(reactor);
  check(reactor);
  maybe_stall(reactor);
}

void World::maybe_stall(ReactorState& reactor) {
  if (!reactor.worked || !chance(plan_.stall)) return;
  Duration duration = any_size(random_, kLongStall);
  reactor.stalled_until = std::max(reactor.stalled_until, now() + duration);
  saw(Seen::stalls);
  trace("r%u stalls for %lld us", reactor.id, static_cast<long long>(duration.count() / 1000));
}

void World::stall_reactors(const char* why) {
  for (auto& reactor : reactors_) {
    if (!chance(plan_.broadcast_stall)) continue;
    Duration duration = chance(0.05) ? kEndlessStall : any_size(random_, kBroadcastStall);
    reactor->stalled_until = std::max(reactor->stalled_until, now() + duration);
    saw(Seen::stalls);
    trace("r%u stalls over %s for %lld us", reactor->id, why,
          static_cast<long long>(duration.count() / 1000));
  }
}

void World::interlude(const ReactorState& from) {
  if (over() || stack_.empty() || stack_.size() >= kDeepest || !chance(plan_.interlude)) return;
  LASTCALL_CHECK(from.turning);
  saw(Seen::interludes);
  if (chance(kPreempted)) return hold(any_size(random_, kPreemption), "is preempted");
  size_t chosen = random_.below(reactors_.size() + 1);
  if (chosen == reactors_.size()) {
    static_cast<void>(runner_.step());
  } else if (ReactorState& reactor = *reactors_[chosen];
             !reactor.turning && !reactor.left && reactor.stalled_until <= now()) {
    turn(reactor);
  }
}

void World::provoke(const Flow& flow, double probability) {
  if (over() || !chance(probability)) return;
  flow.client->hurry();
}

void World::hog(Duration duration) {
  saw(Seen::hogs);
  hold(duration, "is held by its handler");
}

/// Time passes in the middle of a turn, for everybody else.
void World::hold(Duration duration, const char* why) {
  LASTCALL_CHECK(!stack_.empty());
  trace("r%u %s for %lld us", stack_.back()->id, why, static_cast<long long>(duration.count() / 1000));
  Instant until = now() + duration;
  while (!over() && now() < until && step(until)) {
  }
}

void World::exit(const char* how) {
  trace("the process is gone: %s", how);
  exited_ = true;
  judge_end();
}

// --- the way in

void World::arrive(Client& client, bool again) {
  std::vector<std::pair<uint32_t, int>> open;
  for (auto& reactor : reactors_) {
    for (int listener : reactor->listeners) open.emplace_back(reactor->id, listener);
  }
  if (open.empty() || (parked_ && again)) {
    trace("client %zu is refused", client.number());
    return client.refused();
  }
  if (parked_) {
    saw(Seen::parked);
    return schedule(kSynRetry, [this, &client] { arrive(client, true); });
  }
  auto [reactor, listener] = open[random_.below(open.size())];
  Duration delay = chance(0.6) ? 0s : chance(0.1) ? 100ms + up_to(random_, 300ms) : any_size(random_, 20ms);
  ++handshakes_;
  if (delay == 0s) return handshake(client, reactor, listener, false);
  schedule(delay, [this, &client, to = reactor, on = listener] { handshake(client, to, on, parked_); });
}

/// The last packet of a handshake: the connection is in the queue, or nobody knows of it any more.
void World::handshake(Client& client, uint32_t reactor, int listener, bool while_parked) {
  --handshakes_;
  if (while_parked) saw(Seen::handshakes);
  if (!reactors_[reactor]->listeners.contains(listener)) {
    trace("the handshake of client %zu comes too late", client.number());
    bool in_time = plan_.parking && !gate_timed_out_ && control_.phase() < Phase::forcing;
    if (in_time) fail("the gate waits for handshakes", "client %zu", client.number());
    return client.refused();
  }
  SimPeer peer = network_.connect(listener);
  LASTCALL_CHECK(peer.id() == flows_.size());
  Flow& flow = flows_.emplace_back();
  flow.id = peer.id();
  flow.reactor = reactor;
  flow.client = &client;
  client.connected(std::move(peer), flow);
}

void World::close_gate() {
  if (!plan_.parking) return;
  parked_ = true;
  control_.hold_listeners();
  look_at_gate(now(), 0);
}

void World::look_at_gate(Instant began, int clean) {
  schedule(kGateLook, [this, began, clean] {
    int looks = handshakes_ == 0 ? clean + 1 : 0;
    if (looks < kGateCleanLooks && now() - began < kGateLimit) return look_at_gate(began, looks);
    gate_timed_out_ = looks < kGateCleanLooks;
    trace("the gate is closed%s", gate_timed_out_ ? ", by its limit" : "");
    control_.release_listeners();
  });
}

void World::listener_closed(ReactorState& reactor, int fd, size_t queued) {
  reactor.listeners.erase(fd);
  trace("r%u closes its listener %d, %zu in its queue", reactor.id, fd, queued);
  bool forced = control_.phase() >= Phase::forcing;
  if (control_.phase() < Phase::draining) fail("listeners close when the drain begins", "r%u", reactor.id);
  if (control_.listeners_held() && !forced)
    fail("listeners stay open while the gate holds them", "r%u", reactor.id);
  if (queued == 0) return;
  if (forced && queue_errors_[fd]) {
    over_queue_.insert(reactor.id);
  } else {
    fail("who is in the queue when a listener closes is served", "r%u leaves %zu", reactor.id, queued);
  }
}

void World::break_a_connection() {
  std::vector<Flow*> open;
  for (Flow& flow : flows_) {
    if (flow.state == Flow::State::open && !flow.ended) open.push_back(&flow);
  }
  if (open.empty()) return;
  Flow& flow = *open[random_.below(open.size())];
  for (int fd = SimNetwork::kFirstDescriptor; fd < SimNetwork::kFirstDescriptor + 1000; ++fd) {
    bool listener =
        std::ranges::any_of(reactors_, [fd](auto& reactor) { return reactor->listeners.contains(fd); });
    if (listener || !network_.is_open(fd) || network_.id(fd) != flow.id) continue;
    flow.broken = true;
    saw(Seen::broken);
    trace("the network breaks c%zu", flow.id);
    return network_.break_connection(fd);
  }
}

Instant World::idle_end_at() const {
  Instant drain = runner_.drain_at();
  if (drain != kNever) return drain + runner_.coordinator().options().idle_grace;
  if (plan_.stop_at() > 10s) return kNever;
  bool announced = plan_.stops.front().kind != WorldPlan::Stop::Kind::quit;
  return start_ + plan_.stop_at() + (announced ? plan_.stop.announce : 0s) + plan_.stop.idle_grace;
}

// --- the trace

void World::trace(const char* format, ...) {
  char line[512];
  int size = std::snprintf(line, sizeof line, "%13.6f ms  ", static_cast<double>(elapsed().count()) / 1e6);
  va_list arguments;
  va_start(arguments, format);
  size += std::vsnprintf(line + size, sizeof line - static_cast<size_t>(size), format, arguments);
  va_end(arguments);
  write_line({line, std::min(static_cast<size_t>(size), sizeof line - 1)});
}

void World::write_line(std::string_view line) {
  for (char c : line) hash_ = (hash_ ^ static_cast<uint8_t>(c)) * 1099511628211u;
  if (sink_) sink_(line);
  if (last_lines_.size() < kLastLines) {
    last_lines_.emplace_back(line);
  } else {
    last_lines_[lines_ % kLastLines].assign(line);
  }
  ++lines_;
}

void World::print_last_lines() const {
  for (size_t i = 0; i < last_lines_.size(); ++i) {
    std::fprintf(stderr, "%s\n", last_lines_[(lines_ + i) % last_lines_.size()].c_str());
  }
}

void World::fail(const char* invariant, const char* format, ...) {
  if (failed_) return;
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  trace("VIOLATED: %s: %s", invariant, text);
  failed_ = true;
  invariant_ = invariant;
  detail_ = text;
}

}  // namespace lastcall::test
