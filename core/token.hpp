#pragma once

#include <cstdint>

namespace lastcall {

/// What an event is about. The backend keeps it in the token; callers leave it at `none`.
enum class Op : uint8_t { none, accept, recv, send, watch };

/// The 64 bits that travel with every operation through the kernel and back (epoll data, io_uring user_data).
/// `slot` is small and dense: backends keep their own state in arrays indexed by it, so one slot names one
/// descriptor at a time. `generation` changes each time a slot is reused; an event whose generation is not
/// the slot's is dropped. `kind` belongs to the caller.
struct Token {
  uint32_t slot = 0;
  uint16_t generation = 0;
  uint8_t kind = 0;
  Op op = Op::none;

  friend bool operator==(const Token&, const Token&) = default;
};

[[nodiscard]] constexpr uint64_t pack(Token token) noexcept {
  return uint64_t{token.slot} | uint64_t{token.generation} << 32 | uint64_t{token.kind} << 48 |
         uint64_t{static_cast<uint8_t>(token.op)} << 56;
}

[[nodiscard]] constexpr Token unpack(uint64_t bits) noexcept {
  return {.slot = static_cast<uint32_t>(bits),
          .generation = static_cast<uint16_t>(bits >> 32),
          .kind = static_cast<uint8_t>(bits >> 48),
          .op = static_cast<Op>(bits >> 56)};
}

[[nodiscard]] constexpr Token with_op(Token token, Op op) noexcept {
  token.op = op;
  return token;
}

}  // namespace lastcall
