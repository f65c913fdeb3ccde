#include "status_text.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <functional>

namespace lastcall::tool {
namespace {

using Json = nlohmann::json;

uint64_t number(const Json& object, const char* name) {
  return object.at(name).get<uint64_t>();
}

uint64_t total(const Json& status, const char* name) {
  uint64_t sum = 0;
  for (const Json& reactor : status.at("reactors")) sum += number(reactor, name);
  return sum;
}

uint64_t answers(const Json& reactor) {
  uint64_t sum = 0;
  for (const Json& of_class : reactor.at("answers")) sum += of_class.get<uint64_t>();
  return sum;
}

std::string human_lag(uint64_t us) {
  return us < 1000 ? fmt::format("{} us", us) : human_duration(static_cast<int64_t>(us / 1000));
}

/// Whether two answers are of one run of a server, so that what they count can be compared.
bool is_same_run(const Json& status, const StatusView& view) {
  return view.before != nullptr && view.seconds > 0 && view.before->at("pid") == status.at("pid") &&
         view.before->at("reactors").size() == status.at("reactors").size();
}

std::string rate(uint64_t now, uint64_t before, double seconds) {
  return with_commas(now > before ? static_cast<uint64_t>(static_cast<double>(now - before) / seconds + 0.5)
                                  : 0);
}

const char* colour_of(std::string_view phase) {
  if (phase == "running") return "\x1b[1;32m";
  if (phase == "announcing") return "\x1b[1;33m";
  if (phase == "draining") return "\x1b[1;35m";
  return phase == "forcing" ? "\x1b[1;31m" : "\x1b[1m";
}

std::string phase_line(const Json& status, bool colour) {
  const std::string phase = status.at("phase");
  const bool ready = status.at("ready");
  std::string line = colour ? colour_of(phase) + phase + "\x1b[0m" : phase;
  line += ready ? ", ready" : ", not ready";
  if (status.contains("stop_remaining_ms"))
    line += ", at most " + human_duration(status["stop_remaining_ms"]) + " left";
  return line;
}

std::vector<std::string> head_lines(const Json& status, const StatusView& view) {
  std::vector<std::string> lines;
  const auto up = static_cast<int64_t>(status.at("uptime").get<double>() * 1000);
  lines.push_back(fmt::format("lastcall {}  pid {}  {}  up {}",
                              printable(status.at("version").get<std::string>()), status.at("pid").get<int>(),
                              printable(status.at("io").get<std::string>()), human_duration(up)));
  lines.push_back(phase_line(status, view.colour));
  for (const Json& listener : status.at("listeners")) {
    lines.push_back(fmt::format("listening on {} ({})", printable(listener.at("address").get<std::string>()),
                                printable(listener.at("gate").get<std::string>())));
  }
  const uint64_t active = total(status, "active");
  std::string sums = fmt::format("{} connections, {} active", with_commas(active + total(status, "idle")),
                                 with_commas(active));
  const Json& descriptors = status.at("descriptors");
  sums += fmt::format("; {} of {} descriptors", with_commas(number(descriptors, "open")),
                      with_commas(number(descriptors, "limit")));
  if (is_same_run(status, view)) {
    const uint64_t sent = total(status, "bytes_sent"), before = total(*view.before, "bytes_sent");
    sums += fmt::format("; {} a second",
                        human_bytes(static_cast<double>(sent - std::min(sent, before)) / view.seconds));
  }
  lines.push_back(std::move(sums));
  return lines;
}

void add_reactors(std::vector<std::string>& lines, const Json& status, const StatusView& view) {
  const bool rates = is_same_run(status, view);
  constexpr const char* kRow = "{:>7} {:>8} {:>8} {:>12} {:>12} {:>12} {:>12} {:>8} {:>6} {:>9}";
  lines.emplace_back();
  lines.push_back(fmt::format(fmt::runtime(kRow), "reactor", "active", "idle",
                              rates ? "answers/s" : "answers", "accepted", "completed", "idle closed",
                              "aborted", "late", "lag"));
  const Json& reactors = status.at("reactors");
  for (size_t i = 0; i < reactors.size(); ++i) {
    const Json& reactor = reactors[i];
    const uint64_t answered = answers(reactor);
    const std::string shown =
        rates ? rate(answered, answers(view.before->at("reactors")[i]), view.seconds) : with_commas(answered);
    lines.push_back(
        fmt::format(fmt::runtime(kRow), number(reactor, "id"), with_commas(number(reactor, "active")),
                    with_commas(number(reactor, "idle")), shown, with_commas(number(reactor, "accepted")),
                    with_commas(number(reactor, "completed")), with_commas(number(reactor, "idle_closed")),
                    with_commas(number(reactor, "aborted")), with_commas(number(reactor, "late_requests")),
                    human_lag(number(reactor, "loop_lag_us"))));
  }
}

std::string request_line(const Json& request) {
  const std::string method = request.at("method");
  const std::string target = request.at("target");
  return fmt::format("{:>10}  {:<8}  {:<22}  {:>8}  {}", human_duration(request.at("age_ms")),
                     printable(request.at("state").get<std::string>()),
                     printable(request.at("peer").get<std::string>()),
                     human_bytes(static_cast<double>(number(request, "bytes_sent"))),
                     method.empty() ? "(head incomplete)" : printable(method + " " + target));
}

void add_requests(std::vector<std::string>& lines, const Json& status) {
  std::vector<const Json*> requests;
  std::vector<std::string> silent;
  uint64_t unlisted = 0;
  for (const Json& reactor : status.at("reactors")) {
    if (!reactor.contains("in_flight")) return;
    if (reactor["in_flight"].is_null()) {
      const std::string route = reactor.value("stuck_in", "");
      silent.push_back(fmt::format("reactor {} does not answer{}", number(reactor, "id"),
                                   route.empty() ? "" : ": it is in the handler of " + printable(route)));
      continue;
    }
    for (const Json& request : reactor["in_flight"]) requests.push_back(&request);
    unlisted += number(reactor, "in_flight_unlisted");
  }
  std::ranges::sort(requests, std::greater(),
                    [](const Json* one) { return one->at("age_ms").get<int64_t>(); });
  lines.emplace_back();
  lines.insert(lines.end(), silent.begin(), silent.end());
  if (requests.empty() && unlisted == 0) {
    if (silent.empty()) lines.emplace_back("no requests in flight");
    return;
  }
  lines.push_back(fmt::format("{:>10}  {:<8}  {:<22}  {:>8}  request ({} in flight)", "age", "state", "peer",
                              "sent", with_commas(requests.size() + unlisted)));
  for (const Json* request : requests) lines.push_back(request_line(*request));
  if (unlisted != 0) lines.push_back(fmt::format("{:>10}  {} younger ones", "and", with_commas(unlisted)));
}

/// Escape sequences take no room, and must stay whole: lines that have some are short.
void cut(std::string& line, size_t columns) {
  if (columns != 0 && line.size() > columns && line.find('\x1b') == std::string::npos) line.resize(columns);
}

}  // namespace

std::string with_commas(uint64_t number) {
  std::string text = std::to_string(number);
  for (size_t at = text.size(); at > 3; at -= 3) text.insert(at - 3, 1, ',');
  return text;
}

std::string human_duration(int64_t ms) {
  if (ms < 1000) return fmt::format("{} ms", ms);
  if (ms < 60'000) return fmt::format("{}.{} s", ms / 1000, ms % 1000 / 100);
  const int64_t s = ms / 1000;
  if (s < 3600) return fmt::format("{} min {} s", s / 60, s % 60);
  if (s < 86'400) return fmt::format("{} h {} min", s / 3600, s / 60 % 60);
  return fmt::format("{} d {} h", s / 86'400, s / 3600 % 24);
}

std::string human_bytes(double bytes) {
  if (bytes < 1000) return fmt::format("{:.0f} B", bytes);
  for (const char* unit : {"kB", "MB", "GB"}) {
    bytes /= 1000;
    if (bytes < 1000) return fmt::format("{:.1f} {}", bytes, unit);
  }
  return fmt::format("{:.1f} TB", bytes / 1000);
}

std::string printable(std::string_view text) {
  std::string shown(text);
  std::ranges::replace_if(
      shown, [](char c) { return c < ' ' || c > '~'; }, '?');
  return shown;
}

std::vector<std::string> describe_status(const Json& status, const StatusView& view) {
  std::vector<std::string> lines = head_lines(status, view);
  add_reactors(lines, status, view);
  add_requests(lines, status);
  for (std::string& line : lines) cut(line, view.columns);
  return lines;
}

std::string describe_progress(const Json& status) {
  std::string line = fmt::format("{}: {} active, {} idle", status.at("phase").get<std::string>(),
                                 with_commas(total(status, "active")), with_commas(total(status, "idle")));
  if (status.contains("stop_remaining_ms"))
    line += ", " + human_duration(status["stop_remaining_ms"]) + " left";
  return line;
}

}  // namespace lastcall::tool
