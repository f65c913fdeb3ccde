#include <algorithm>
#include <array>
#include <optional>
#include <ranges>
#include <string_view>

#include <lastcall/http/chars.hpp>
#include <lastcall/http/forwarded.hpp>

namespace lastcall {
namespace {

using Outcome = ForwardedClient::Outcome;

constexpr std::string_view kUnknown = "unknown";  // RFC 7239 6.2

std::string_view trim(std::string_view text) noexcept {
  constexpr std::string_view kBlanks = " \t";
  const size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) + 1 - first);
}

/// The first `separator` in `text` that is in no quoted string; its end, and `closed` false, when a string
/// does not end.
size_t find_unquoted(std::string_view text, char separator, bool& closed) noexcept {
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (quoted && text[i] == '\\') {
      ++i;
    } else if (text[i] == '"') {
      quoted = !quoted;
    } else if (!quoted && text[i] == separator) {
      return i;
    }
  }
  closed = !quoted;
  return text.size();
}

/// "_hidden" (RFC 7239 6.3).
bool is_obfuscated(std::string_view text) noexcept {
  return text.size() > 1 && text[0] == '_' && std::ranges::all_of(text, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
                  c == '_' || c == '-';
         });
}

bool is_unknown(std::string_view text) noexcept {
  return equal_ignoring_case(text, kUnknown);
}

/// ":8080" or ":_hidden" or nothing behind a name.
bool read_port(std::string_view text, ForwardedClient& client) noexcept {
  if (text.empty()) return true;
  if (text[0] != ':') return false;
  const std::optional<uint16_t> port = parse_port(text.substr(1));
  if (port) client.address.port = *port;
  return port || is_obfuscated(text.substr(1));
}

/// "192.0.2.1", "192.0.2.1:80", "[2001:db8::1]", "[2001:db8::1]:80"; nothing: it is none of those.
std::optional<ForwardedClient> parse_host_port(std::string_view text) {
  const bool bracketed = text.starts_with('[');
  const size_t end = std::min(text.find(bracketed ? ']' : ':'), text.size());
  if (bracketed && end == text.size()) return {};
  const std::optional<PeerAddress> ip = parse_ip(text.substr(bracketed ? 1 : 0, bracketed ? end - 1 : end));
  if (!ip) return {};
  const bool colons = bracketed && text.substr(0, end).find(':') != std::string_view::npos;
  if (bracketed != colons) return {};  // [192.0.2.1]
  ForwardedClient client{.outcome = Outcome::found, .address = *ip};
  if (!read_port(text.substr(bracketed ? end + 1 : end), client)) return {};
  return client;
}

/// An element of X-Forwarded-For. No standard says how it looks: addresses bare, some with ports.
ForwardedClient parse_element(std::string_view text) {
  if (is_unknown(text)) return {.outcome = Outcome::found, .name = std::string(kUnknown)};
  if (const std::optional<PeerAddress> ip = parse_ip(text))
    return {.outcome = Outcome::found, .address = *ip};
  return parse_host_port(text).value_or(ForwardedClient{.outcome = Outcome::malformed});
}

/// node of RFC 7239 6.
ForwardedClient parse_node(std::string_view text) {
  if (std::optional<ForwardedClient> client = parse_host_port(text)) return *client;
  const size_t end = std::min(text.find(':'), text.size());
  const std::string_view name = text.substr(0, end);
  ForwardedClient client{.outcome = Outcome::found};
  if (!read_port(text.substr(end), client)) return {.outcome = Outcome::malformed};
  client.address.port = 0;
  if (is_unknown(name)) {
    client.name = kUnknown;
  } else if (is_obfuscated(name)) {
    client.name = name;
  } else {
    return {.outcome = Outcome::malformed};
  }
  return client;
}

/// A token as it is, a quoted string without quotes and escapes; nothing when it is neither.
std::optional<std::string> read_value(std::string_view text) {
  if (chars::is_token(text)) return std::string(text);
  if (text.size() < 2 || text.front() != '"' || text.back() != '"') return {};
  text = text.substr(1, text.size() - 2);
  std::string value;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '"') return {};
    if (text[i] == '\\' && ++i == text.size()) return {};
    value.push_back(text[i]);
  }
  return value;
}

