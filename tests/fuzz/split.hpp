#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>

namespace lastcall::fuzz {

/// Bytes in a block of exactly their size, so that the sanitizer sees a read past the end.
class ExactBytes {
 public:
  explicit ExactBytes(std::string_view text) : size_(text.size()), bytes_(new char[text.size()]) {
    if (size_ > 0) std::memcpy(bytes_.get(), text.data(), size_);
  }
  [[nodiscard]] std::string_view view() const { return {bytes_.get(), size_}; }

 private:
  size_t size_;
  std::unique_ptr<char[]> bytes_;
};

/// Where to cut the input, chosen by the fuzzer: each byte of the plan is the size of the next piece (0: the
/// whole rest), over and over. An empty plan gives single bytes.
class Cuts {
 public:
  explicit Cuts(std::string_view plan) : plan_(plan) {}

  size_t next(size_t left) {
    const auto piece = plan_.empty() ? uint8_t{1} : static_cast<uint8_t>(plan_[at_++ % plan_.size()]);
    return piece == 0 ? left : std::min<size_t>(piece, left);
  }

 private:
  std::string_view plan_;
  size_t at_ = 0;
};

/// A fuzzer's input: one byte of options, one with the length of the plan, the plan, and the bytes of the
/// wire.
struct Input {
  uint8_t options = 0;
  std::string_view plan;
  std::string_view wire;

  Input(const uint8_t* data, size_t size) {
    std::string_view text(reinterpret_cast<const char*>(data), size);
    if (text.size() < 2) return;
    options = static_cast<uint8_t>(text[0]);
    const size_t plan_size = static_cast<uint8_t>(text[1]) % 8;
    text.remove_prefix(2);
    plan = text.substr(0, plan_size);
    wire = text.substr(plan.size());
  }
};

}  // namespace lastcall::fuzz
