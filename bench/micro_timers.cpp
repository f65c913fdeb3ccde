// The timer wheel with 100,000 timers armed: a server arms or moves one or two for each request.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <random>
#include <vector>

#include <lastcall/core/timer_wheel.hpp>

#include "bench/rate.hpp"

namespace {

using namespace lastcall;

constexpr size_t kTimers = 100'000;
constexpr Instant kStart{};

/// Due within the ranges that timeouts have: a few milliseconds up to 75 s. The same in every run.
std::vector<Duration> delays() {
  std::mt19937 random(1);
  std::uniform_int_distribution<int64_t> ms(5, 75'000);
  std::vector<Duration> result(kTimers);
  for (Duration& delay : result) delay = ms(random) * 1ms;
  return result;
}

struct ArmedWheel {
  std::vector<Duration> delay = delays();
  std::vector<Timer> timers = std::vector<Timer>(kTimers);
  TimerWheel wheel{kStart};

  ArmedWheel() {
    for (size_t i = 0; i < kTimers; ++i) wheel.arm(timers[i], kStart + delay[i]);
  }
  ~ArmedWheel() {
    for (Timer& timer : timers) wheel.cancel(timer);
  }
};

void move_armed(benchmark::State& state) {
  ArmedWheel armed;
  size_t i = 0;
  for (auto _ : state) {
    armed.wheel.arm(armed.timers[i], kStart + armed.delay[kTimers - 1 - i]);
    if (++i == kTimers) i = 0;
  }
  bench::set_rate(state, 1);
}
BENCHMARK(move_armed);

void cancel_and_arm(benchmark::State& state) {
  ArmedWheel armed;
  size_t i = 0;
  for (auto _ : state) {
    armed.wheel.cancel(armed.timers[i]);
    armed.wheel.arm(armed.timers[i], kStart + armed.delay[i]);
    if (++i == kTimers) i = 0;
  }
  bench::set_rate(state, 1);
}
BENCHMARK(cancel_and_arm);

/// An idle timeout as connections have it: an instant that moves later is not told to the wheel, so a request
/// costs a comparison; the timer fires once in each timeout and is armed anew. A millisecond passes between
/// two rounds in which each of 1,000 connections asks; the time is of one request.
void lazily_moved(benchmark::State& state) {
  constexpr size_t kConnections = 1000;
  constexpr Duration kIdle = 75s;
  std::vector<Timer> timers(kConnections);
  std::vector<Instant> due(kConnections), armed(kConnections, kNever);
  TimerWheel wheel(kStart);
  Instant now = kStart;
  size_t at = 0;
  for (auto _ : state) {
    due[at] = now + kIdle;
    if (due[at] < armed[at]) {
      armed[at] = due[at];
      wheel.arm(timers[at], due[at]);
    }
    if (++at < kConnections) continue;
    at = 0;
    now += 1ms;
    wheel.advance(now, [&](Timer& timer) {
      const auto i = static_cast<size_t>(&timer - timers.data());
      armed[i] = due[i];
      wheel.arm(timer, due[i]);
    });
  }
  for (Timer& timer : timers) wheel.cancel(timer);
  bench::set_rate(state, 1);
}
BENCHMARK(lazily_moved);

void next_due(benchmark::State& state) {
  ArmedWheel armed;
  for (auto _ : state) benchmark::DoNotOptimize(armed.wheel.next_due());
}
BENCHMARK(next_due);

/// Time passes 1 ms an iteration; what fires is armed again, so the wheel stays full.
void advance_1ms(benchmark::State& state) {
  ArmedWheel armed;
  Instant now = kStart;
  int64_t fired = 0;
  for (auto _ : state) {
    now += 1ms;
    armed.wheel.advance(now, [&](Timer& timer) {
      const auto i = static_cast<size_t>(&timer - armed.timers.data());
      armed.wheel.arm(timer, now + armed.delay[i]);
      ++fired;
    });
  }
  state.counters["fired"] =
      benchmark::Counter(static_cast<double>(fired), benchmark::Counter::kAvgIterations);
}
BENCHMARK(advance_1ms);

}  // namespace

BENCHMARK_MAIN();
