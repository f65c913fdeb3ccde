#pragma once

#include <string>
#include <vector>

#include <lastcall/core/time.hpp>

#include "options.hpp"
#include "tally.hpp"

namespace lastcall::load {

/// What became of a planned signal.
struct SentSignal {
  PlannedSignal planned;
  bool sent = false;
  Instant at{};       ///< CLOCK_MONOTONIC, when sent
  std::string error;  ///< when not
};

struct Summary {
  Tally tally;
  Duration duration{};
  std::vector<SentSignal> signals;
};

/// Runs the whole load and returns when it is over. `interrupt`: a descriptor that ends it early when it
/// becomes readable; -1: none.
[[nodiscard]] Summary run_load(const LoadOptions& options, int interrupt = -1);

/// 0: whatever was sent was answered. 1: something was lost or stuck, or 5xx unless allowed, or nothing was
/// answered, or a signal was not sent, or the load was at an end of its own means.
[[nodiscard]] int exit_code(const LoadOptions& options, const Summary& summary);

}  // namespace lastcall::load
