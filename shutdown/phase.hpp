#pragma once

#include <cstdint>

namespace lastcall {

/// The phases of a stop, in order. A server moves only forward; announcing may be skipped.
enum class Phase : uint8_t {
  running,     ///< accepting and serving
  announcing,  ///< readiness is 503; still accepting and serving
  draining,    ///< listeners are closing; who is inside is served to the end
  forcing,     ///< what is left is answered 503 or cut off, and reported
  stopped,     ///< reactors leave their loops
};

/// The name as it stands in logs and reports. Static storage.
[[nodiscard]] constexpr const char* to_string(Phase phase) noexcept {
  switch (phase) {
    case Phase::running: return "running";
    case Phase::announcing: return "announcing";
    case Phase::draining: return "draining";
    case Phase::forcing: return "forcing";
    case Phase::stopped: return "stopped";
  }
  return "?";
}

}  // namespace lastcall