/// "for=192.0.2.60;proto=http;by=203.0.113.43" (RFC 7239 4); blanks around the semicolons are let pass.
ForwardedClient parse_forwarded_element(std::string_view element) {
  constexpr Outcome kBad = Outcome::malformed;
  std::optional<ForwardedClient> found;
  for (bool closed = true; !element.empty();) {
    const size_t end = find_unquoted(element, ';', closed);
    const std::string_view pair = trim(element.substr(0, end));
    element.remove_prefix(std::min(end + 1, element.size()));
    if (pair.empty()) continue;
    const size_t equals = std::min(pair.find('='), pair.size());
    if (!chars::is_token(pair.substr(0, equals)) || equals == pair.size()) return {.outcome = kBad};
    const std::optional<std::string> value = read_value(pair.substr(equals + 1));
    if (!value) return {.outcome = kBad};
    if (!equal_ignoring_case(pair.substr(0, equals), "for")) continue;
    if (found) return {.outcome = kBad};  // "MUST NOT occur more than once"
    found = parse_node(*value);
  }
  // A proxy that does not say whom it speaks for.
  return found.value_or(ForwardedClient{.outcome = Outcome::found, .name = std::string(kUnknown)});
}

/// The elements of a field one after the other, from the right.
class ElementsFromRight {
 public:
  /// Forwarded has quoted strings: where they begin can only be told from the left.
  ElementsFromRight(std::string_view value, bool quotes) : rest_(value), quotes_(quotes) {
    if (value.size() > kMaxForwardedBytes) ok_ = false;
    if (quotes && ok_) split();
  }
  [[nodiscard]] bool ok() const noexcept { return ok_; }  // else: too long, too many, or a string without end
  /// Nothing: that was all.
  std::optional<std::string_view> next() noexcept {
    if (quotes_) return count_ == 0 ? std::nullopt : std::optional(elements_[--count_]);
    if (done_) return {};
    const size_t comma = rest_.rfind(',');
    done_ = comma == std::string_view::npos;
    const std::string_view element = trim(rest_.substr(done_ ? 0 : comma + 1));
    rest_ = rest_.substr(0, done_ ? 0 : comma);
    return element;
  }

 private:
  void split() noexcept {
    while (!rest_.empty()) {
      const size_t end = find_unquoted(rest_, ',', ok_);
      if (!ok_ || count_ == elements_.size()) {
        ok_ = false;
        return;
      }
      elements_[count_++] = trim(rest_.substr(0, end));
      rest_.remove_prefix(std::min(end + 1, rest_.size()));
    }
  }

  std::string_view rest_;
  std::array<std::string_view, kMaxForwardedElements> elements_;  // of Forwarded
  size_t count_ = 0;
  bool quotes_;
  bool ok_ = true;
  bool done_ = false;
};

}  // namespace

std::string ClientAddress::text() const {
  if (port == 0) return address;
  const bool ipv6 = address.find(':') != std::string::npos;
  return (ipv6 ? '[' + address + ']' : address) + ':' + std::to_string(port);
}

ClientAddress ForwardedClient::client() const {
  return {.address = name.empty() ? address.host() : name, .port = address.port};
}

ForwardedClient find_client(std::span<const Field> fields, ForwardedHeader header,
                            const TrustedProxies& trusted) {
  const bool forwarded = header == ForwardedHeader::forwarded;
  const std::string_view wanted = forwarded ? "Forwarded" : "X-Forwarded-For";
  ForwardedClient client;
  size_t seen = 0;
  for (const Field& field : fields | std::views::reverse) {
    if (!equal_ignoring_case(field.name, wanted)) continue;
    ElementsFromRight elements(field.value, forwarded);
    if (!elements.ok()) return {.outcome = Outcome::malformed};
    while (const std::optional<std::string_view> element = elements.next()) {
      if (element->empty()) continue;  // RFC 9110 5.6.1.2
      if (++seen > kMaxForwardedElements) return {.outcome = Outcome::malformed};
      client = forwarded ? parse_forwarded_element(*element) : parse_element(*element);
      if (client.outcome != Outcome::found || !trusted.contains(client.address)) return client;
    }
  }
  return client;
}

}  // namespace lastcall
