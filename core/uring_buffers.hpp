#pragma once

#include <liburing.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <lastcall/core/check.hpp>

namespace lastcall {

/// The receive buffers of one ring (IORING_REGISTER_PBUF_RING, Linux 5.19): the kernel takes them in ring
/// order, the owner puts them back in batches.
///
/// A ring of many buffers would sweep through all of its memory even when a few are in use, so it begins with
/// few and is given more each time it ran dry.
class UringBuffers {
 public:
  static constexpr uint16_t kGroup = 0;
  static constexpr uint32_t kFirstBuffers = 16;

  /// Registers `count` (a power of two) buffers of `bytes` each. Throws std::system_error.
  UringBuffers(io_uring& ring, uint32_t count, uint32_t bytes);
  ~UringBuffers();  ///< the ring must be gone, or have nothing in flight
  UringBuffers(const UringBuffers&) = delete;
  UringBuffers& operator=(const UringBuffers&) = delete;

  [[nodiscard]] std::span<const std::byte> bytes(uint16_t buffer, int32_t size) const noexcept {
    return {address(buffer), static_cast<size_t>(size)};
  }
  /// The one that the kernel takes behind this one, which is not recycled yet.
  [[nodiscard]] uint16_t after(uint16_t buffer) const noexcept { return after_[buffer]; }
  /// The most that a buffer holds.
  [[nodiscard]] int32_t capacity() const noexcept { return static_cast<int32_t>(bytes_); }
  /// To be taken again after the next publish().
  void recycle(uint16_t buffer) noexcept {
    after_[newest_] = buffer;
    newest_ = buffer;
    io_uring_buf_ring_add(entries_, address(buffer), bytes_, buffer, io_uring_buf_ring_mask(count_),
                          added_++);
  }
  void publish() noexcept {
    if (added_ == 0) return;
    io_uring_buf_ring_advance(entries_, added_);
    added_ = 0;
  }
  /// The kernel has found none: twice as many from the next publish() on, as far as there are more.
  void widen() noexcept;

 private:
  [[nodiscard]] std::byte* address(uint16_t buffer) const noexcept { return memory_ + buffer * stride_; }

  uint32_t count_;
  uint32_t bytes_;
  uint32_t in_use_ = 0;  // buffers that have been put into the ring so far
  int added_ = 0;        // recycled and not yet published
  uint16_t newest_ = 0;  // that was recycled
  std::vector<uint16_t> after_;
  size_t stride_;
  size_t mapped_bytes_ = 0;
  io_uring_buf_ring* entries_ = nullptr;
  std::byte* memory_ = nullptr;
};

}  // namespace lastcall
