#pragma once

#include <lastcall/core/time.hpp>

namespace lastcall {

/// How a stop proceeds. All are durations from the request to stop, except idle_grace (from the start of
/// draining).
struct StopOptions {
  Duration announce = 0s;    ///< lame duck: readiness is 503, everything else as before
  Duration idle_grace = 1s;  ///< how long an idle connection may still send one more request while draining
  Duration deadline = 25s;   ///< from the request to stop to the exit
  Duration force_margin = 500ms;  ///< forcing begins this long before the deadline
};

}  // namespace lastcall
