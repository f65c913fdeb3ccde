#include <nlohmann/json.hpp>

#include <algorithm>

#include <lastcall/http/server_status.hpp>
#include <lastcall/http/upgrade.hpp>
#include <lastcall/shutdown/counts.hpp>
#include <lastcall/shutdown/loop_lag.hpp>

namespace lastcall {
namespace {

using Json = nlohmann::ordered_json;

template <class T>
Json json_of(const std::vector<T>& items);

Json json_of(const ServerStatus::Listener& listener) {
  Json json{{"address", listener.address}, {"gate", listener.gate}};
  if (!listener.gate_note.empty()) json["gate_note"] = listener.gate_note;
  return json;
}

Json json_of(const InFlightRequest& request) {
  return {{"method", request.method},        {"target", request.target}, {"route", request.route},
          {"state", request.state},          {"age_ms", request.age_ms}, {"peer", request.peer},
          {"bytes_sent", request.bytes_sent}};
}

Json json_of(const ServerStatus::Reactor& reactor) {
  Json answers = Json::object();
  for (size_t i = 0; i < reactor.answers.size(); ++i) answers[kStatusClasses[i]] = reactor.answers[i];
  Json turned_away = Json::object();
  for (size_t i = 0; i < kTurnedAwayReasons; ++i)
    turned_away[std::string(to_string(static_cast<TurnedAway>(i)))] = reactor.turned_away[i];
  return {{"id", reactor.id},
          {"accepted", reactor.accepted},
          {"accepted_while_stopping", reactor.accepted_while_stopping},
          {"active", reactor.active},
          {"idle", reactor.idle},
          {"idle_closed", reactor.idle_closed},
          {"completed", reactor.completed},
          {"handed_over", reactor.handed_over},
          {"aborted", reactor.aborted},
          {"late_requests", reactor.late_requests},
          {"answers", std::move(answers)},
          {"bytes_sent", reactor.bytes_sent},
          {"turned_away", std::move(turned_away)},
          {"loop_lag_us", std::chrono::duration_cast<std::chrono::microseconds>(reactor.loop_lag).count()}};
}

void add_requests(Json& json, const ServerStatus::Reactor& reactor) {
  if (reactor.in_flight) {
    json["in_flight"] = json_of(reactor.in_flight->oldest);
    json["in_flight_unlisted"] = reactor.in_flight->unlisted;
  } else {
    json["in_flight"] = nullptr;
    json["stuck_in"] = reactor.stuck_in;
  }
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
    ServerStatus::Reactor& reactor = reactors.emplace_back(
        ServerStatus::Reactor{.id = id,
                              .accepted = load(counters.accepted),
                              .accepted_while_stopping = load(counters.accepted_while_stopping),
                              .active = load(counters.active),
                              .idle = load(counters.idle),
                              .idle_closed = load(counters.idle_closed),
                              .completed = load(counters.completed),
                              .handed_over = load(counters.handed_over),
                              .aborted = load(counters.aborted),
                              .late_requests = load(counters.late_requests),
                              .bytes_sent = load(counters.bytes_sent),
                              .loop_lag = loop_lag(counters, now)});
    std::ranges::transform(counters.answers, reactor.answers.begin(), load);
    std::ranges::transform(counters.turned_away, reactor.turned_away.begin(), load);
  }
  return reactors;
}

std::string to_json(const ServerStatus& status) {
  Json reactors = json_of(status.reactors);
  for (size_t i = 0; status.with_requests && i < reactors.size(); ++i) {
    add_requests(reactors[i], status.reactors[i]);
  }
  Json json{{"version", status.version}, {"pid", status.pid},
            {"io", status.io},           {"phase", to_string(status.phase)},
            {"ready", status.ready},     {"uptime", static_cast<double>(to_ms(status.uptime)) / 1000}};
  if (status.stop_remaining) json["stop_remaining_ms"] = to_ms(*status.stop_remaining);
  json["descriptors"] = {{"open", status.descriptors.open}, {"limit", status.descriptors.limit}};
  json["listeners"] = json_of(status.listeners);
  json["reactors"] = std::move(reactors);
  // The path of a Unix socket or a request's target may hold any byte; JSON may not.
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string to_json(const UpgradeStatus& upgrade, int pid) {
  const Json json{{"pid", pid}, {"attempt", upgrade.attempt}, {"state", upgrade.state}, {"why", upgrade.why}};
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace lastcall
