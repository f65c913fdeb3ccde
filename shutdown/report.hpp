#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <lastcall/core/error.hpp>
#include <lastcall/shutdown/control.hpp>
#include <lastcall/shutdown/phase.hpp>

namespace lastcall {

/// One phase of the stop, in milliseconds since the request to stop.
struct PhaseSpan {
  Phase phase = Phase::running;
  int64_t start_ms = 0;
  int64_t end_ms = 0;
};

/// What became of the connections of one reactor, since it started.
struct ReactorTotals {
  uint32_t id = 0;
  uint64_t accepted = 0;
  uint64_t accepted_while_stopping = 0;
  uint64_t idle_closed = 0;
  uint64_t completed = 0;
  uint64_t aborted = 0;
};

/// Background tasks and shutdown hooks; abandoned: still running when the process left.
struct BackgroundTotals {
  uint64_t completed = 0;
  uint64_t failed = 0;
  uint64_t abandoned = 0;
};

/// How a stop went: the content of --report.
struct DrainReport {
  std::string reason;  ///< "SIGTERM", or what the caller of the stop gave
  std::string io;      ///< "epoll", "io_uring"
  int exit_code = 0;
  int64_t duration_ms = 0;
  std::vector<PhaseSpan> phases;
  std::vector<ReactorTotals> reactors;
  std::vector<AbortedExchange> aborted;
  uint64_t late_requests = 0;
  BackgroundTotals background;
};

/// One JSON object on one line, without a newline. Bytes that are not UTF-8 become U+FFFD; never throws for
/// them.
[[nodiscard]] std::string to_json(const DrainReport& report);

/// Writes the report and a newline: to standard output for "-", in place to what is not a regular file (a
/// pipe, /dev/...) or is a mount point, else to a temporary file beside `path` that replaces it at once. Does
/// not fsync. An error names the path. Waits as long as writing to `path` does.
[[nodiscard]] Result<void> write_report(const DrainReport& report, const std::string& path);

}  // namespace lastcall
