#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include <lastcall/core/time.hpp>
#include <lastcall/net/address.hpp>

namespace lastcall::load {

inline constexpr uint32_t kMostConnections = 10'000;
inline constexpr uint32_t kMostPipelined = 64;
inline constexpr uint32_t kMostThreads = 256;
inline constexpr uint64_t kMostBodyBytes = 64 << 20;

/// A signal to send while the load runs.
struct PlannedSignal {
  pid_t pid = 0;
  int number = 0;
  std::string name;  ///< "TERM"
  Duration at{};     ///< since the load began
};

/// What to ask, of whom, how often and for how long.
struct LoadOptions {
  std::vector<Address> targets;  ///< clients take them in turn
  uint32_t keep_alive = 64;      ///< clients that keep their connection
  uint32_t fresh = 0;            ///< clients that open one for each request
  Duration think{};              ///< closed loop: a keep-alive client pauses 0 to this after an answer
  Duration fresh_think{};        ///< the same for the others
  double rate = 0;               ///< open loop: requests a second of all together; 0: closed loop
  Duration duration = 10s;       ///< after it, only answers are awaited
  uint64_t requests = 0;         ///< at most so many are begun; 0: no bound
  Duration timeout = 5s;
  uint32_t threads = 1;
  uint32_t pipeline = 1;  ///< requests a keep-alive client sends at once
  std::string method = "GET";
  std::vector<std::string> paths;  ///< clients take them in turn
  std::vector<std::string> headers;
  uint64_t body_bytes = 0;
  bool chunked = false;
  uint64_t seed = 1;
  std::vector<PlannedSignal> signals;
  bool stop_when_refused = false;
  bool allow_5xx = false;
  bool json = false;
  std::string samples;  ///< file for one line an answer; empty: none

  [[nodiscard]] uint32_t clients() const noexcept { return keep_alive + fresh; }
};

/// The options, or the exit code when there is nothing left to do (--help: 0, a mistake: 2, told on standard
/// error with the flag).
std::variant<LoadOptions, int> parse_options(int argc, char** argv);

/// "PID:TERM@2s". Throws std::invalid_argument saying what is wrong.
PlannedSignal parse_signal(const std::string& text);

}  // namespace lastcall::load
