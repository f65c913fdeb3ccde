#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include <lastcall/core/error.hpp>
#include <lastcall/core/time.hpp>

namespace lastcall {

/// Lines below the chosen level are not written; `off`: none is.
enum class LogLevel : uint8_t { debug, info, warning, error, off };
/// `text`: `key=value` pairs; `json`: an object a line.
enum class LogFormat : uint8_t { text, json };

/// One key=value of a log line. Text is quoted and escaped by the writer where it needs to be.
struct LogField {
  /// What it is in JSON: a string, or as it stands.
  enum class Type : uint8_t { text, number, boolean };

  std::string_view key;    ///< written as it is: letters, digits and underscores; has to outlive the call
  std::string text;        ///< the value; bytes that are no printable text are escaped
  Type type = Type::text;  ///< of the value

  /// @{
  /// Numbers in decimal.
  LogField(std::string_view k, std::string_view value) : key(k), text(value) {}
  LogField(std::string_view k, const char* value) : key(k), text(value) {}
  LogField(std::string_view k, const std::string& value) : key(k), text(value) {}
  LogField(std::string_view k, bool value) : key(k), text(value ? "true" : "false"), type(Type::boolean) {}
  template <std::integral T>
  requires(!std::same_as<T, bool>) LogField(std::string_view k, T value)
      : key(k), text(std::to_string(value)), type(Type::number) {}
  LogField(std::string_view k, Duration value);  ///< "25s", "1.500s", "40ms": a text
  /// @}
};

/// Chooses how and how much is logged; lines go to standard error. From any thread, also while others log.
void log_configure(LogFormat format, LogLevel level);

/// Writes one line `<time> <level> event=<name> key=value …`, or one JSON object. From any thread; takes a
/// lock and may allocate, so it belongs to the control plane: never on the path of a request.
void log_event(LogLevel level, std::string_view name, std::initializer_list<LogField> fields = {}) noexcept;

/// A line of that level would be written. From any thread.
[[nodiscard]] bool log_enabled(LogLevel level) noexcept;
/// As chosen; `text` at the start. From any thread.
[[nodiscard]] LogFormat log_format() noexcept;

/// With false, a line waits at most 20 ms for a full pipe, a halted terminal or another thread that is stuck
/// in one; then it is dropped, and the next that gets through is preceded by `log_lines_dropped count=N`. For
/// servers, which must serve and stop whoever reads their log. True at the start.
void log_may_wait(bool wait) noexcept;

/// Keeps `text`, whole lines, below the log on a terminal: before each line the bytes `erase` are written,
/// after it `text` again, in one piece. Replaces the text that was kept. Returns false, with nothing changed,
/// when standard error takes nothing now or another thread is writing. With an empty `erase`, `text` stays on
/// the screen and is forgotten; only then it is worth waiting 20 ms for.
bool log_footer(std::string text, std::string erase) noexcept;

/// Parses "debug", "info", "warning", "error" or "off"; an error names them.
[[nodiscard]] Result<LogLevel> parse_log_level(std::string_view text);
/// Parses "text" or "json"; an error names them.
[[nodiscard]] Result<LogFormat> parse_log_format(std::string_view text);

}  // namespace lastcall
