#pragma once

#include <cstdint>
#include <string_view>

#include <lastcall/http/field_scanner.hpp>
#include <lastcall/http/limits.hpp>
#include <lastcall/http/status.hpp>

namespace lastcall {

/// The strict pass over the raw bytes of a request head, before llhttp sees it: finds where the head ends and
/// refuses whatever could be read in two ways (RFC 9112 2.2, 3, 5): a CR without LF or LF without CR, NUL and
/// other controls, a line that begins with blank (obs-fold), a field name that is not a token or is followed
/// by blank, an empty name, a request line without exactly two single spaces, a method that is no token, a
/// target with characters no URI has, a version that is not HTTP/1.x. Resumable: bytes are looked at once
/// however the head is cut, and a bad byte is refused as soon as it is seen, so the answer never depends on
/// the cuts.
class HeadScanner {
 public:
  /// `length` counts leading empty lines and the last CRLF; refused: 400, 414, 431, 501 (method is a token
  /// but unknown) or 505.
  using Result = ScanResult;

  /// `bytes`: the head from its first byte, all that has arrived of it, perhaps with more behind it. Each
  /// call gives at least the bytes of the call before (they may have moved); resumes where that one stopped.
  /// After `complete` or `refused`, reset() comes first.
  [[nodiscard]] Result scan(std::string_view bytes, const Limits& limits) noexcept;

  /// Forgets everything: the next scan() begins a new head.
  void reset() noexcept { *this = HeadScanner(); }

  /// Whether a byte of a request line has been seen (leading empty lines do not count).
  [[nodiscard]] bool started() const noexcept { return state_ > State::leading_line_feed; }

 private:
  enum class State : uint8_t {
    leading,
    leading_line_feed,
    method,
    target,
    target_line_feed,
    version,
    fields
  };

  Refusal scan_request_line(const char* begin, const char* end, const Limits& limits) noexcept;
  Refusal scan_leading(char c) noexcept;
  Refusal scan_method(const char* begin, const char* end) noexcept;
  Refusal scan_target(const char* begin, const char* end, uint32_t max_bytes) noexcept;
  Refusal scan_version(const char* begin, const char* end) noexcept;

  uint32_t offset_ = 0;      // bytes of the request line already accepted
  uint32_t word_start_ = 0;  // where the current word of the request line begins
  State state_ = State::leading;
  uint8_t empty_lines_ = 0;
  FieldScanner fields_;
};

}  // namespace lastcall
