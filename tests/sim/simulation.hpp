#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/sim/deliberate_bug.hpp"

namespace lastcall::test {

/// What a simulated stop met with; the tests hold that each comes up, so that no invariant is kept by
/// idleness alone.
enum class Seen : uint8_t {
  requests,
  answered,
  late_accepts,        ///< connections accepted after the accept was cancelled
  queue_drained,       ///< connections taken out of the queue just before its listener closed
  parked,              ///< connections that came while the gate was closing
  handshakes,          ///< handshakes that ended while the gate was closing
  accept_errors,       ///< EMFILE, ENFILE, ENOBUFS, ENOMEM on accept
  refused_operations,  ///< receives that could not be registered
  broken,              ///< connections that the network broke
  stalls,
  hogs,                ///< stalls inside a handler
  interludes,          ///< others ran in the middle of a reactor's turn
  idle_closed,         ///< idle closes of the stop
  saved_by_unread,     ///< idle verdicts that met with readable bytes
  late_requests,       ///< requests that came behind an idle close
  unserved_pipelined,  ///< requests still in the socket when the answer before them said close
  closes,              ///< answers that said close
  overloads,
  timeouts,  ///< 408
  forced,    ///< exchanges in the report
  stuck,     ///< reactors that were stuck at the deadline
  second_requests,
  force_signals,
  third_signals,
  killed,  ///< stops that ended by the third signal
  signals_after_end,
  before_first_connection,  ///< stops that came before any connection
  exit_0,
  exit_2,
  exit_3,
  kCount,
};
[[nodiscard]] std::string_view to_string(Seen seen);

using Tally = std::array<uint64_t, static_cast<size_t>(Seen::kCount)>;

struct SimulationResult {
  bool ok = true;
  std::string invariant;           ///< the first that did not hold
  std::string detail;              ///< by what
  std::vector<std::string> trace;  ///< its last lines
  uint64_t trace_lines = 0;        ///< how many there were
  uint64_t trace_hash = 0;         ///< of all of them
  Tally tally{};
};

/// One whole server, its clients and its stop, from the first connection to the exit: a pure function of the
/// seed (and the bug). `trace` gets every line as it is written. A CHECK that fails inside prints the seed
/// and the last lines before the process aborts.
[[nodiscard]] SimulationResult simulate(uint64_t seed, Bug bug = Bug::none,
                                        std::function<void(std::string_view)> trace = {});

/// What went wrong, with the seed and the last lines of the trace, for people.
[[nodiscard]] std::string explain(uint64_t seed, Bug bug, const SimulationResult& result);

}  // namespace lastcall::test
