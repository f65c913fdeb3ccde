#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include <lastcall/core/io_backend.hpp>
#include <lastcall/core/token.hpp>

namespace lastcall {

/// A send that the kernel has taken in part: what remains, and how much is gone. The bytes stay the caller's.
/// One of a single segment lies on one cache line.
struct alignas(64) PendingSend {
  Token token;
  int32_t sent = 0;
  int32_t error = 0;   ///< errno that ended it, 0 while it is well
  uint32_t first = 0;  ///< segments before this one are gone
  uint32_t end = 0;
  uint32_t next_free = 0;
  std::array<iovec, kMaxSendSegments> segments;
  msghdr message{};  ///< for the call under way; the kernel may read it until that ends

  [[nodiscard]] std::span<iovec> remaining() noexcept { return {segments.data() + first, end - first}; }
  [[nodiscard]] bool done() const noexcept { return first == end; }
  void fail(int code) noexcept { error = code; }
  /// What the event says: bytes sent, or -errno when there were none.
  [[nodiscard]] int32_t result() const noexcept { return sent == 0 ? -error : sent; }

  /// Takes `bytes` off the front.
  void advance(size_t bytes) noexcept {
    sent += static_cast<int32_t>(bytes);
    if (bytes == segments[first].iov_len && first + 1 == end) [[likely]] {
      first = end;
      return;
    }
    while (first < end && bytes >= segments[first].iov_len) bytes -= segments[first++].iov_len;
    if (bytes == 0) return;
    segments[first].iov_base = static_cast<char*>(segments[first].iov_base) + bytes;
    segments[first].iov_len -= bytes;
  }
};

/// Pending sends by index, reused last-in first-out, at stable addresses.
class PendingSends {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;

  uint32_t take(Token token, std::span<const iovec> iov) {
    if (free_ == kNone) grow();
    const uint32_t index = free_;
    PendingSend& send = (*this)[index];
    free_ = send.next_free;
    send.token = token;
    send.sent = 0;
    send.error = 0;
    send.first = 0;
    send.end = static_cast<uint32_t>(iov.size());
    send.segments[0] = iov[0];
    for (size_t i = 1; i < iov.size(); ++i) send.segments[i] = iov[i];
    return index;
  }
  void give(uint32_t index) noexcept {
    (*this)[index].next_free = free_;
    free_ = index;
  }
  [[nodiscard]] PendingSend& operator[](uint32_t index) noexcept {
    return blocks_[index / kBlock][index % kBlock];
  }

 private:
  static constexpr uint32_t kBlock = 64;

  void grow() {
    const auto begin = static_cast<uint32_t>(blocks_.size()) * kBlock;
    blocks_.push_back(std::make_unique<PendingSend[]>(kBlock));
    for (uint32_t index = begin + kBlock; index-- > begin;) give(index);
  }

  std::vector<std::unique_ptr<PendingSend[]>> blocks_;
  uint32_t free_ = kNone;
};

[[nodiscard]] inline size_t total_bytes(std::span<const iovec> iov) noexcept {
  size_t total = 0;
  for (const iovec& segment : iov) total += segment.iov_len;
  return total;
}

}  // namespace lastcall
