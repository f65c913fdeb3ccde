#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include <lastcall/http/method.hpp>

namespace lastcall {

/// One header or trailer field, name as sent. Names compare case-insensitively.
struct Field {
  std::string_view name;   ///< a token (RFC 9110 5.1), never empty
  std::string_view value;  ///< without surrounding blanks; may be empty
};

/// Case-insensitive comparison of ASCII (RFC 9110 5.1).
[[nodiscard]] bool equal_ignoring_case(std::string_view left, std::string_view right) noexcept;

/// @cond internal
/// A request head, parsed and judged. All views point into the bytes it was parsed from, but for the path of
/// an absolute target that has none: "/" or "*" in static storage.
struct RequestHead {
  enum class Form : uint8_t { origin, absolute, authority, asterisk };  // RFC 9112 3.2

  Method method = Method::get;
  uint8_t version_minor = 1;  ///< 0 or 1; HTTP/1.2 and later count as 1.1 (RFC 9110 2.5)
  Form form = Form::origin;
  std::string_view target;  ///< as sent
  std::string_view path;    ///< still percent-encoded; "*" for asterisk form, empty for authority form
  std::string_view query;   ///< after '?', without it
  std::string_view host;  ///< Host field, or the authority of an absolute target (which wins, RFC 9112 3.2.2)
  std::vector<Field> fields;

  bool chunked = false;     ///< Transfer-Encoding: chunked
  bool has_length = false;  ///< Content-Length present
  uint64_t content_length = 0;
  bool keep_alive = true;  ///< what version and Connection ask for (RFC 9112 9.3)
  bool expect_continue = false;
  bool upgrade = false;  ///< Connection: upgrade and an Upgrade field

  /// Value of the first field of that name, or nullptr. Linear; names compare case-insensitively.
  [[nodiscard]] const std::string_view* find(std::string_view name) const noexcept;
  /// Moves every view from the bytes at `from` (of `length`) to the same bytes at `to`.
  void rebase(const char* from, size_t length, const char* to) noexcept;
  void clear() noexcept;  ///< keeps the capacity of `fields`
};
/// @endcond

}  // namespace lastcall
