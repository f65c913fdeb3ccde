#include <algorithm>
#include <cstring>

#include <lastcall/http/chars.hpp>
#include <lastcall/http/request_parser.hpp>

namespace lastcall {
namespace {

constexpr std::string_view kShortestHead = "GET / HTTP/1.1\r\n\r\n";
constexpr std::string_view kRestOfLine = " HTTP/1.1\r\n";

/// What of the fields decides how a request is served.
struct Decisive {
  std::string_view host;
  bool has_host = false;
  bool close = false;
};

/// False: the list holds more than RFC 9112 9.3 makes of close and keep-alive.
bool note_connection(std::string_view value, Decisive& seen) noexcept {
  if (chars::equals_lower(value, "keep-alive")) return true;
  if (!chars::equals_lower(value, "close")) return false;
  seen.close = true;
  return true;
}

/// False where the field frames the message, wants an answer to itself, or comes twice.
bool note_field(std::string_view name, std::string_view value, Decisive& seen) noexcept {
  switch (name.size()) {
    case 4:
      if (!chars::equals_lower(name, "host")) return true;
      if (seen.has_host) return false;
      seen.has_host = true;
      seen.host = value;
      return true;
    case 6: return !chars::equals_lower(name, "expect");
    case 7: return !chars::equals_lower(name, "upgrade");
    case 10: return !chars::equals_lower(name, "connection") || note_connection(value, seen);
    case 14: return !chars::equals_lower(name, "content-length");
    case 17: return !chars::equals_lower(name, "transfer-encoding");
    default: return true;
  }
}

/// Field lines up to the empty one and behind it; nullptr where they are not flawless, or not whole, or more
/// than `fields` has room for, which grows elsewhere.
const char* read_fields(const char* at, const char* end, uint32_t max_fields, std::vector<Field>& fields,
                        Decisive& seen) noexcept {
  fields.clear();
  const size_t room = std::min<size_t>(max_fields, fields.capacity());
  while (end - at >= 2 && *at != '\r') {
    if (fields.size() == room) return nullptr;
    const char* const name = at;
    at = chars::skip_token(at, end);
    if (at == name || at == end || *at != ':') return nullptr;
    const std::string_view whole_name(name, static_cast<size_t>(at - name));
    const char* const value = at + 1;
    at = chars::skip_value(value, end);
    if (end - at < 2 || at[0] != '\r' || at[1] != '\n') return nullptr;
    const std::string_view trimmed = chars::trim({value, static_cast<size_t>(at - value)});
    if (!note_field(whole_name, trimmed, seen)) return nullptr;
    fields.push_back({whole_name, trimmed});
    at += 2;
  }
  return end - at >= 2 && at[1] == '\n' ? at + 2 : nullptr;
}

/// Behind "GET " or "HEAD "; nullptr for anything else.
const char* read_method(const char* at, Method& method) noexcept {
  if (std::memcmp(at, "GET ", 4) == 0) {
    method = Method::get;
    return at + 4;
  }
  method = Method::head;
  return std::memcmp(at, "HEAD ", 5) == 0 ? at + 5 : nullptr;
}

/// Past what needs no second look, in a path or in a query.
const char* skip_plain(const char* at, const char* end) noexcept {
  return chars::skip(chars::skip_plain_path(at, end), end, chars::kPath);
}

}  // namespace

uint32_t RequestParser::read_usual(std::string_view bytes, const Limits& limits, RequestHead& head) noexcept {
  const char* const begin = bytes.data();
  const char* const end = begin + std::min<size_t>(bytes.size(), limits.max_header_bytes);
  if (static_cast<size_t>(end - begin) < kShortestHead.size()) return 0;
  const char* const target = read_method(begin, head.method);
  if (target == nullptr || *target != '/') return 0;
  const char* at = skip_plain(target, end);
  head.path = {target, static_cast<size_t>(at - target)};
  head.query = {};
  if (at != end && *at == '?') {
    const char* const query = at + 1;
    at = skip_plain(query, end);
    head.query = {query, static_cast<size_t>(at - query)};
  }
  head.target = {target, static_cast<size_t>(at - target)};
  if (head.target.size() > limits.max_target_bytes) return 0;
  if (static_cast<size_t>(end - at) < kRestOfLine.size()) return 0;
  if (std::memcmp(at, kRestOfLine.data(), kRestOfLine.size()) != 0) return 0;

  Decisive seen;
  at = read_fields(at + kRestOfLine.size(), end, limits.max_fields, head.fields, seen);
  if (at == nullptr || !seen.has_host) return 0;
  if (!seen.host.empty() && !host_check_.valid(seen.host)) return 0;
  head.host = seen.host;
  head.version_minor = 1;
  head.form = RequestHead::Form::origin;
  head.chunked = head.has_length = head.expect_continue = head.upgrade = false;
  head.content_length = 0;
  head.keep_alive = !seen.close;
  return static_cast<uint32_t>(at - begin);
}

}  // namespace lastcall
