#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <lastcall/core/error.hpp>
#include <lastcall/shutdown/aborted_exchange.hpp>
#include <lastcall/shutdown/phase.hpp>

namespace lastcall {

/// One phase of the stop, in milliseconds since the request to stop.
struct PhaseSpan {
  Phase phase = Phase::running;  ///< never `running` in a report
  int64_t start_ms = 0;          ///< its first instant
  int64_t end_ms = 0;            ///< the first of the phase that follows, or the end
};

/// What became of the connections of one reactor, since it started.
struct ReactorTotals {
  uint32_t id = 0;                       ///< counts from 0
  uint64_t accepted = 0;                 ///< is the sum of the last four once all have ended
  uint64_t accepted_while_stopping = 0;  ///< of those, after draining began
  uint64_t idle_closed = 0;              ///< closed by the server between two requests
  uint64_t completed = 0;                ///< ended in order, or by the client
  uint64_t handed_over = 0;              ///< went on, unnoticed, in the process that replaced this one
  uint64_t aborted = 0;                  ///< cut off by the server with a request not answered in full
};

/// Background tasks and shutdown hooks; abandoned: cut short by the deadline, or still running when the stop
/// was over.
struct BackgroundTotals {
  uint64_t completed = 0;  ///< returned
  uint64_t failed = 0;     ///< threw
  uint64_t abandoned = 0;  ///< of the deadline
};

/// What was open at one instant of the stop, and what had ended by then; all reactors together. The last two
/// count from the start of the reactors, as ReactorTotals do.
struct TimelineSample {
  int64_t at_ms = 0;       ///< since the request to stop
  uint64_t idle = 0;       ///< open connections between two requests, or silent so far
  uint64_t active = 0;     ///< open connections with a request not answered in full
  uint64_t aborted = 0;    ///< so far
  uint64_t completed = 0;  ///< so far
};

/// How the entrance was closed.
struct GateReport {
  /// One of the addresses that the server listened on.
  struct Listener {
    std::string address;  ///< "127.0.0.1:8080", "unix:/run/x.sock"; the port is the one in use
    std::string tier;     ///< "parking", "syn_filter", "unix", "plain", "handed_over"
  };
  std::vector<Listener> listeners;  ///< in the order of ServerOptions::listen
  bool certified = false;  ///< no handshake was under way when the listeners closed, and none could begin
  bool cookies =
      false;  ///< SYN cookies were in use, which nobody can see: the gate was held for its whole limit
  int64_t held_ms = 0;  ///< how long the listeners stayed open for handshakes under way
};

/// How a stop went: the content of --report.
struct DrainReport {
  std::string reason;                    ///< "SIGTERM", or what the caller of the stop gave
  std::string io;                        ///< "epoll", "io_uring"
  int exit_code = 0;                     ///< as Server::run() returns it
  int64_t duration_ms = 0;               ///< from the request to stop to its end
  int64_t deadline_ms = 0;               ///< from the request to the deadline, as it was at the end
  std::vector<PhaseSpan> phases;         ///< in order
  std::vector<ReactorTotals> reactors;   ///< by id
  std::vector<AbortedExchange> aborted;  ///< one each request that was cut off, up to 10,000
  uint64_t aborted_unlisted = 0;         ///< requests that were cut off and are too many for the list
  uint64_t late_requests =
      0;  ///< connections on which bytes came after the server had closed its side of them as idle
  BackgroundTotals background;             ///< tasks and hooks
  GateReport gate{};                       ///< the listeners
  std::vector<TimelineSample> timeline{};  ///< in order of time; of one instant, the later is the newer
};

/// One JSON object on one line, without a newline. Bytes that are not UTF-8 become U+FFFD; never throws for
/// them.
[[nodiscard]] std::string to_json(const DrainReport& report);

/// Writes the report and a newline: to standard output for "-", in place to what is not a regular file (a
/// pipe, /dev/...) or is a mount point, else to a temporary file beside `path` that replaces it at once. Does
/// not fsync. An error names the path. Waits as long as writing to `path` does.
[[nodiscard]] Result<void> write_report(const DrainReport& report, const std::string& path);

}  // namespace lastcall
