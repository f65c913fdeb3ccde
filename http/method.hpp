#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace lastcall {

/// The request methods lastcall knows: RFC 9110, RFC 5789 and the WebDAV family. Any other token is answered
/// 501.
enum class Method : uint8_t {
  get,
  head,
  post,
  put,
  delete_,
  options,
  patch,
  trace,
  connect,
  acl,
  bind,
  checkout,
  copy,
  link,
  lock,
  merge,
  mkactivity,
  mkcalendar,
  mkcol,
  move,
  msearch,
  notify,
  propfind,
  proppatch,
  purge,
  rebind,
  report,
  search,
  subscribe,
  unbind,
  unlink,
  unlock,
  unsubscribe,
};
/// How many values Method has; they count from 0.
inline constexpr uint32_t kMethodCount = static_cast<uint32_t>(Method::unsubscribe) + 1;

/// The bit of a method in a set of methods.
[[nodiscard]] constexpr uint64_t bit(Method method) noexcept {
  static_assert(kMethodCount <= 64);
  return uint64_t{1} << static_cast<uint32_t>(method);
}

/// As on the wire: "GET", "M-SEARCH". Static storage.
[[nodiscard]] std::string_view to_string(Method method) noexcept;
/// Case-sensitive, as RFC 9110 9.1 has it; nullopt for a method lastcall does not know.
[[nodiscard]] std::optional<Method> parse_method(std::string_view token) noexcept;

}  // namespace lastcall
