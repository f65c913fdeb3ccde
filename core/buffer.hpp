#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <string_view>
#include <utility>

#include <lastcall/core/check.hpp>

namespace lastcall {

class BufferPool;

/// A piece of memory out of a pool, filled from the front. Empty buffers hold nothing: memory comes at the
/// first byte and goes back at release(). Grows by moving to the next size class. Belongs to one thread, must
/// not outlive its pool.
class Buffer {
 public:
  explicit Buffer(BufferPool& pool) noexcept : pool_(&pool) {}
  Buffer(Buffer&& other) noexcept
      : pool_(other.pool_),
        data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)),
        capacity_(std::exchange(other.capacity_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    swap(other);
    other.release();
    return *this;
  }
  ~Buffer() { release(); }

  /// Room for `more` bytes behind what is there; the bytes are the caller's to write, commit() makes them
  /// part of it.
  char* prepare(size_t more) {
    if (capacity_ - size_ < more) grow(more);
    return data_ + size_;
  }
  void commit(size_t bytes) noexcept { size_ += static_cast<uint32_t>(bytes); }
  void append(std::string_view bytes) {
    if (bytes.empty()) return;
    std::memcpy(prepare(bytes.size()), bytes.data(), bytes.size());
    commit(bytes.size());
  }
  /// Drops bytes from the front, moving the rest down.
  void consume(size_t bytes) noexcept {
    LASTCALL_CHECK(bytes <= size_);
    size_ -= static_cast<uint32_t>(bytes);
    if (size_ != 0) std::memmove(data_, data_ + bytes, size_);
  }
  void truncate(size_t size) noexcept {
    LASTCALL_CHECK(size <= size_);
    size_ = static_cast<uint32_t>(size);
  }
  void clear() noexcept { size_ = 0; }
  void release() noexcept {  ///< memory back to the pool
    if (data_ != nullptr) give_back();
  }

  [[nodiscard]] char* data() noexcept { return data_; }
  [[nodiscard]] const char* data() const noexcept { return data_; }
  [[nodiscard]] size_t size() const noexcept { return size_; }
  [[nodiscard]] size_t capacity() const noexcept { return capacity_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] std::string_view view() const noexcept { return {data_, size_}; }
  void swap(Buffer& other) noexcept {
    std::swap(pool_, other.pool_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
  }

 private:
  void grow(size_t more);
  void give_back() noexcept;

  BufferPool* pool_;
  char* data_ = nullptr;
  uint32_t size_ = 0;
  uint32_t capacity_ = 0;
};

/// Free memory of one reactor in size classes of 4, 16 and 64 KiB, last-in first-out so that what is handed
/// out is warm in the cache. Larger buffers come from and go to the heap. Keeps at most kMaxKept bytes a
/// class.
class BufferPool {
 public:
  BufferPool() = default;
  ~BufferPool();
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  static constexpr size_t kClassBytes[] = {4096, 16384, 65536};
  static constexpr size_t kClasses = std::size(kClassBytes);
  static constexpr size_t kMaxKept = 4 << 20;

  [[nodiscard]] size_t lent() const noexcept { return lent_; }  ///< bytes in use by buffers

 private:
  friend class Buffer;
  struct Free {
    Free* next;
  };

  /// At least `bytes`; capacity is set to what it really is. Throws std::bad_alloc.
  char* take(size_t bytes, uint32_t& capacity);
  void give(char* data, size_t capacity) noexcept;

  Free* free_[kClasses] = {};
  size_t kept_[kClasses] = {};
  size_t lent_ = 0;
};

}  // namespace lastcall
