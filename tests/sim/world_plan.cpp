#include "tests/sim/world_plan.hpp"

#include <algorithm>
#include <cmath>

namespace lastcall::test {
namespace {

constexpr Duration kHorizon = 3s;  // within which clients come and the stop begins

template <class T>
T one_of(SimRandom& random, std::initializer_list<T> choices) {
  return choices.begin()[random.below(choices.size())];
}

SimOptions network_of(uint64_t seed, SimRandom& random) {
  SimOptions sim = seed % 3 == 0   ? SimOptions::epoll_like(seed)
                   : seed % 3 == 1 ? SimOptions::uring_like(seed)
                                   : SimOptions::chaotic(seed);
  if (random.chance(0.4)) sim.torn_read = 0.3;
  if (random.chance(0.2)) sim.max_read_bytes = 4 + random.below(200);
  if (random.chance(0.3)) sim.shuffle = true;
  sim.return_on_deadlock = true;
  return sim;
}

SessionOptions session_of(SimRandom& random) {
  SessionOptions session;
  if (random.chance(0.2)) session.header_timeout = 2s;
  if (random.chance(0.2)) session.body_timeout = 3s;
  if (random.chance(0.2)) session.idle_timeout = 1s + up_to(random, 3s);
  return session;
}

StopOptions stop_of(SimRandom& random) {
  StopOptions stop;
  stop.announce = random.chance(0.35) ? up_to(random, 1s) : 0s;
  stop.idle_grace = one_of<Duration>(random, {0s, up_to(random, 300ms), 1s, 1s});
  stop.deadline = random.chance(0.1)   ? up_to(random, 100ms)
                  : random.chance(0.5) ? 200ms + up_to(random, 3s)
                                       : 25s;
  stop.force_margin = one_of<Duration>(random, {0s, 100ms, 500ms, 500ms, 500ms, 1s});
  return stop;
}

void plan_stops(WorldPlan& plan, SimRandom& random) {
  using Kind = WorldPlan::Stop::Kind;
  Duration at = random.chance(0.07) ? 0s : random.chance(0.9) ? up_to(random, kHorizon) : 20s;
  plan.stops.push_back(
      {at, one_of(random, {Kind::terminate, Kind::terminate, Kind::quit, Kind::request}), plan.stop});
  size_t more = random.chance(0.4) ? 1 + random.below(3) : 0;
  if (random.chance(0.1)) more = 0;
  for (size_t i = 0; i < more; ++i) {
    at += any_size(random, 5s);
    Kind kind = random.chance(0.55) ? Kind::terminate : Kind::request;
    plan.stops.push_back({at, kind, stop_of(random)});
  }
}

void plan_arrivals(WorldPlan& plan, SimRandom& random) {
  size_t clients = random.chance(0.03) ? 0 : 1 + random.below(random.chance(0.2) ? 40 : 16);
  Duration stop = plan.stop_at();
  for (size_t i = 0; i < clients; ++i) {
    // Many at the very moment of the stop, where the races are.
    Duration at =
        random.chance(0.35) ? std::max(0ns, stop - 3ms) + up_to(random, 6ms) : up_to(random, stop + 500ms);
    plan.arrivals.push_back(at);
  }
  std::ranges::sort(plan.arrivals);
}

void plan_faults(WorldPlan& plan, SimRandom& random) {
  plan.calm = random.chance(0.25);
  if (plan.calm) return;
  plan.stall = random.chance(0.6) ? 0.02 : 0;
  plan.broadcast_stall = random.chance(0.5) ? 0.4 : 0;
  plan.skip = random.chance(0.5) ? 0.3 : 0;
  plan.interlude = random.chance(0.6) ? 0.1 : 0;
  plan.accept_error = random.chance(0.3) ? 0.2 : 0;
  plan.refused_operation = random.chance(0.1) ? 0.05 : 0;
  plan.broken_send = random.chance(0.1) ? 0.05 : 0;
  if (random.chance(0.15))
    plan.network.descriptor_limit = static_cast<int>(plan.reactors * plan.addresses + 1 + random.below(6));
  if (random.chance(0.15)) plan.worker.max_connections = static_cast<uint32_t>(1 + random.below(8));
  if (random.chance(0.3)) {
    for (size_t i = 1 + random.below(3); i > 0; --i)
      plan.breakages.push_back(up_to(random, plan.stop_at() + 2s));
  }
}

}  // namespace

Duration any_size(SimRandom& random, Duration most) {
  double orders = std::log2(static_cast<double>(std::max<int64_t>(most.count(), 2)));
  double drawn = static_cast<double>(random.below(1 << 20)) / (1 << 20);
  return std::chrono::round<std::chrono::microseconds>(
      Duration(static_cast<int64_t>(std::exp2(drawn * orders))));
}

Duration up_to(SimRandom& random, Duration most) {
  auto steps = static_cast<size_t>(std::chrono::duration_cast<std::chrono::microseconds>(most).count());
  return std::chrono::microseconds(random.below(steps + 1));
}

WorldPlan WorldPlan::of(uint64_t seed) {
  SimRandom random(seed * 0x9e3779b97f4a7c15 + 1);
  WorldPlan plan;
  plan.network = network_of(seed, random);
  plan.reactors = static_cast<uint32_t>(1 + random.below(4));
  plan.addresses = random.chance(0.2) ? 2 : 1;
  plan.session = session_of(random);
  plan.worker.write_timeout = random.chance(0.2) ? 2s : 30s;
  plan.worker.linger_timeout = random.chance(0.2) ? 100ms : 2s;
  plan.parking = random.chance(0.7);
  plan.stop = stop_of(random);
  plan_stops(plan, random);
  plan_arrivals(plan, random);
  plan_faults(plan, random);
  if (random.chance(0.15)) {
    Duration begin = up_to(random, 2s);
    plan.tasks.push_back({begin, begin + any_size(random, 20s), random.chance(0.3)});
  }
  return plan;
}

}  // namespace lastcall::test
