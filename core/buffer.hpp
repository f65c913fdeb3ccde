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

/// The beginning of a buffer's memory; the bytes come behind it. Each pool has an empty one, which stands for
/// no memory, so that who holds none need not be told apart.
struct BufferBlock {
  BufferPool* pool;
  uint32_t size;
  uint32_t capacity;
  [[nodiscard]] char* bytes() noexcept { return reinterpret_cast<char*>(this + 1); }
};

/// A piece of memory out of a pool, filled from the front. Empty buffers hold nothing: memory comes at the
/// first byte and goes back at release(). Grows by moving to the next size class. Belongs to one thread, must
/// not outlive its pool. It is one pointer, since an idle connection has several.
class Buffer {
 public:
  inline explicit Buffer(BufferPool& pool) noexcept;
  inline Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept {
    swap(other);
    other.release();
    return *this;
  }
  ~Buffer() { release(); }

  /// Room for `more` bytes behind what is there; the bytes are the caller's to write, commit() makes them
  /// part of it.
  char* prepare(size_t more) {
    if (block_->capacity - block_->size < more) grow(more);
    return block_->bytes() + block_->size;
  }
  void commit(size_t bytes) noexcept { block_->size += static_cast<uint32_t>(bytes); }
  void append(std::string_view bytes) {
    if (bytes.empty()) return;
    std::memcpy(prepare(bytes.size()), bytes.data(), bytes.size());
    commit(bytes.size());
  }
  /// Drops bytes from the front, moving the rest down.
  void consume(size_t bytes) noexcept {
    LASTCALL_CHECK(bytes <= block_->size);
    block_->size -= static_cast<uint32_t>(bytes);
    if (block_->size != 0) std::memmove(block_->bytes(), block_->bytes() + bytes, block_->size);
  }
  void truncate(size_t size) noexcept {
    LASTCALL_CHECK(size <= block_->size);
    block_->size = static_cast<uint32_t>(size);
  }
  void clear() noexcept { block_->size = 0; }
  void release() noexcept {  ///< memory back to the pool
    if (block_->capacity != 0) give_back();
  }

  [[nodiscard]] char* data() noexcept { return block_->bytes(); }
  [[nodiscard]] const char* data() const noexcept { return block_->bytes(); }
  [[nodiscard]] size_t size() const noexcept { return block_->size; }
  [[nodiscard]] size_t capacity() const noexcept { return block_->capacity; }
  [[nodiscard]] bool empty() const noexcept { return block_->size == 0; }
  [[nodiscard]] std::string_view view() const noexcept { return {block_->bytes(), block_->size}; }
  void swap(Buffer& other) noexcept { std::swap(block_, other.block_); }

 private:
  void grow(size_t more);
  void give_back() noexcept;

  BufferBlock* block_;
};

/// Free memory of one reactor in size classes of 4, 16 and 64 KiB, last-in first-out so that what is handed
/// out is warm in the cache. Larger buffers come from and go to the heap. Keeps at most kMaxKept bytes a
/// class.
class BufferPool {
 public:
  BufferPool() noexcept : none_{this, 0, 0} {}
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

  /// An empty block with room for at least `bytes`. Throws std::bad_alloc.
  BufferBlock* take(size_t bytes);
  BufferBlock* make(size_t capacity);
  void give(BufferBlock* block) noexcept;

  BufferBlock none_;
  Free* free_[kClasses] = {};
  size_t kept_[kClasses] = {};
  size_t lent_ = 0;
};

inline Buffer::Buffer(BufferPool& pool) noexcept : block_(&pool.none_) {}
inline Buffer::Buffer(Buffer&& other) noexcept
    : block_(std::exchange(other.block_, &other.block_->pool->none_)) {}

}  // namespace lastcall
