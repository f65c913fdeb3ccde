#pragma once

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lastcall::tool {

/// How a status is shown.
struct StatusView {
  const nlohmann::json* before = nullptr;  ///< the one before it, for rates; none: no rates
  double seconds = 0;                      ///< between the two
  size_t columns = 0;                      ///< longer lines are cut; 0: none is
  bool colour = false;                     ///< with escape sequences
};

/// "1,234,567".
[[nodiscard]] std::string with_commas(uint64_t number);
/// "17 ms", "4.2 s", "3 min 5 s", "2 h 4 min", "5 d 1 h".
[[nodiscard]] std::string human_duration(int64_t ms);
/// "512 B", "1.5 kB", "2.0 GB".
[[nodiscard]] std::string human_bytes(double bytes);
/// What a terminal must not get from strangers, as '?': all but printable ASCII.
[[nodiscard]] std::string printable(std::string_view text);

/// The answer of /status (with ?requests=1, or without) as lines for people. Throws nlohmann::json::exception
/// where it is not such an answer.
[[nodiscard]] std::vector<std::string> describe_status(const nlohmann::json& status,
                                                       const StatusView& view = {});
/// "draining: 3 active, 12 idle, 22.4 s left".
[[nodiscard]] std::string describe_progress(const nlohmann::json& status);

}  // namespace lastcall::tool
