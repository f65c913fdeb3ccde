#pragma once

#include <cstdint>
#include <string_view>

namespace lastcall {

/// Whether bytes that come in pieces are UTF-8 (RFC 3629: the shortest form only, no surrogates, nothing past
/// U+10FFFF). Says no at the first byte that no continuation could make good.
class Utf8Check {
 public:
  /// The next piece; false: not UTF-8, and nothing that follows makes it so.
  [[nodiscard]] bool feed(std::string_view bytes) noexcept;
  /// No character is cut off at the end of what came: as good as new.
  [[nodiscard]] bool complete() const noexcept { return left_ == 0; }

 private:
  [[nodiscard]] bool start(uint8_t byte) noexcept;

  uint8_t left_ = 0;     // bytes that the character still needs
  uint8_t low_ = 0x80;   // the least that its next byte may be
  uint8_t high_ = 0xbf;  // … and the most
};

[[nodiscard]] inline bool is_utf8(std::string_view bytes) noexcept {
  Utf8Check check;
  return check.feed(bytes) && check.complete();
}

}  // namespace lastcall
