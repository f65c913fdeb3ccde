#include <nlohmann/json.hpp>

#include <lastcall/http/server_status.hpp>
#include <lastcall/shutdown/loop_lag.hpp>

namespace lastcall {
namespace {

using Json = nlohmann::ordered_json;

uint64_t load(const std::atomic<uint64_t>& counter) noexcept {
  return counter.load(std::memory_order_relaxed);
}

Json json_of(const ServerStatus::Listener& listener) {
  Json json{{"address", listener.address}, {"gate", listener.gate}};
  if (!listener.gate_note.empty()) json["gate_note"] = listener.gate_note;
  return json;
}

Json json_of(const ServerStatus::Reactor& reactor) {
  return {{"id", reactor.id},
          {"accepted", reactor.accepted},
          {"accepted_while_stopping", reactor.accepted_while_stopping},
          {"active", reactor.active},
          {"idle", reactor.idle},
          {"idle_closed", reactor.idle_closed},
          {"completed", reactor.completed},
          {"handed_over", reactor.handed_over},
          {"aborted", reactor.aborted},
          {"loop_lag_us", std::chrono::duration_cast<std::chrono::microseconds>(reactor.loop_lag).count()}};
}

template <class T>
Json json_of(const std::vector<T>& items) {
  Json array = Json::array();
  for (const T& item : items) array.push_back(json_of(item));
  return array;
}

}  // namespace

std::vector<ServerStatus::Reactor> read_reactors(const StopControl& control, Instant now) {
  std::vector<ServerStatus::Reactor> reactors;
  for (uint32_t id = 0; id < control.reactors(); ++id) {
    const ReactorCounters& counters = control.counters(id);
    reactors.push_back({.id = id,
                        .accepted = load(counters.accepted),
                        .accepted_while_stopping = load(counters.accepted_while_stopping),
                        .active = load(counters.active),
                        .idle = load(counters.idle),
                        .idle_closed = load(counters.idle_closed),
                        .completed = load(counters.completed),
                        .handed_over = load(counters.handed_over),
                        .aborted = load(counters.aborted),
                        .loop_lag = loop_lag(counters, now)});
  }
  return reactors;
}

std::string to_json(const ServerStatus& status) {
  Json json{{"version", status.version},
            {"pid", status.pid},
            {"io", status.io},
            {"phase", to_string(status.phase)},
            {"uptime", static_cast<double>(to_ms(status.uptime)) / 1000},
            {"listeners", json_of(status.listeners)},
            {"reactors", json_of(status.reactors)}};
  // The path of a Unix socket may hold any byte; JSON may not.
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace lastcall
