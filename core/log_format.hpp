#pragma once

#include <span>
#include <string>
#include <string_view>

#include <lastcall/core/log.hpp>
#include <lastcall/core/time.hpp>

namespace lastcall {

/// One log line without its newline; `wall` is the time since 1970-01-01 UTC. Pure, and never throws on odd
/// bytes. text: `2026-11-21T03:48:07.123Z info event=NAME key=value …`; a value that is empty or holds
/// anything but printable
///   ASCII without blank, '"', '\' and '=' is written as a JSON string, so that one event is always one line.
/// json: one object with time, level, event and the fields (RFC 8259, ASCII only). A key that comes twice
/// counts once. Invalid UTF-8 becomes U+FFFD in both. Keys and the event's name belong to the program and are
/// not quoted in text.
[[nodiscard]] std::string format_log_line(LogFormat format, Duration wall, LogLevel level,
                                          std::string_view name, std::span<const LogField> fields);

/// "25s", "1.500s", "40ms", "250us", "0s"; cut down to whole milliseconds, below one to microseconds.
[[nodiscard]] std::string format_duration(Duration duration);

[[nodiscard]] const char* to_string(LogLevel level) noexcept;

}  // namespace lastcall
