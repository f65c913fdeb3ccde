#include "tests/sim/simulation.hpp"

#include <csignal>
#include <cstdio>
#include <memory>

#include "tests/sim/world.hpp"
#include "tests/sim/world_client.hpp"

namespace lastcall::test {
namespace {

/// While a world runs, a failed CHECK tells which.
class OnAbort {
 public:
  OnAbort(uint64_t seed, Bug bug, const World& world) : before_(std::signal(SIGABRT, &tell)) {
    running_ = {seed, bug, &world};
  }
  OnAbort(const OnAbort&) = delete;
  OnAbort& operator=(const OnAbort&) = delete;
  ~OnAbort() { std::signal(SIGABRT, before_); }

 private:
  struct Running {
    uint64_t seed;
    Bug bug;
    const World* world;
  };
  static void tell(int) {
    std::signal(SIGABRT, SIG_DFL);
    running_.world->print_last_lines();
    std::fprintf(stderr, "a CHECK failed in seed %llu (bug: %s)\n", 1ull * running_.seed,
                 std::string(to_string(running_.bug)).c_str());
  }
  static inline Running running_{};
  void (*before_)(int);
};

/// Worlds in which something broke: nothing in them can be relied on, their own destruction least.
std::vector<std::unique_ptr<World>>& graveyard() {
  static auto* worlds = new std::vector<std::unique_ptr<World>>;
  return *worlds;
}

}  // namespace

std::string_view to_string(Seen seen) {
  static constexpr std::string_view names[] = {"requests",
                                               "answered",
                                               "late_accepts",
                                               "queue_drained",
                                               "parked",
                                               "handshakes",
                                               "accept_errors",
                                               "refused_operations",
                                               "broken",
                                               "stalls",
                                               "hogs",
                                               "interludes",
                                               "idle_closed",
                                               "saved_by_unread",
                                               "late_requests",
                                               "unserved_pipelined",
                                               "closes",
                                               "overloads",
                                               "timeouts",
                                               "forced",
                                               "stuck",
                                               "second_requests",
                                               "force_signals",
                                               "third_signals",
                                               "killed",
                                               "signals_after_end",
                                               "before_first_connection",
                                               "exit_0",
                                               "exit_2",
                                               "exit_3"};
  static_assert(std::size(names) == static_cast<size_t>(Seen::kCount));
  return names[static_cast<size_t>(seen)];
}

SimulationResult simulate(uint64_t seed, Bug bug, std::function<void(std::string_view)> trace) {
  auto world = std::make_unique<World>(seed, bug, std::move(trace));
  OnAbort on_abort(seed, bug, *world);
  SimulationResult result = world->run();
  if (!result.ok) graveyard().push_back(std::move(world));
  return result;
}

std::string explain(uint64_t seed, Bug bug, const SimulationResult& result) {
  std::string text;
  for (const std::string& line : result.trace) text.append(line).append("\n");
  text.append("seed ").append(std::to_string(seed)).append(": ").append(result.invariant).append("\n  ");
  text.append(result.detail)
      .append("\n  again: tools/sim --seeds ")
      .append(std::to_string(seed))
      .append("..");
  text.append(std::to_string(seed)).append(" --trace");
  if (bug != Bug::none) text.append(" --bug ").append(to_string(bug));
  return text.append("\n");
}

}  // namespace lastcall::test
