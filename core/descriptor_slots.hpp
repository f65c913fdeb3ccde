#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <lastcall/core/token.hpp>

namespace lastcall {

/// What a backend knows about each descriptor, by the slot of its token. `State` has `token` and `fd`, which
/// is negative where there is none. Addresses move when the table grows, so no reference is held across a
/// call of the sink.
template <class State>
class DescriptorSlots {
 public:
  /// nullptr: the descriptor of this token is closed, or was never started.
  [[nodiscard]] State* find(Token token) noexcept {
    if (token.slot >= size_) return nullptr;
    State& slot = begin_[token.slot];
    return slot.fd >= 0 && slot.token.generation == token.generation ? &slot : nullptr;
  }
  /// The slot, whoever is in it; there is room for it from here on.
  [[nodiscard]] State& at(Token token) {
    if (token.slot >= size_) [[unlikely]]
      grow(token.slot);
    return begin_[token.slot];
  }
  /// The one of a token that at() was called with.
  [[nodiscard]] State& operator[](uint32_t slot) noexcept { return begin_[slot]; }

 private:
  // Room for so many from the start: virtual memory, of which pages are taken by the slots that are used. A
  // table that moves leaves as much behind again.
  static constexpr size_t kReserved = 65'536;

  void grow(uint32_t slot) {
    if (slot >= states_.capacity()) states_.reserve(std::max(slot + kReserved, states_.capacity() * 2));
    states_.resize(slot + size_t{1});
    begin_ = states_.data();
    size_ = static_cast<uint32_t>(states_.size());
  }

  State* begin_ = nullptr;  // of the vector, whose own size() divides by that of a State
  uint32_t size_ = 0;
  std::vector<State> states_;
};

}  // namespace lastcall
