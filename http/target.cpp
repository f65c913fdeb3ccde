#include <arpa/inet.h>

#include <algorithm>

#include <lastcall/http/chars.hpp>
#include <lastcall/http/target.hpp>

namespace lastcall {
namespace {

constexpr Refusal kBadTarget = {400, "malformed request target"};
constexpr uint32_t kMaxPort = 65535;

/// Past the %XX at `at`, or nullptr when it is none, or %00: no text and no file name holds that.
const char* skip_percent(const char* at, const char* end) noexcept {
  if (end - at < 3 || chars::hex_value(at[1]) < 0 || chars::hex_value(at[2]) < 0) return nullptr;
  if (at[1] == '0' && at[2] == '0') return nullptr;
  return at + 3;
}

/// Past characters of the class and %XX; nullptr for a broken %XX.
const char* skip_encoded(const char* at, const char* end, uint8_t classes) noexcept {
  for (;;) {
    at = chars::skip(at, end, classes);
    if (at == end || *at != '%') return at;
    at = skip_percent(at, end);
    if (at == nullptr) return nullptr;
  }
}

bool valid_ipv6(std::string_view text) noexcept {
  char terminated[INET6_ADDRSTRLEN];
  if (text.size() >= sizeof terminated) return false;
  *std::copy(text.begin(), text.end(), terminated) = '\0';
  in6_addr address;
  return inet_pton(AF_INET6, terminated, &address) == 1;
}

bool valid_port(std::string_view digits) noexcept {
  uint32_t port = 0;
  for (const char c : digits) {
    if (!chars::is(c, chars::kDigit)) return false;
    port = port * 10 + static_cast<uint32_t>(c - '0');
    if (port > kMaxPort) return false;
  }
  return true;
}

/// Bytes of the host at the start of an authority; 0 when there is none or it is malformed.
size_t host_length(std::string_view text) noexcept {
  if (text.starts_with('[')) {
    const size_t close = text.find(']');
    return close != std::string_view::npos && valid_ipv6(text.substr(1, close - 1)) ? close + 1 : 0;
  }
  const char* const stop = skip_encoded(text.data(), text.data() + text.size(), chars::kHost);
  return stop == nullptr ? 0 : static_cast<size_t>(stop - text.data());
}

/// path-absolute [ "?" query ]; `text` begins with '/', or with '?' after an authority. Browsers send
/// brackets in a query as they are (the URL standard, not RFC 3986), and nothing can be mistaken in them.
Refusal split_path(std::string_view text, RequestHead& head) noexcept {
  const char* const end = text.data() + text.size();
  const char* at = skip_encoded(text.data(), end, chars::kPath);
  if (at == nullptr) return kBadTarget;
  head.path = {text.data(), static_cast<size_t>(at - text.data())};
  if (at == end) return {};
  if (*at != '?') return kBadTarget;
  const char* const query = ++at;
  while (at != end) {
    at = skip_encoded(at, end, chars::kPath);
    if (at == nullptr) return kBadTarget;
    if (at == end) break;
    if (*at != '?' && *at != '[' && *at != ']') return kBadTarget;
    ++at;
  }
  head.query = {query, static_cast<size_t>(end - query)};
  return {};
}

Refusal judge_absolute(RequestHead& head) noexcept {
  head.form = RequestHead::Form::absolute;
  std::string_view rest = head.target;
  if (rest.size() > 7 && equal_ignoring_case(rest.substr(0, 7), "http://")) {
    rest.remove_prefix(7);
  } else if (rest.size() > 8 && equal_ignoring_case(rest.substr(0, 8), "https://")) {
    rest.remove_prefix(8);
  } else {
    return kBadTarget;
  }
  const size_t authority = std::min(rest.find_first_of("/?"), rest.size());
  head.host = rest.substr(0, authority);
  if (!valid_authority(head.host, PortRule::optional))
    return {400, "malformed authority in the request target"};
  rest.remove_prefix(authority);
  if (const Refusal refusal = split_path(rest, head)) return refusal;
  if (head.path.empty()) head.path = rest.empty() && head.method == Method::options ? "*" : "/";
  return {};
}

}  // namespace

bool valid_authority(std::string_view text, PortRule port) noexcept {
  const size_t host = host_length(text);
  if (host == 0) return false;
  if (host == text.size()) return port == PortRule::optional;
  if (text[host] != ':' || !valid_port(text.substr(host + 1))) return false;
  return port == PortRule::optional || host + 1 < text.size();
}

bool HostCheck::judge(std::string_view host) noexcept {
  if (!valid_authority(host, PortRule::optional)) return false;
  if (host.size() <= sizeof last_) {
    size_ = host.size();
    std::memcpy(last_, host.data(), size_);
  }
  return true;
}

Refusal judge_target(RequestHead& head, bool plain) noexcept {
  if (head.method == Method::connect) {
    head.form = RequestHead::Form::authority;
    head.host = head.target;
    if (!valid_authority(head.target, PortRule::required)) return {400, "CONNECT takes host:port"};
    return {};
  }
  if (head.target.starts_with('/')) {
    head.form = RequestHead::Form::origin;
    if (!plain) return split_path(head.target, head);
    head.path = head.target;
    return {};
  }
  if (head.target == "*" && head.method == Method::options) {
    head.form = RequestHead::Form::asterisk;
    head.path = head.target;
    return {};
  }
  return judge_absolute(head);
}

}  // namespace lastcall
