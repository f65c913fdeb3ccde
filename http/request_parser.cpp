#include <llhttp.h>

#include <algorithm>

#include <lastcall/http/chars.hpp>
#include <lastcall/http/field_rules.hpp>
#include <lastcall/http/request_parser.hpp>
#include <lastcall/http/target.hpp>

#if LLHTTP_VERSION_MAJOR < 9 && !LLHTTP_STRICT_MODE
#error "llhttp 8 accepts request smuggling unless every unit is built with LLHTTP_STRICT_MODE=1"
#endif

namespace lastcall {
namespace {

RequestHead& head_of(llhttp_t* parser) noexcept {
  return *static_cast<RequestHead*>(parser->data);
}

// A span comes in pieces where the input was cut, the pieces side by side.
void extend(std::string_view& view, const char* at, size_t length) noexcept {
  if (length == 0) return;
  view = view.empty() ? std::string_view(at, length)
                      : std::string_view(view.data(), static_cast<size_t>(at + length - view.data()));
}

int on_url(llhttp_t* parser, const char* at, size_t length) noexcept {
  extend(head_of(parser).target, at, length);
  return HPE_OK;
}

int on_header_field(llhttp_t* parser, const char* at, size_t length) noexcept {
  head_of(parser).fields.push_back({{at, length}, {at + length, 0}});
  return HPE_OK;
}

int on_header_value(llhttp_t* parser, const char* at, size_t length) noexcept {
  extend(head_of(parser).fields.back().value, at, length);
  return HPE_OK;
}

// The body is not llhttp's business: stop right behind the head.
int on_headers_complete(llhttp_t*) noexcept {
  return HPE_PAUSED;
}

constexpr llhttp_settings_t make_settings() noexcept {
  llhttp_settings_t settings{};
  settings.on_url = on_url;
  settings.on_header_field = on_header_field;
  settings.on_header_value = on_header_value;
  settings.on_headers_complete = on_headers_complete;
  return settings;
}
constexpr llhttp_settings_t kSettings = make_settings();

}  // namespace

struct RequestParser::Llhttp {
  llhttp_t parser;

  void start(RequestHead& head) noexcept {
    llhttp_init(&parser, HTTP_REQUEST, &kSettings);
    parser.data = &head;
    parser.lenient_flags = LENIENT_VERSION;  // else HTTP/1.2 is an error; HeadScanner has judged the version
  }

  // Until 9.4 llhttp refuses HTAB behind a Content-Length or a coding, though it is OWS: such blanks are left
  // out.
  llhttp_errno_t execute_without_trailing_blanks(std::string_view bytes) noexcept {
    llhttp_errno_t error = HPE_OK;
    while (error == HPE_OK && !bytes.empty()) {
      const size_t line = bytes.find('\r');
      size_t kept = line;
      while (kept > 0 && kept <= bytes.size() && chars::is_blank(bytes[kept - 1])) --kept;
      error = llhttp_execute(&parser, bytes.data(), std::min(kept, bytes.size()));
      if (line >= bytes.size()) break;
      bytes.remove_prefix(line);
      if (error == HPE_OK) error = llhttp_execute(&parser, bytes.data(), std::min<size_t>(2, bytes.size()));
      bytes.remove_prefix(std::min<size_t>(2, bytes.size()));
    }
    return error;
  }
};

RequestParser::RequestParser() : llhttp_(std::make_unique<Llhttp>()) {}
RequestParser::~RequestParser() = default;

Refusal RequestParser::parse(std::string_view bytes, const Limits& limits, RequestHead& head,
                             bool plain_target) noexcept {
  head.clear();
  while (bytes.starts_with("\r\n")) bytes.remove_prefix(2);
  llhttp_->start(head);
  llhttp_t& parser = llhttp_->parser;
  const llhttp_errno_t error = bytes.find('\t') == std::string_view::npos
                                   ? llhttp_execute(&parser, bytes.data(), bytes.size())
                                   : llhttp_->execute_without_trailing_blanks(bytes);
  if (error != HPE_PAUSED)
    return {400, error == HPE_OK ? "incomplete head" : llhttp_get_error_reason(&parser)};
  // It must have ended where HeadScanner says: paused at the last LF, or behind it.
  if (bytes.data() + bytes.size() - llhttp_get_error_pos(&parser) > 1 || head.target.empty()) {
    return {400, "ambiguous head"};
  }
  if (head.fields.size() > limits.max_fields) return {431, "too many fields"};

  const auto method =
      parse_method({bytes.data(), static_cast<size_t>(head.target.data() - bytes.data() - 1)});
  if (!method) return {501, "unknown method"};
  head.method = *method;
  head.version_minor = llhttp_get_http_minor(&parser) == 0 ? 0 : 1;
  for (Field& field : head.fields) field.value = chars::trim(field.value);
  if (const Refusal refusal = judge_target(head, plain_target)) return refusal;
  return judge_fields(head, host_check_);
}

}  // namespace lastcall
