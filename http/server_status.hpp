#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <lastcall/core/time.hpp>
#include <lastcall/http/request_survey.hpp>
#include <lastcall/shutdown/control.hpp>
#include <lastcall/shutdown/phase.hpp>

namespace lastcall {

/// Of ReactorCounters::answers, in its order.
inline constexpr std::array<const char*, kAnswerClasses> kStatusClasses = {"1xx", "2xx", "3xx", "4xx", "5xx"};

/// How a server does at one instant: the content of GET /status of the admin listener.
struct ServerStatus {
  struct Listener {
    std::string address;
    std::string gate;         ///< tier: "parking", "syn_filter", "unix", "plain"
    std::string gate_note{};  ///< why no better tier, or empty
  };
  struct Descriptors {
    uint64_t open = 0;
    uint64_t limit = 0;
  };
  /// Connections since the start, but for active and idle, which are open now.
  struct Reactor {
    uint32_t id = 0;
    uint64_t accepted = 0;
    uint64_t accepted_while_stopping = 0;
    uint64_t active = 0;
    uint64_t idle = 0;
    uint64_t idle_closed = 0;
    uint64_t completed = 0;
    uint64_t handed_over = 0;
    uint64_t aborted = 0;
    uint64_t late_requests = 0;
    std::array<uint64_t, kAnswerClasses> answers{};  ///< by the class of their status: 1xx to 5xx
    uint64_t bytes_sent = 0;
    std::array<uint64_t, kTurnedAwayReasons> turned_away{};  ///< by TurnedAway
    Duration loop_lag{};
    std::optional<InFlightRequests> in_flight{};  ///< where it was asked for, and the reactor has answered
    std::string stuck_in{};                       ///< route of the handler that kept it from answering
  };

  std::string version;
  int pid = 0;
  std::string io;  ///< "epoll", "io_uring"
  Phase phase = Phase::running;
  bool ready = false;                        ///< as /readyz says
  std::optional<Duration> stop_remaining{};  ///< to the deadline, while a stop lasts; from 0
  Duration uptime{};
  Duration began_wall{};  ///< since 1970 UTC
  Descriptors descriptors{};
  std::vector<Listener> listeners{};
  std::vector<Reactor> reactors{};
  bool with_requests = false;  ///< in_flight was asked for: JSON has it, null where a reactor did not answer
};

/// What the reactors tell now. Each number is true, but not all of the same instant.
[[nodiscard]] std::vector<ServerStatus::Reactor> read_reactors(const StopControl& control, Instant now);

struct UpgradeStatus;
/// {"pid","attempt","state","why"}, on one line.
[[nodiscard]] std::string to_json(const UpgradeStatus& upgrade, int pid);

/// One JSON object on one line, without a newline: uptime in seconds, loop_lag_us in microseconds,
/// stop_remaining_ms only while a stop lasts; in_flight only with_requests, where stuck_in is given beside
/// null.
[[nodiscard]] std::string to_json(const ServerStatus& status);

}  // namespace lastcall
