#include "tests/sim/deliberate_bug.hpp"

namespace lastcall::test {

std::string_view to_string(Bug bug) {
  switch (bug) {
    case Bug::none: return "none";
    case Bug::late_accepts: return "late-accepts";
    case Bug::queue_drain: return "queue-drain";
    case Bug::readable_bytes: return "readable-bytes";
    case Bug::forgotten_count: return "forgotten-count";
    case Bug::double_count: return "double-count";
    case Bug::lost_last: return "lost-last";
    case Bug::double_last: return "double-last";
    case Bug::short_send: return "short-send";
    case Bug::wrong_connection: return "wrong-connection";
    case Bug::lost_broadcast: return "lost-broadcast";
    case Bug::early_stop: return "early-stop";
    case Bug::oversleep: return "oversleep";
    case Bug::lost_report: return "lost-report";
    case Bug::no_grace: return "no-grace";
    case Bug::deaf_to_force: return "deaf-to-force";
    case Bug::leak: return "leak";
    case Bug::kCount: break;
  }
  return "?";
}

std::optional<Bug> parse_bug(std::string_view name) {
  for (uint8_t i = 0; i < static_cast<uint8_t>(Bug::kCount); ++i) {
    if (to_string(static_cast<Bug>(i)) == name) return static_cast<Bug>(i);
  }
  return std::nullopt;
}

}  // namespace lastcall::test
