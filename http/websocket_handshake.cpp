#include <algorithm>
#include <utility>

#include <lastcall/http/chars.hpp>
#include <lastcall/http/sha1.hpp>
#include <lastcall/http/websocket_handshake.hpp>

namespace lastcall {
namespace {

constexpr std::string_view kGuid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";  // RFC 6455 1.3
constexpr size_t kKeyChars = 24;                                            // 16 bytes in base64 …
constexpr size_t kKeyDigits = 22;                                           // … of which two are padding

/// The value of a field that may come once; `count` says how often it did.
struct Single {
  std::string_view value;
  size_t count = 0;
};

Single single(std::span<const Field> fields, std::string_view name) noexcept {
  Single found;
  for (const Field& field : fields) {
    if (!equal_ignoring_case(field.name, name)) continue;
    found.value = field.value;
    ++found.count;
  }
  return found;
}

/// Calls visit(element) for each element of the lists of that name (RFC 9110 5.6.1), empty ones left out.
template <class Visit>
void for_each_element(std::span<const Field> fields, std::string_view name, Visit visit) {
  for (const Field& field : fields) {
    if (!equal_ignoring_case(field.name, name)) continue;
    std::string_view rest = field.value;
    while (rest.data() != nullptr) {
      const std::string_view element = chars::next_element(rest);
      if (!element.empty()) visit(element);
    }
  }
}

bool lists(std::span<const Field> fields, std::string_view name, std::string_view token) {
  bool found = false;
  for_each_element(fields, name,
                   [&](std::string_view element) { found |= equal_ignoring_case(element, token); });
  return found;
}

bool is_key(std::string_view key) noexcept {
  const auto is_digit = [](char c) {
    return chars::detail::is_alpha_or_digit(static_cast<uint8_t>(c)) || c == '+' || c == '/';
  };
  return key.size() == kKeyChars && key.ends_with("==") &&
         std::ranges::all_of(key.substr(0, kKeyDigits), is_digit);
}

/// The frames begin behind the head: a body in between could be read as either.
bool has_body(std::span<const Field> fields) noexcept {
  const Single length = single(fields, "Content-Length");
  return single(fields, "Transfer-Encoding").count != 0 || (length.count != 0 && length.value != "0");
}

bool may_come_from(std::string_view origin, std::span<const std::string> allowed) {
  return std::ranges::any_of(allowed,
                             [&](const std::string& one) { return equal_ignoring_case(one, origin); });
}

/// RFC 6455 4.1, 10: what is offered is a list of different tokens. False when it is not.
bool read_offer(std::span<const Field> fields, std::vector<std::string_view>& offered) {
  bool good = true;
  for_each_element(fields, "Sec-WebSocket-Protocol", [&](std::string_view element) {
    good = good && chars::is_token(element) && offered.size() < kMaxOfferedSubprotocols &&
           std::ranges::find(offered, element) == offered.end();
    if (good) offered.push_back(element);
  });
  return good;
}

WebSocketHandshake refusal(uint16_t status, const char* what) {
  return {.status = status, .what = what, .accept = {}, .subprotocol = {}};
}

}  // namespace

std::string websocket_accept(std::string_view key) {
  const auto digest = sha1(std::string(key).append(kGuid));
  return base64({reinterpret_cast<const char*>(digest.data()), digest.size()});
}

WebSocketHandshake judge_handshake(Method method, int version_minor, std::span<const Field> fields,
                                   const WebSocketRules& rules) {
  if (method != Method::get || version_minor < 1)
    return refusal(400, "a WebSocket begins with GET and HTTP/1.1");
  if (!lists(fields, "Upgrade", "websocket") || !lists(fields, "Connection", "upgrade"))
    return refusal(426, "this resource speaks WebSocket");
  const Single version = single(fields, "Sec-WebSocket-Version");
  if (version.count != 1 || version.value != kWebSocketVersion)
    return refusal(426, "of WebSocket only version 13 is spoken here");
  const Single key = single(fields, "Sec-WebSocket-Key");
  if (key.count != 1 || !is_key(key.value))
    return refusal(400, "Sec-WebSocket-Key is not 16 bytes in base64");
  if (has_body(fields)) return refusal(400, "a WebSocket handshake has no body");
  const Single origin = single(fields, "Origin");
  if (origin.count > 1) return refusal(400, "more than one Origin");
  if (origin.count == 1 && !rules.allowed_origins.empty() &&
      !may_come_from(origin.value, rules.allowed_origins))
    return refusal(403, "this origin may not connect");
  std::vector<std::string_view> offered;
  if (!read_offer(fields, offered)) return refusal(400, "Sec-WebSocket-Protocol is not a list of tokens");
  WebSocketHandshake handshake{.accept = websocket_accept(key.value), .subprotocol = {}};
  const auto chosen = std::ranges::find_if(rules.subprotocols, [&](const std::string& one) {
    return std::ranges::find(offered, one) != offered.end();
  });
  if (chosen != rules.subprotocols.end()) handshake.subprotocol = *chosen;
  return handshake;
}

}  // namespace lastcall
