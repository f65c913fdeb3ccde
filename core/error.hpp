#pragma once

#include <expected>
#include <string>
#include <system_error>
#include <utility>

namespace lastcall {

/// An expected failure: what was being done and to what, plus the system's errno (0 when it is not the
/// system's).
struct Error {
  std::string message;  ///< whole sentence for a person: "bind 127.0.0.1:80: Permission denied"
  int code = 0;         ///< errno, or 0
};

/// A T, or why there is none. The error must not be dropped without a look.
template <class T>
using Result = std::expected<T, Error>;

/// "what: strerror(code)" as an Error, ready to return from a function with a Result.
[[nodiscard]] inline std::unexpected<Error> system_error(std::string what, int code) {
  what += ": ";
  what += std::generic_category().message(code);
  return std::unexpected(Error{std::move(what), code});
}

/// The same for what is not the system's: `code` is 0.
[[nodiscard]] inline std::unexpected<Error> error(std::string message) {
  return std::unexpected(Error{std::move(message), 0});
}

}  // namespace lastcall
