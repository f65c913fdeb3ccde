#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <lastcall/core/time.hpp>
#include <lastcall/shutdown/control.hpp>
#include <lastcall/shutdown/phase.hpp>

namespace lastcall {

/// How a server does at one instant: the content of GET /status of the admin listener.
struct ServerStatus {
  struct Listener {
    std::string address;
    std::string gate;         ///< tier: "parking", "syn_filter", "unix", "plain"
    std::string gate_note{};  ///< why no better tier, or empty
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
    Duration loop_lag{};
  };

  std::string version;
  int pid = 0;
  std::string io;  ///< "epoll", "io_uring"
  Phase phase = Phase::running;
  Duration uptime{};
  std::vector<Listener> listeners{};
  std::vector<Reactor> reactors{};
};

/// What the reactors tell now. Each number is true, but not all of the same instant.
[[nodiscard]] std::vector<ServerStatus::Reactor> read_reactors(const StopControl& control, Instant now);

/// One JSON object on one line, without a newline: uptime in seconds, loop_lag_us in microseconds.
[[nodiscard]] std::string to_json(const ServerStatus& status);

}  // namespace lastcall
