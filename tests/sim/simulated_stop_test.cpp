// A whole server, its clients and its stop, thousands of times, each out of a seed: what the contract
// promises is held after every turn. LASTCALL_SEED=N runs that one alone, LASTCALL_SEEDS=N so many; tools/sim
// prints the trace of one.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include "tests/sim/simulation.hpp"

namespace lastcall::test {
namespace {

constexpr uint64_t kSeeds = std::string_view(LASTCALL_SANITIZE).empty() ? 4000 : 304;
constexpr uint64_t kParts = 8;            // test cases, which ctest may run side by side
constexpr uint64_t kSeedsForABug = 200;   // within which each deliberate bug must be found
constexpr uint64_t kSeedsToSeeAll = 300;  // within which every situation comes up

uint64_t number(const char* variable, uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

class SimulatedStop : public ::testing::TestWithParam<uint64_t> {};

TEST_P(SimulatedStop, KeepsEveryPromise) {
  uint64_t seeds = number("LASTCALL_SEEDS", kSeeds) / kParts;
  uint64_t first = 1 + GetParam() * seeds;
  if (uint64_t only = number("LASTCALL_SEED", 0); only != 0) first = only, seeds = 1;
  for (uint64_t seed = first; seed < first + seeds; ++seed) {
    SimulationResult result = simulate(seed);
    ASSERT_TRUE(result.ok) << explain(seed, Bug::none, result);
  }
}

INSTANTIATE_TEST_SUITE_P(Part, SimulatedStop, ::testing::Range(uint64_t{0}, kParts));

TEST(Simulation, SameSeedIsTheSameTraceByteForByte) {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    std::string first, second;
    auto into = [](std::string& text) {
      return [&text](std::string_view line) { text.append(line).append("\n"); };
    };
    SimulationResult one = simulate(seed, Bug::none, into(first));
    SimulationResult two = simulate(seed, Bug::none, into(second));
    ASSERT_EQ(first, second) << seed;
    ASSERT_EQ(one.trace_hash, two.trace_hash);
    ASSERT_EQ(one.tally, two.tally);
    ASSERT_EQ(one.trace_hash, simulate(seed).trace_hash) << "watching it changes it";
  }
}

TEST(Simulation, DifferentSeedsAreDifferentWorlds) {
  EXPECT_NE(simulate(1).trace_hash, simulate(2).trace_hash);
}

// A promise that is never put to the test is kept for nothing.
TEST(Simulation, EverySituationComesUp) {
  Tally tally{};
  for (uint64_t seed = 1; seed <= kSeedsToSeeAll; ++seed) {
    SimulationResult result = simulate(seed);
    for (size_t i = 0; i < tally.size(); ++i) tally[i] += result.tally[i];
  }
  for (size_t i = 0; i < tally.size(); ++i) EXPECT_GT(tally[i], 0u) << to_string(static_cast<Seen>(i));
}

struct Expected {
  Bug bug;
  std::vector<std::string> invariants;  // any of these may notice it first
};

std::ostream& operator<<(std::ostream& out, const Expected& expected) {
  return out << to_string(expected.bug);
}

constexpr const char* kAllReached = "every connection that the kernel accepted reached a reactor";
constexpr const char* kAnsweredOrReported =
    "a request whose first byte arrived is answered, or in the report";
constexpr const char* kCountedOnce = "every connection that ended is counted once";
constexpr const char* kNotStuck = "a reactor that can turn is not stuck";
constexpr const char* kWhole = "an answer is whole, or in the report";
constexpr const char* kRight = "an answer is the right one";
constexpr const char* kHttp = "answers are HTTP";
constexpr const char* kInTime = "the end comes by the deadline";

class DeliberateBug : public ::testing::TestWithParam<Expected> {};

TEST_P(DeliberateBug, IsFoundAndReplays) {
  Bug bug = GetParam().bug;
  for (uint64_t seed = 1; seed <= kSeedsForABug; ++seed) {
    SimulationResult result = simulate(seed, bug);
    if (result.ok) continue;
    std::cout << to_string(bug) << ": found by seed " << seed << ": " << result.invariant << ": "
              << result.detail << "\n";
    EXPECT_TRUE(std::ranges::count(GetParam().invariants, result.invariant)) << explain(seed, bug, result);
    EXPECT_FALSE(result.trace.empty());
    EXPECT_NE(explain(seed, bug, result).find("--seeds " + std::to_string(seed)), std::string::npos);
    SimulationResult again = simulate(seed, bug);
    EXPECT_EQ(again.trace_hash, result.trace_hash);
    EXPECT_EQ(again.invariant, result.invariant);
    return;
  }
  FAIL() << to_string(bug) << " is not found by " << kSeedsForABug << " seeds";
}

INSTANTIATE_TEST_SUITE_P(
    All, DeliberateBug,
    ::testing::Values(Expected{Bug::late_accepts, {kAllReached, kAnsweredOrReported}},
                      Expected{Bug::queue_drain, {"who is in the queue when a listener closes is served"}},
                      Expected{Bug::readable_bytes,
                               {"an idle connection is not closed over readable bytes", kAnsweredOrReported}},
                      Expected{Bug::forgotten_count, {kCountedOnce}},
                      Expected{Bug::double_count, {kCountedOnce}},
                      Expected{Bug::lost_last, {"every operation that was started ends", kNotStuck}},
                      Expected{Bug::double_last, {"an operation ends once, while its slot is its own"}},
                      Expected{Bug::short_send, {kWhole, kHttp, kRight}},
                      Expected{Bug::wrong_connection,
                               {"an answer has a request", kRight, kHttp, kAnsweredOrReported}},
                      Expected{Bug::lost_broadcast, {kNotStuck}},
                      Expected{Bug::early_stop, {"the report says why", kAnsweredOrReported}},
                      Expected{Bug::oversleep, {kInTime}},
                      Expected{Bug::lost_report, {kRight, kWhole, kAnsweredOrReported}},
                      Expected{Bug::no_grace, {"an idle connection has its grace"}},
                      Expected{Bug::deaf_to_force, {kInTime}}, Expected{Bug::leak, {"no buffer leaks"}}),
    [](const auto& expected) {
      std::string name(to_string(expected.param.bug));
      std::erase(name, '-');
      return name;
    });

}  // namespace
}  // namespace lastcall::test
