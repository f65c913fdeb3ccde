#include <fmt/chrono.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <ctime>
#include <iterator>

#include <lastcall/core/log_format.hpp>

namespace lastcall {
namespace {

using Json = nlohmann::ordered_json;

std::string dump(const Json& json) {
  return json.dump(-1, ' ', true, Json::error_handler_t::replace);
}

bool is_plain(char c) {
  return c > ' ' && c < '\x7f' && c != '"' && c != '\\' && c != '=';
}

std::string text_value(const LogField& field) {
  bool plain = !field.text.empty() && std::ranges::all_of(field.text, is_plain);
  return plain ? field.text : dump(field.text);
}

Json json_value(const LogField& field) {
  if (field.type == LogField::Type::text) return field.text;
  Json value = Json::parse(field.text, nullptr, false);
  return value.is_discarded() ? Json(field.text) : value;
}

std::string timestamp(Duration wall) {
  auto seconds = std::chrono::floor<std::chrono::seconds>(wall);
  std::time_t time = seconds.count();
  std::tm utc{};
  ::gmtime_r(&time, &utc);
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", utc, to_ms(wall - seconds));
}

std::string format_text(Duration wall, LogLevel level, std::string_view name,
                        std::span<const LogField> fields) {
  std::string line = fmt::format("{} {} event={}", timestamp(wall), to_string(level), name);
  for (const LogField& field : fields) {
    fmt::format_to(std::back_inserter(line), " {}={}", field.key, text_value(field));
  }
  return line;
}

std::string format_json(Duration wall, LogLevel level, std::string_view name,
                        std::span<const LogField> fields) {
  Json line{{"time", timestamp(wall)}, {"level", to_string(level)}, {"event", name}};
  for (const LogField& field : fields) line.emplace(std::string(field.key), json_value(field));
  return dump(line);
}

}  // namespace

std::string format_log_line(LogFormat format, Duration wall, LogLevel level, std::string_view name,
                            std::span<const LogField> fields) {
  return format == LogFormat::json ? format_json(wall, level, name, fields)
                                   : format_text(wall, level, name, fields);
}

std::string format_duration(Duration duration) {
  if (duration < Duration::zero()) {
    return duration == Duration::min() ? "-" + format_duration(Duration::max())
                                       : "-" + format_duration(-duration);
  }
  int64_t ms = to_ms(duration);
  if (ms == 0 && duration >= 1us) return fmt::format("{}us", duration / 1us);
  if (ms % 1000 == 0) return fmt::format("{}s", ms / 1000);
  return ms < 1000 ? fmt::format("{}ms", ms) : fmt::format("{}.{:03}s", ms / 1000, ms % 1000);
}

const char* to_string(LogLevel level) noexcept {
  switch (level) {
    case LogLevel::debug: return "debug";
    case LogLevel::info: return "info";
    case LogLevel::warning: return "warning";
    case LogLevel::error: return "error";
    case LogLevel::off: return "off";
  }
  return "?";
}

}  // namespace lastcall
