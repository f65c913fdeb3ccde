#include <array>
#include <cstring>

#include <lastcall/http/method.hpp>

namespace lastcall {
namespace {

constexpr std::array<std::string_view, kMethodCount> kNames = {
    "GET",       "HEAD",     "POST",       "PUT",        "DELETE",     "OPTIONS", "PATCH",
    "TRACE",     "CONNECT",  "ACL",        "BIND",       "CHECKOUT",   "COPY",    "LINK",
    "LOCK",      "MERGE",    "MKACTIVITY", "MKCALENDAR", "MKCOL",      "MOVE",    "M-SEARCH",
    "NOTIFY",    "PROPFIND", "PROPPATCH",  "PURGE",      "REBIND",     "REPORT",  "SEARCH",
    "SUBSCRIBE", "UNBIND",   "UNLINK",     "UNLOCK",     "UNSUBSCRIBE"};

/// Of the name's size already; with the constant size a comparison or two.
template <Method kMethod>
bool is(std::string_view token) noexcept {
  constexpr std::string_view kName = kNames[static_cast<size_t>(kMethod)];
  return std::memcmp(token.data(), kName.data(), kName.size()) == 0;
}

/// The one of kMethods whose name is `token`; each comparison is against a constant.
template <Method... kMethods>
std::optional<Method> one_of(std::string_view token) noexcept {
  std::optional<Method> found;
  (void)((is<kMethods>(token) && (found = kMethods, true)) || ...);
  return found;
}

}  // namespace

std::string_view to_string(Method method) noexcept {
  return kNames[static_cast<size_t>(method)];
}

std::optional<Method> parse_method(std::string_view token) noexcept {
  using enum Method;
  switch (token.size()) {
    case 3: return one_of<get, put, acl>(token);
    case 4: return one_of<post, head, bind, copy, link, lock, move>(token);
    case 5: return one_of<patch, trace, merge, mkcol, purge>(token);
    case 6: return one_of<delete_, notify, rebind, report, search, unbind, unlink, unlock>(token);
    case 7: return one_of<options, connect>(token);
    case 8: return one_of<checkout, msearch, propfind>(token);
    case 9: return one_of<proppatch, subscribe>(token);
    case 10: return one_of<mkactivity, mkcalendar>(token);
    case 11: return one_of<unsubscribe>(token);
    default: return std::nullopt;
  }
}

}  // namespace lastcall
