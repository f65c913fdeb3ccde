#include <cstring>

#include <lastcall/http/utf8.hpp>

namespace lastcall {
namespace {

/// Past what is ASCII, eight bytes at a time; may stop early.
size_t ascii_prefix(std::string_view bytes) noexcept {
  size_t at = 0;
  for (uint64_t word = 0; bytes.size() - at >= sizeof word; at += sizeof word) {
    std::memcpy(&word, bytes.data() + at, sizeof word);
    if ((word & 0x8080'8080'8080'8080u) != 0) break;
  }
  return at;
}

}  // namespace

/// The table of RFC 3629 4: the first byte says how many follow and what the second one may be.
bool Utf8Check::start(uint8_t byte) noexcept {
  low_ = 0x80;
  high_ = 0xbf;
  if (byte < 0x80) return true;
  if (byte < 0xc2 || byte > 0xf4) return false;  // a continuation, a longer form than needed, past U+10FFFF
  left_ = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
  if (byte == 0xe0) low_ = 0xa0;   // shorter with two bytes
  if (byte == 0xed) high_ = 0x9f;  // surrogates
  if (byte == 0xf0) low_ = 0x90;   // shorter with three bytes
  if (byte == 0xf4) high_ = 0x8f;  // past U+10FFFF
  return true;
}

bool Utf8Check::feed(std::string_view bytes) noexcept {
  for (size_t at = left_ == 0 ? ascii_prefix(bytes) : 0; at < bytes.size(); ++at) {
    const auto byte = static_cast<uint8_t>(bytes[at]);
    if (left_ == 0) {
      if (!start(byte)) return false;
      continue;
    }
    if (byte < low_ || byte > high_) return false;
    --left_;
    low_ = 0x80;
    high_ = 0xbf;
  }
  return true;
}

}  // namespace lastcall
