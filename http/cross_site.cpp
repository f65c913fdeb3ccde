#include <arpa/inet.h>

#include <algorithm>
#include <string>

#include <lastcall/http/cross_site.hpp>

namespace lastcall {
namespace {

bool same_text(std::string_view left, std::string_view right) noexcept {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return std::ranges::equal(left, right, {}, lower, lower);
}

/// Without its port, and without the brackets of an IPv6 address.
std::string_view name_of(std::string_view host) noexcept {
  const size_t bracket = host.find(']');
  if (host.starts_with('[') && bracket != std::string_view::npos) return host.substr(1, bracket - 1);
  return host.substr(0, host.rfind(':'));
}

bool is_ip(std::string_view name) {
  in6_addr address{};
  const std::string text(name);
  return ::inet_pton(AF_INET, text.c_str(), &address) == 1 ||
         ::inet_pton(AF_INET6, text.c_str(), &address) == 1;
}

/// "http://HOST[:PORT]" of the same host and port as Host. The scheme is a proxy's business.
bool is_own_origin(std::string_view origin, std::string_view host) noexcept {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (origin.starts_with(scheme)) return same_text(origin.substr(scheme.size()), host);
  }
  return false;  // "null" above all
}

}  // namespace

std::string_view cross_site_refusal(const RequestOrigin& from, std::string_view machine) {
  if (!from.origin && !from.fetch_site) return {};
  if (from.fetch_site && *from.fetch_site != "same-origin" && *from.fetch_site != "none")
    return "sent by a page of another site";
  if (from.origin && !is_own_origin(*from.origin, from.host)) return "sent by a page of another origin";
  const std::string_view name = name_of(from.host);
  if (is_ip(name) || same_text(name, "localhost") || (!machine.empty() && same_text(name, machine)))
    return {};
  return "sent by a browser that was asked for a name that is not this machine's";
}

}  // namespace lastcall
