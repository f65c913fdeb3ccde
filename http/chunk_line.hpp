#pragma once

#include <cstdint>

namespace lastcall {

/// Reads one chunk-size [ chunk-ext ] CRLF, RFC 9112 7.1, a byte at a time: at most kMaxChunkSizeDigits hex
/// digits and kMaxChunkLineBytes in all, extensions checked against 7.1.1 and dropped.
class ChunkLine {
 public:
  enum class Outcome : uint8_t { more, complete, refused };

  /// After `refused`, what() says why (400).
  Outcome take(char c) noexcept;

  [[nodiscard]] uint64_t size() const noexcept { return size_; }  ///< of the digits so far
  [[nodiscard]] const char* what() const noexcept { return what_; }

 private:
  enum class State : uint8_t {
    size,
    before_semicolon,
    before_name,
    name,
    before_equals,
    before_value,
    token,
    quoted,
    escaped,
    after_quoted,
    line_feed
  };
  Outcome refuse(const char* what) noexcept;
  bool step(char c) noexcept;
  bool take_size(char c) noexcept;
  bool take_end(char c) noexcept;

  uint64_t size_ = 0;
  const char* what_ = "malformed chunk extension";
  uint16_t bytes_ = 0;
  uint8_t digits_ = 0;
  State state_ = State::size;
};

}  // namespace lastcall
