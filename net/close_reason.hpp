#pragma once

#include <cstdint>

namespace lastcall {

/// Why a connection ended. Each ends with exactly one, and each reason counts in exactly one of the counters.
enum class CloseReason : uint8_t {
  none,
  finished,       ///< the last answer said close, or the request asked for it
  peer_closed,    ///< the peer ended the stream
  peer_reset,     ///< the connection broke
  refused,        ///< the input was refused, and answered so
  timed_out,      ///< a header or body did not come in time, and was answered so
  overloaded,     ///< over the connection limit, answered 503
  idle_timeout,   ///< silent for the idle timeout
  drained_idle,   ///< silent for the idle grace of a stop
  write_timeout,  ///< the peer did not take the answer in time
  forced,         ///< cut off by the forcing phase
  failed,         ///< an answer could not be completed (its handler threw after the head was out)
};

enum class CloseClass : uint8_t { completed, idle_closed, aborted };

[[nodiscard]] constexpr CloseClass classify(CloseReason reason) noexcept {
  switch (reason) {
    case CloseReason::none:
    case CloseReason::finished:
    case CloseReason::peer_closed:
    case CloseReason::peer_reset:
    case CloseReason::refused:
    case CloseReason::timed_out:
    case CloseReason::overloaded: return CloseClass::completed;
    case CloseReason::idle_timeout:
    case CloseReason::drained_idle: return CloseClass::idle_closed;
    case CloseReason::write_timeout:
    case CloseReason::forced:
    case CloseReason::failed: return CloseClass::aborted;
  }
  return CloseClass::aborted;
}

}  // namespace lastcall
