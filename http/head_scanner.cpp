#include <algorithm>
#include <cstring>

#include <lastcall/http/chars.hpp>
#include <lastcall/http/head_scanner.hpp>
#include <lastcall/http/method.hpp>

namespace lastcall {
namespace {

constexpr uint32_t kMaxMethodBytes = 11;               // UNSUBSCRIBE
constexpr std::string_view kVersion = "HTTP/d.d\r\n";  // d: any digit
constexpr std::string_view kUsualVersion = " HTTP/1.1\r\n";

HeadScanner::Result refused(Refusal refusal) noexcept {
  return {HeadScanner::Result::Outcome::refused, 0, refusal};
}

bool fits_version(char c, uint32_t position) noexcept {
  return kVersion[position] == 'd' ? chars::is(c, chars::kDigit) : c == kVersion[position];
}

/// The usual case in one straight pass: a flawless HTTP/1.1 head that is whole and within the limits. Its
/// length, or 0 for anything else: refusals are the resumable scanner's alone.
uint32_t whole_head(std::string_view bytes, const Limits& limits, bool& plain_target) noexcept {
  const char* const begin = bytes.data();
  const char* const end = begin + std::min<size_t>(bytes.size(), limits.max_header_bytes);
  const char* at = chars::skip(begin, end, chars::kToken);
  if (at == end || *at != ' ' || !parse_method({begin, static_cast<size_t>(at - begin)})) return 0;
  const char* const target = ++at;
  const char* const plain = chars::skip_plain_path(at, end);
  at = chars::skip(plain, end, chars::kTarget);
  plain_target = at == plain;
  if (at == target || static_cast<size_t>(at - target) > limits.max_target_bytes) return 0;
  if (static_cast<size_t>(end - at) < kUsualVersion.size()) return 0;
  if (std::memcmp(at, kUsualVersion.data(), kUsualVersion.size()) != 0) return 0;
  at += kUsualVersion.size();
  for (uint32_t fields = 0; end - at >= 2; ++fields) {
    if (*at == '\r') return at[1] == '\n' ? static_cast<uint32_t>(at + 2 - begin) : 0;
    if (fields == limits.max_fields) return 0;
    const char* const name = at;
    at = chars::skip_token(at, end);
    if (at == name || at == end || *at != ':') return 0;
    at = chars::skip_value(at + 1, end);
    if (end - at < 2 || at[0] != '\r' || at[1] != '\n') return 0;
    at += 2;
  }
  return 0;
}

}  // namespace

HeadScanner::Result HeadScanner::scan(std::string_view bytes, const Limits& limits) noexcept {
  if (state_ == State::leading && offset_ == 0) {
    bool plain_target = false;
    if (const uint32_t length = whole_head(bytes, limits, plain_target)) {
      return {Result::Outcome::complete, length, {}, plain_target};
    }
  }
  if (state_ != State::fields) {
    const size_t seen = std::min<size_t>(bytes.size(), limits.max_header_bytes);
    const Refusal refusal = scan_request_line(bytes.data(), bytes.data() + seen, limits);
    if (refusal) return refused(refusal);
    if (state_ != State::fields) {
      if (seen == limits.max_header_bytes) return refused({414, "request line too long"});
      return {};
    }
    fields_ = FieldScanner(offset_);
  }
  return fields_.scan(bytes, limits.max_header_bytes, limits.max_fields);
}

// Each word runs into the next as long as there are bytes.
Refusal HeadScanner::scan_request_line(const char* begin, const char* end, const Limits& limits) noexcept {
  Refusal refusal;
  while (state_ <= State::leading_line_feed && begin + offset_ < end) {
    if ((refusal = scan_leading(begin[offset_]))) return refusal;
  }
  if (state_ == State::method && (refusal = scan_method(begin, end))) return refusal;
  if (state_ == State::target && (refusal = scan_target(begin, end, limits.max_target_bytes))) return refusal;
  if (state_ == State::version && (refusal = scan_version(begin, end))) return refusal;
  if (state_ == State::target_line_feed && begin + offset_ < end) {
    return begin[offset_] == '\n' ? Refusal{505, "HTTP/0.9 is not supported"} : Refusal{400, "CR without LF"};
  }
  return {};
}

Refusal HeadScanner::scan_leading(char c) noexcept {
  if (state_ == State::leading_line_feed) {
    if (c != '\n') return {400, "CR without LF"};
    state_ = State::leading;
    ++offset_;
  } else if (c == '\r') {
    if (++empty_lines_ > kMaxLeadingEmptyLines) return {400, "too many empty lines before the request line"};
    state_ = State::leading_line_feed;
    ++offset_;
  } else {
    word_start_ = offset_;
    state_ = State::method;
  }
  return {};
}

// RFC 9112 3: a method longer than any that is known may be answered 501 at once.
Refusal HeadScanner::scan_method(const char* begin, const char* end) noexcept {
  const char* const word = begin + word_start_;
  const char* const stop = end - word > kMaxMethodBytes + 1 ? word + kMaxMethodBytes + 1 : end;
  const char* const at = chars::skip(begin + offset_, stop, chars::kToken);
  const auto size = static_cast<size_t>(at - word);
  if (size > kMaxMethodBytes) return {501, "unknown method"};
  if (at == end) {
    offset_ = static_cast<uint32_t>(at - begin);
    return {};
  }
  if (*at != ' ' || size == 0) return {400, "bad character in the method"};
  if (!parse_method({word, size})) return {501, "unknown method"};
  offset_ = static_cast<uint32_t>(at + 1 - begin);
  word_start_ = offset_;
  state_ = State::target;
  return {};
}

Refusal HeadScanner::scan_target(const char* begin, const char* end, uint32_t max_bytes) noexcept {
  const char* const word = begin + word_start_;
  const bool cut = static_cast<size_t>(end - word) > max_bytes;
  const char* const stop = cut ? word + max_bytes + 1 : end;
  const char* const at = chars::skip(begin + offset_, stop, chars::kTarget);
  if (static_cast<size_t>(at - word) > max_bytes) return {414, "request target too long"};
  offset_ = static_cast<uint32_t>(at - begin);
  if (at == end) return {};
  if (at == word || (*at != ' ' && *at != '\r')) return {400, "bad character in the request target"};
  ++offset_;
  word_start_ = offset_;
  state_ = *at == ' ' ? State::version : State::target_line_feed;
  return {};
}

// RFC 9110 2.5: a higher minor version is served as the highest that is known.
Refusal HeadScanner::scan_version(const char* begin, const char* end) noexcept {
  const char* const word = begin + word_start_;
  for (const char* at = begin + offset_; at != end; ++at) {
    const auto position = static_cast<uint32_t>(at - word);
    if (!fits_version(*at, position)) return {400, "malformed HTTP version"};
    ++offset_;
    if (position + 1 < kVersion.size()) continue;
    if (word[5] != '1') return {505, "HTTP version not supported"};
    state_ = State::fields;
    return {};
  }
  return {};
}

}  // namespace lastcall
