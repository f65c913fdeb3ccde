#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <atomic>
#include <memory>

#include <lastcall/core/clock.hpp>
#include <lastcall/core/log.hpp>
#include <lastcall/core/log_format.hpp>

namespace lastcall {
namespace {

std::atomic<LogFormat> chosen_format{LogFormat::text};
std::atomic<LogLevel> chosen_level{LogLevel::info};

// Never destroyed: threads may log while the process leaves. The sink writes and flushes a line under one
// lock.
spdlog::logger& logger() {
  static spdlog::logger* only = [] {
    auto made =
        std::make_unique<spdlog::logger>("lastcall", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("%v");
    made->set_level(spdlog::level::trace);
    return made.release();
  }();
  return *only;
}

}  // namespace

LogField::LogField(std::string_view k, Duration value) : key(k), text(format_duration(value)) {}

void log_configure(LogFormat format, LogLevel level) {
  chosen_format.store(format, std::memory_order_relaxed);
  chosen_level.store(level, std::memory_order_relaxed);
}

bool log_enabled(LogLevel level) noexcept {
  return level != LogLevel::off && level >= chosen_level.load(std::memory_order_relaxed);
}

void log_event(LogLevel level, std::string_view name, std::initializer_list<LogField> fields) noexcept try {
  if (!log_enabled(level)) return;
  LogFormat format = chosen_format.load(std::memory_order_relaxed);
  std::string line = format_log_line(format, wall_now(), level, name, fields);
  logger().log(spdlog::level::info, spdlog::string_view_t(line));
} catch (...) {
  // Out of memory, or standard error is gone: there is nowhere left to say so.
}

Result<LogLevel> parse_log_level(std::string_view text) {
  for (LogLevel level :
       {LogLevel::debug, LogLevel::info, LogLevel::warning, LogLevel::error, LogLevel::off}) {
    if (text == to_string(level)) return level;
  }
  return error("unknown log level \"" + std::string(text) + "\": choose debug, info, warning, error or off");
}

Result<LogFormat> parse_log_format(std::string_view text) {
  if (text == "text") return LogFormat::text;
  if (text == "json") return LogFormat::json;
  return error("unknown log format \"" + std::string(text) + "\": choose text or json");
}

}  // namespace lastcall
