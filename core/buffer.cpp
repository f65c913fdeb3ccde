#include <algorithm>
#include <cstdlib>
#include <new>

#include <lastcall/core/buffer.hpp>

namespace lastcall {

void Buffer::give_back() noexcept {
  BufferPool& pool = *block_->pool;
  pool.give(std::exchange(block_, &pool.none_));
}

void Buffer::grow(size_t more) {
  size_t needed = size_t{block_->size} + more;
  const size_t capacity = block_->capacity;
  LASTCALL_CHECK(needed <= UINT32_MAX);
  if (capacity >= BufferPool::kClassBytes[BufferPool::kClasses - 1]) {
    needed = std::max(needed, std::min<size_t>(capacity * 2, UINT32_MAX));  // amortised growth on the heap
  }
  BufferBlock* block = block_->pool->take(needed);
  block->size = block_->size;
  if (block->size != 0) std::memcpy(block->bytes(), block_->bytes(), block->size);
  release();
  block_ = block;
}

BufferPool::~BufferPool() {
  LASTCALL_CHECK(lent_ == 0);
  for (Free* head : free_) {
    while (head != nullptr) std::free(std::exchange(head, head->next));
  }
}

BufferBlock* BufferPool::take(size_t bytes) {
  for (size_t i = 0; i < kClasses; ++i) {
    if (bytes > kClassBytes[i]) continue;
    if (free_[i] == nullptr) return make(kClassBytes[i]);
    Free* block = std::exchange(free_[i], free_[i]->next);
    kept_[i] -= kClassBytes[i];
    lent_ += kClassBytes[i];
    return ::new (block) BufferBlock{this, 0, static_cast<uint32_t>(kClassBytes[i])};
  }
  return make(bytes);
}

BufferBlock* BufferPool::make(size_t capacity) {
  void* memory = std::malloc(sizeof(BufferBlock) + capacity);
  if (memory == nullptr) throw std::bad_alloc();
  lent_ += capacity;
  return ::new (memory) BufferBlock{this, 0, static_cast<uint32_t>(capacity)};
}

void BufferPool::give(BufferBlock* block) noexcept {
  const size_t capacity = block->capacity;
  lent_ -= capacity;
  for (size_t i = 0; i < kClasses; ++i) {
    if (capacity != kClassBytes[i]) continue;
    if (kept_[i] + capacity > kMaxKept) break;
    free_[i] = ::new (block) Free{free_[i]};
    kept_[i] += capacity;
    return;
  }
  std::free(block);
}

}  // namespace lastcall
