#include <lastcall/http/chars.hpp>
#include <lastcall/http/field_scanner.hpp>

namespace lastcall {
namespace {

ScanResult refuse(uint16_t status, const char* what) noexcept {
  return {ScanResult::Outcome::refused, 0, {status, what}};
}

}  // namespace

ScanResult FieldScanner::scan(std::string_view bytes, uint32_t max_bytes, uint32_t max_fields) noexcept {
  const bool whole = bytes.size() < max_bytes;
  const char* const begin = bytes.data();
  const char* const end = begin + (whole ? bytes.size() : max_bytes);
  const char* at = begin + offset_;
  while (at < end) {
    switch (state_) {
      case State::line_start:
        if (*at == '\r') {
          ++at;
          state_ = State::last_line_feed;
          continue;
        }
        if (chars::is_blank(*at)) return refuse(400, "folded field line");
        if (*at == ':') return refuse(400, "empty field name");
        if (!chars::is(*at, chars::kToken)) return refuse(400, "bad character in a field name");
        if (++fields_ > max_fields) return refuse(431, "too many fields");
        state_ = State::name;
        [[fallthrough]];
      case State::name:
        at = chars::skip_token(at, end);
        if (at == end) break;
        if (*at != ':') return refuse(400, "bad character in a field name");
        ++at;
        state_ = State::value;
        [[fallthrough]];
      case State::value:
        at = chars::skip_value(at, end);
        if (at == end) break;
        if (*at != '\r') return refuse(400, "bad character in a field value");
        ++at;
        state_ = State::line_feed;
        if (at == end) break;
        [[fallthrough]];
      case State::line_feed:
        if (*at != '\n') return refuse(400, "CR without LF");
        ++at;
        state_ = State::line_start;
        break;
      case State::last_line_feed:
        if (*at != '\n') return refuse(400, "CR without LF");
        return {ScanResult::Outcome::complete, static_cast<uint32_t>(at + 1 - begin), {}};
    }
  }
  offset_ = static_cast<uint32_t>(at - begin);
  if (!whole) return refuse(431, "header section too large");
  return {};
}

}  // namespace lastcall
