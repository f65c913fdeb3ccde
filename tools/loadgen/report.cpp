#include "report.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <array>
#include <chrono>
#include <fstream>
#include <utility>

namespace lastcall::load {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array<std::pair<const char*, double>, 4> kPercentiles = {
    {{"p50", 50}, {"p90", 90}, {"p99", 99}, {"p99.9", 99.9}}};
constexpr size_t kShownExamples = 5;

double seconds(Duration duration) {
  return std::chrono::duration<double>(duration).count();
}

double ms(Duration duration) {
  return seconds(duration) * 1e3;
}

double microseconds(Duration duration) {
  return static_cast<double>(duration / 100ns) / 10;
}

double per_second(const Summary& summary) {
  return static_cast<double>(summary.tally.answers()) / seconds(summary.duration);
}

const char* meaning(Outcome outcome) {
  switch (outcome) {
    case Outcome::refused: return "safe to retry";
    case Outcome::dropped: return "safe to retry";
    case Outcome::turned_away: return "safe to retry";
    case Outcome::unable: return "the load's own limits";
    default: return "";
  }
}

std::string name_targets(const LoadOptions& options) {
  std::string names;
  for (const Address& target : options.targets) names.append(names.empty() ? "" : ", ").append(target.text);
  return names;
}

std::string outcome_line(const Tally& tally, Outcome outcome) {
  std::string line = fmt::format("  {:<12}{:>12}", to_string(outcome), tally.count(outcome));
  std::string remark = tally.count(outcome) == 0 ? "" : meaning(outcome);
  if (auto found = tally.reasons().find(outcome); found != tally.reasons().end()) {
    for (const auto& [reason, count] : found->second) {
      remark += fmt::format("{}{} {}", remark.empty() ? "" : "; ", reason, count);
    }
  }
  if (outcome == Outcome::ok || outcome == Outcome::http_5xx) {
    for (size_t status = 0; status < Tally::kStatuses; ++status) {
      uint64_t count = tally.statuses()[status];
      bool here = (status < 500) == (outcome == Outcome::ok);
      if (here && count > 0) remark += fmt::format("{}{}: {}", remark.empty() ? "" : ", ", status, count);
    }
  }
  return remark.empty() ? line + "\n" : fmt::format("{}   {}\n", line, remark);
}

std::string latency_line(const Histogram& latency) {
  if (latency.count() == 0) return "";
  std::string line = "latency";
  for (auto [name, percent] : kPercentiles) {
    line += fmt::format("  {} {:.3f}", name, ms(latency.percentile(percent)));
  }
  return line + fmt::format("  max {:.3f} ms, from when each request was due\n", ms(latency.max()));
}

std::string example_line(const Example& one) {
  return fmt::format(
      "  at {:.3f} s: {} ({}), {:.2f} ms after it was sent, on {}: {:.1f} ms old, {} answered before\n",
      seconds(one.at), to_string(one.outcome), one.reason, ms(one.since_sent), one.local,
      ms(one.connection_age), one.answered);
}

Json latencies(const Histogram& latency) {
  Json json;
  for (auto [name, percent] : kPercentiles) json[name] = microseconds(latency.percentile(percent));
  json["max"] = microseconds(latency.max());
  json["mean"] = microseconds(latency.mean());
  return json;
}

Json signals_json(const Summary& summary) {
  Json list = Json::array();
  for (const SentSignal& one : summary.signals) {
    list.push_back({{"pid", one.planned.pid},
                    {"name", one.planned.name},
                    {"sent", one.sent},
                    {"monotonic_s", seconds(one.at.time_since_epoch())},
                    {"error", one.error}});
  }
  return list;
}

Json examples_json(const Tally& tally) {
  Json list = Json::array();
  for (const Example& one : tally.examples()) {
    list.push_back({{"outcome", to_string(one.outcome)},
                    {"reason", one.reason},
                    {"at_ms", ms(one.at)},
                    {"since_sent_ms", ms(one.since_sent)},
                    {"connection_age_ms", ms(one.connection_age)},
                    {"answered", one.answered},
                    {"local", one.local}});
  }
  return list;
}

}  // namespace

std::string describe(const LoadOptions& options, const Summary& summary) {
  const Tally& tally = summary.tally;
  std::string text = fmt::format("{}: {} keep-alive and {} one-request clients, ", name_targets(options),
                                 options.keep_alive, options.fresh);
  text += options.rate > 0 ? fmt::format("open loop at {} requests/s", options.rate)
                           : fmt::format("closed loop, think time to {} and {} ms", ms(options.think),
                                         ms(options.fresh_think));
  text +=
      fmt::format(", {} thread{}, seed {}\n", options.threads, options.threads == 1 ? "" : "s", options.seed);
  text += fmt::format(
      "{:.3f} s, {} requests sent, {:.0f} answers/s, {} connections, {} closed idle, {:.1f} MB received\n",
      seconds(summary.duration), tally.sent(), per_second(summary), tally.connections, tally.closed_idle,
      static_cast<double>(tally.bytes_received) / 1e6);
  for (Outcome outcome : kOutcomes) text += outcome_line(tally, outcome);
  if (tally.unsolicited > 0)
    text += fmt::format("{} connections said something unasked\n", tally.unsolicited);
  if (tally.never_begun > 0) {
    text += fmt::format("{} requests were due and found no free client to the end\n", tally.never_begun);
  }
  text += latency_line(tally.latency());
  for (const SentSignal& one : summary.signals) {
    text += fmt::format("signal {} to {} at {:.3f} s{}{}\n", one.planned.name, one.planned.pid,
                        seconds(one.planned.at), one.sent ? "" : " NOT SENT: ", one.error);
  }
  for (size_t i = 0; i < std::min(tally.examples().size(), kShownExamples); ++i) {
    text += example_line(tally.examples()[i]);
  }
  return text + fmt::format("lost {}\n", tally.lost());
}

std::string describe_json(const LoadOptions& options, const Summary& summary) {
  const Tally& tally = summary.tally;
  Json json{{"targets", Json::array()},
            {"keep_alive", options.keep_alive},
            {"fresh", options.fresh},
            {"seed", options.seed},
            {"seconds", seconds(summary.duration)},
            {"sent", tally.sent()},
            {"answers_per_second", per_second(summary)},
            {"lost", tally.lost()}};
  for (const Address& target : options.targets) json["targets"].push_back(target.text);
  for (Outcome outcome : kOutcomes) json["outcomes"][std::string(to_string(outcome))] = tally.count(outcome);
  json["reasons"] = Json::object();
  for (const auto& [outcome, counts] : tally.reasons())
    json["reasons"][std::string(to_string(outcome))] = counts;
  json["statuses"] = Json::object();
  for (size_t status = 0; status < Tally::kStatuses; ++status) {
    if (uint64_t count = tally.statuses()[status]) json["statuses"][std::to_string(status)] = count;
  }
  json["latency_us"] = latencies(tally.latency());
  json["connections"] = tally.connections;
  json["closed_idle"] = tally.closed_idle;
  json["unsolicited"] = tally.unsolicited;
  json["never_begun"] = tally.never_begun;
  json["bytes_received"] = tally.bytes_received;
  json["signals"] = signals_json(summary);
  json["examples"] = examples_json(tally);
  json["exit_code"] = exit_code(options, summary);
  return json.dump() + "\n";
}

bool write_samples(const std::string& file, const Tally& tally) {
  std::ofstream out(file);
  for (const Sample& one : tally.samples()) {
    out << one.due_us << ' ' << one.latency_us << ' ' << one.status << '\n';
  }
  out.close();
  return !out.fail();
}

}  // namespace lastcall::load
