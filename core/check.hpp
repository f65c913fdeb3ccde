#pragma once

namespace lastcall::detail {
[[noreturn]] void check_failed(const char* expression, const char* file, int line) noexcept;
}  // namespace lastcall::detail

/// Always on, in every build: a false condition is a bug in lastcall, and the process aborts naming it.
/// Expected failures (a bad flag, a full table, a closed peer) are values, never a CHECK.
#define LASTCALL_CHECK(condition)                      \
  (static_cast<bool>(condition) ? static_cast<void>(0) \
                                : ::lastcall::detail::check_failed(#condition, __FILE__, __LINE__))
