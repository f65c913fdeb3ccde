#pragma once

#include <cstdint>
#include <string_view>

#include <lastcall/http/status.hpp>

namespace lastcall {

/// What a scan of a head or of a trailer section came to.
struct ScanResult {
  enum class Outcome : uint8_t { incomplete, complete, refused } outcome = Outcome::incomplete;
  uint32_t length = 0;        ///< complete: bytes from the first given byte to the end of the empty line
  Refusal refusal;            ///< refused
  bool plain_target = false;  ///< complete: the target is known to hold kPath characters only
};

/// Scans *( field-line CRLF ) CRLF, RFC 9112 5, as strictly as HeadScanner promises. Resumable at every byte.
/// What it answers depends on the bytes alone, never on how they were cut.
class FieldScanner {
 public:
  FieldScanner() noexcept = default;
  /// The section begins at that offset of the bytes that scan() is given.
  explicit FieldScanner(uint32_t offset) noexcept : offset_(offset) {}

  /// `bytes`: as for HeadScanner::scan(). Refuses with 400, and with 431 beyond `max_bytes` or `max_fields`.
  [[nodiscard]] ScanResult scan(std::string_view bytes, uint32_t max_bytes, uint32_t max_fields) noexcept;

 private:
  enum class State : uint8_t { line_start, name, value, line_feed, last_line_feed };
  uint32_t offset_ = 0;  // bytes already accepted
  uint32_t fields_ = 0;  // fields begun
  State state_ = State::line_start;
};

}  // namespace lastcall
