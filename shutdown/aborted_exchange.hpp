#pragma once

#include <cstdint>
#include <string>

namespace lastcall {

/// A request that the forcing phase cut off: one entry of the report's "aborted". A connection has as many as
/// it has requests whose first byte was received and whose answer was not handed in full to the kernel; it
/// counts once in `aborted` of its reactor.
struct AbortedExchange {
  std::string peer;         ///< "127.0.0.1:53124"
  std::string method;       ///< empty when the head was incomplete, or refused
  std::string target;       ///< as sent; empty as `method`, cut where the reactor was stuck (256 bytes)
  std::string state;        ///< "head", "body", "handling" (or waiting for its turn), "writing", "hijacked"
  int64_t age_ms = 0;       ///< since its first byte; of one that waits for its turn, that of the one before
  uint64_t bytes_sent = 0;  ///< on its connection, so far
  std::string why;          ///< "deadline", "second signal", "stuck reactor"
  std::string route{};      ///< pattern of the handler that its reactor is stuck in; else empty
};

}  // namespace lastcall
