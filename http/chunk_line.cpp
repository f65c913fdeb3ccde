#include <lastcall/http/chars.hpp>
#include <lastcall/http/chunk_line.hpp>
#include <lastcall/http/limits.hpp>

namespace lastcall {

ChunkLine::Outcome ChunkLine::refuse(const char* what) noexcept {
  what_ = what;
  return Outcome::refused;
}

ChunkLine::Outcome ChunkLine::take(char c) noexcept {
  if (state_ == State::line_feed) return c == '\n' ? Outcome::complete : refuse("CR without LF");
  if (!step(c)) return Outcome::refused;
  // At least a LF is still to come.
  if (++bytes_ >= kMaxChunkLineBytes) return refuse("chunk line too long");
  return Outcome::more;
}

// A blank here is BWS: it belongs to the ';' that must follow, or after a name to the '='.
bool ChunkLine::take_end(char c) noexcept {
  switch (c) {
    case ';': state_ = State::before_name; return true;
    case '\r': state_ = State::line_feed; return true;
    case ' ':
    case '\t': state_ = state_ == State::name ? State::before_equals : State::before_semicolon; return true;
    default: return false;
  }
}

bool ChunkLine::take_size(char c) noexcept {
  const int digit = chars::hex_value(c);
  if (digit < 0) {
    what_ = "malformed chunk size";
    if (digits_ == 0 || !take_end(c)) return false;
    what_ = "malformed chunk extension";
    return true;
  }
  what_ = "chunk size too large";
  if (++digits_ > kMaxChunkSizeDigits) return false;
  size_ = size_ * 16 + static_cast<uint64_t>(digit);
  return true;
}

bool ChunkLine::step(char c) noexcept {
  const bool token = chars::is(c, chars::kToken);
  switch (state_) {
    case State::size: return take_size(c);
    case State::before_semicolon:
      if (c == ';') state_ = State::before_name;
      return c == ';' || chars::is_blank(c);
    case State::before_name:
      if (token) state_ = State::name;
      return token || chars::is_blank(c);
    case State::before_equals:
      if (c == ';') state_ = State::before_name;
      if (c == '=') state_ = State::before_value;
      return c == ';' || c == '=' || chars::is_blank(c);
    case State::name:
      if (c == '=') state_ = State::before_value;
      return token || c == '=' || take_end(c);
    case State::before_value:
      if (token) state_ = State::token;
      if (c == '"') state_ = State::quoted;
      return token || c == '"' || chars::is_blank(c);
    case State::token: return token || take_end(c);
    case State::quoted:
      if (c == '"') state_ = State::after_quoted;
      if (c == '\\') state_ = State::escaped;
      return c == '"' || c == '\\' || chars::is(c, chars::kQuoted);
    case State::escaped: state_ = State::quoted; return chars::is(c, chars::kValue);
    case State::after_quoted: return take_end(c);
    case State::line_feed: break;
  }
  return false;
}

}  // namespace lastcall
