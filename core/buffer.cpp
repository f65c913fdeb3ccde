#include <algorithm>
#include <cstdlib>
#include <new>

#include <lastcall/core/buffer.hpp>

namespace lastcall {
namespace {

char* heap_take(size_t bytes) {
  void* memory = std::malloc(bytes);
  if (memory == nullptr) throw std::bad_alloc();
  return static_cast<char*>(memory);
}

}  // namespace

void Buffer::give_back() noexcept {
  pool_->give(data_, capacity_);
  data_ = nullptr;
  size_ = 0;
  capacity_ = 0;
}

void Buffer::grow(size_t more) {
  size_t needed = size_t{size_} + more;
  LASTCALL_CHECK(needed <= UINT32_MAX);
  if (capacity_ >= BufferPool::kClassBytes[BufferPool::kClasses - 1]) {
    needed = std::max(needed,
                      std::min<size_t>(size_t{capacity_} * 2, UINT32_MAX));  // amortised growth on the heap
  }
  uint32_t capacity = 0;
  char* data = pool_->take(needed, capacity);
  if (size_ != 0) std::memcpy(data, data_, size_);
  if (data_ != nullptr) pool_->give(data_, capacity_);
  data_ = data;
  capacity_ = capacity;
}

BufferPool::~BufferPool() {
  LASTCALL_CHECK(lent_ == 0);
  for (Free* head : free_) {
    while (head != nullptr) std::free(std::exchange(head, head->next));
  }
}

char* BufferPool::take(size_t bytes, uint32_t& capacity) {
  for (size_t i = 0; i < kClasses; ++i) {
    if (bytes > kClassBytes[i]) continue;
    capacity = static_cast<uint32_t>(kClassBytes[i]);
    char* data = nullptr;
    if (free_[i] != nullptr) {
      Free* block = std::exchange(free_[i], free_[i]->next);
      kept_[i] -= capacity;
      data = reinterpret_cast<char*>(block);
    } else {
      data = heap_take(capacity);
    }
    lent_ += capacity;
    return data;
  }
  char* data = heap_take(bytes);
  capacity = static_cast<uint32_t>(bytes);
  lent_ += capacity;
  return data;
}

void BufferPool::give(char* data, size_t capacity) noexcept {
  lent_ -= capacity;
  for (size_t i = 0; i < kClasses; ++i) {
    if (capacity != kClassBytes[i]) continue;
    if (kept_[i] + capacity > kMaxKept) break;
    free_[i] = ::new (data) Free{free_[i]};
    kept_[i] += capacity;
    return;
  }
  std::free(data);
}

}  // namespace lastcall
