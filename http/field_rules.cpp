#include <cstdint>

#include <lastcall/http/chars.hpp>
#include <lastcall/http/field_rules.hpp>

namespace lastcall {
namespace {

/// What the fields said, before the rules between them are applied.
struct Seen {
  const std::string_view* host = nullptr;
  const std::string_view* transfer_encoding = nullptr;
  const std::string_view* content_length = nullptr;
  bool close = false;
  bool keep_alive = false;
  bool upgrade_option = false;
  bool upgrade_field = false;
  bool expect_continue = false;
  bool expect_other = false;
};

void note_connection(std::string_view list, Seen& seen) noexcept {
  while (list.data() != nullptr) {
    const std::string_view option = chars::next_element(list);
    if (chars::equals_lower(option, "close")) seen.close = true;
    if (chars::equals_lower(option, "keep-alive")) seen.keep_alive = true;
    if (chars::equals_lower(option, "upgrade")) seen.upgrade_option = true;
  }
}

void note_expect(std::string_view list, Seen& seen) noexcept {
  while (list.data() != nullptr) {
    const std::string_view expectation = chars::next_element(list);
    if (expectation.empty()) continue;
    (equal_ignoring_case(expectation, "100-continue") ? seen.expect_continue : seen.expect_other) = true;
  }
}

Refusal note_once(const std::string_view*& slot, const std::string_view& value,
                  const char* complaint) noexcept {
  if (slot != nullptr) return {400, complaint};
  slot = &value;
  return {};
}

Refusal note_field(const Field& field, Seen& seen) noexcept {
  switch (field.name.size()) {
    case 4:
      if (chars::equals_lower(field.name, "host")) return note_once(seen.host, field.value, "repeated Host");
      break;
    case 6:
      if (chars::equals_lower(field.name, "expect")) note_expect(field.value, seen);
      break;
    case 7:
      if (chars::equals_lower(field.name, "upgrade")) seen.upgrade_field = true;
      break;
    case 10:
      if (chars::equals_lower(field.name, "connection")) note_connection(field.value, seen);
      break;
    case 14:
      if (!chars::equals_lower(field.name, "content-length")) break;
      return note_once(seen.content_length, field.value, "repeated Content-Length");
    case 17:
      if (!chars::equals_lower(field.name, "transfer-encoding")) break;
      return note_once(seen.transfer_encoding, field.value, "repeated Transfer-Encoding");
    default: break;
  }
  return {};
}

// RFC 9112 3.2 and 3.2.2: the authority of the target wins, but Host must be valid all the same; it may be
// empty where the target has no authority.
Refusal judge_host(const Seen& seen, RequestHead& head, HostCheck& host_check) noexcept {
  if (seen.host == nullptr) {
    return head.version_minor == 0 ? Refusal() : Refusal{400, "missing Host"};
  }
  const bool in_target =
      head.form == RequestHead::Form::absolute || head.form == RequestHead::Form::authority;
  if (seen.host->empty() ? in_target : !host_check.valid(*seen.host)) {
    return {400, "malformed Host"};
  }
  if (!in_target) head.host = *seen.host;
  return {};
}

// RFC 9112 6.1. Nothing but chunked is implemented, and anything else must not be guessed at.
Refusal judge_transfer_encoding(std::string_view list, RequestHead& head) noexcept {
  if (head.version_minor == 0) return {400, "Transfer-Encoding in HTTP/1.0"};
  bool others = false;
  for (;;) {
    const std::string_view coding = chars::next_element(list);
    const bool is_chunked = equal_ignoring_case(coding, "chunked");
    if (list.data() == nullptr) {
      if (!is_chunked) return {400, "Transfer-Encoding does not end in chunked"};
      break;
    }
    if (is_chunked || !chars::is_token(coding.substr(0, coding.find_first_of("; \t")))) {
      return {400, "malformed Transfer-Encoding"};
    }
    others = true;
  }
  if (others) return {501, "unknown transfer coding"};
  head.chunked = true;
  return {};
}

// RFC 9112 6.3: digits alone; a list is refused even if its members agree.
Refusal judge_content_length(std::string_view digits, RequestHead& head) noexcept {
  constexpr uint64_t kMax = INT64_MAX;
  if (digits.empty()) return {400, "empty Content-Length"};
  uint64_t length = 0;
  for (const char c : digits) {
    if (!chars::is(c, chars::kDigit)) return {400, "malformed Content-Length"};
    const auto digit = static_cast<uint64_t>(c - '0');
    if (length > (kMax - digit) / 10) return {400, "Content-Length too large"};
    length = length * 10 + digit;
  }
  head.has_length = true;
  head.content_length = length;
  return {};
}

}  // namespace

Refusal judge_fields(RequestHead& head, HostCheck& host_check) noexcept {
  Seen seen;
  for (const Field& field : head.fields) {
    if (const Refusal refusal = note_field(field, seen)) return refusal;
  }
  if (const Refusal refusal = judge_host(seen, head, host_check)) return refusal;
  if (seen.transfer_encoding != nullptr) {
    if (seen.content_length != nullptr) return {400, "Content-Length with Transfer-Encoding"};
    if (const Refusal refusal = judge_transfer_encoding(*seen.transfer_encoding, head)) return refusal;
  }
  if (seen.content_length != nullptr) {
    if (const Refusal refusal = judge_content_length(*seen.content_length, head)) return refusal;
  }
  head.keep_alive = !seen.close && (head.version_minor > 0 || seen.keep_alive);
  if (head.version_minor == 0) return {};  // has no Expect and no Upgrade: RFC 9110 7.8, 10.1.1
  if (seen.expect_other) return {417, "unknown expectation"};
  head.expect_continue = seen.expect_continue;
  head.upgrade = seen.upgrade_option && seen.upgrade_field;
  return {};
}

bool forbidden_in_trailers(std::string_view name) noexcept {
  constexpr std::string_view kForbidden[] = {"authorization",
                                             "cache-control",
                                             "connection",
                                             "cookie",
                                             "expect",
                                             "host",
                                             "if-match",
                                             "if-modified-since",
                                             "if-none-match",
                                             "if-range",
                                             "if-unmodified-since",
                                             "keep-alive",
                                             "max-forwards",
                                             "pragma",
                                             "proxy-authenticate",
                                             "proxy-authorization",
                                             "proxy-connection",
                                             "range",
                                             "set-cookie",
                                             "te",
                                             "trailer",
                                             "transfer-encoding",
                                             "upgrade",
                                             "vary",
                                             "www-authenticate"};
  constexpr std::string_view kContent = "content-";
  if (equal_ignoring_case(name.substr(0, kContent.size()), kContent)) return true;
  for (const std::string_view forbidden : kForbidden) {
    if (equal_ignoring_case(name, forbidden)) return true;
  }
  return false;
}

}  // namespace lastcall
