#pragma once

#include <string>
#include <vector>

#include <lastcall/core/time.hpp>
#include <lastcall/http/exchange.hpp>
#include <lastcall/net/worker.hpp>
#include <lastcall/shutdown/stop_options.hpp>

#include "tests/sim/sim_network.hpp"

namespace lastcall::test {

/// All that is decided before a simulated server starts, out of its seed.
struct WorldPlan {
  struct Stop {
    enum class Kind : uint8_t { terminate, quit, request };
    Duration at{};
    Kind kind = Kind::terminate;
    StopOptions options;  ///< of a request; signals take those of the server
  };
  struct Task {
    Duration begin{}, end{};
    bool fails = false;
  };

  SimOptions network;
  uint32_t reactors = 1;
  uint32_t addresses = 1;  ///< listeners of each reactor
  WorkerOptions worker;
  SessionOptions session;
  StopOptions stop;
  std::vector<Stop> stops;  ///< in order of time; the first one begins the stop
  std::vector<Task> tasks;
  std::vector<Duration> arrivals;   ///< when clients connect
  std::vector<Duration> breakages;  ///< when the network breaks a connection
  bool parking = true;              ///< the gate leads newcomers aside; otherwise listeners close at once

  // Chances, each time that it could happen.
  double stall = 0;            ///< after a turn that did something
  double broadcast_stall = 0;  ///< of each reactor, when a phase is entered
  double skip = 0;             ///< a reactor that could turn is passed over this time
  double interlude = 0;        ///< others run in the middle of a turn
  double accept_error = 0;
  double refused_operation = 0;
  double broken_send = 0;
  bool calm = false;  ///< no stalls and no faults: what people measure

  [[nodiscard]] static WorldPlan of(uint64_t seed);
  [[nodiscard]] Duration stop_at() const { return stops.front().at; }
};

/// A duration below `most` that is often short: small and large ones are equally likely by their order of
/// magnitude.
[[nodiscard]] Duration any_size(SimRandom& random, Duration most);
/// Evenly below `most`, in microseconds.
[[nodiscard]] Duration up_to(SimRandom& random, Duration most);

}  // namespace lastcall::test
