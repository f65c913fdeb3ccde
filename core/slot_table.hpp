#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include <lastcall/core/check.hpp>
#include <lastcall/core/token.hpp>

namespace lastcall {

/// Objects at stable addresses, named by (slot, generation). A freed slot is reused last-in first-out, under
/// the next generation, so that stale names are recognised. Belongs to one thread.
template <class T>
class SlotTable {
 public:
  /// Slots from `first` on, the lowest that is free of a block: lower numbers are left to descriptors that
  /// are not in the table.
  explicit SlotTable(uint32_t limit, uint32_t first = 0) : limit_(limit), first_(first) {}
  SlotTable(const SlotTable&) = delete;
  SlotTable& operator=(const SlotTable&) = delete;
  ~SlotTable() {
    for_each([this](T& object) { release(object); });
  }

  /// Constructs T(token, args...) in a free slot; nullptr when `limit` slots are in use.
  template <class... Args>
  T* acquire(uint8_t kind, Args&&... args) {
    if (size_ >= limit_) return nullptr;
    if (free_ == kNone) grow();
    const uint32_t index = free_;
    Block& block = *blocks_[index / kBlock];
    Free free;
    std::memcpy(&free, block.storage[index % kBlock], sizeof free);
    free_ = free.next;
    block.used |= bit(index);
    block.generation[index % kBlock] = free.generation;
    ++size_;
    const Token token{.slot = first_ + index, .generation = free.generation, .kind = kind};
    return ::new (block.storage[index % kBlock]) T(token, std::forward<Args>(args)...);
  }

  /// Destroys the object; its token is stale from here on.
  void release(T& object) {
    Token token = object.token();
    uint32_t index = token.slot - first_;
    LASTCALL_CHECK(used(index) && generation(index) == token.generation);
    object.~T();
    Block& block = *blocks_[index / kBlock];
    block.used &= ~bit(index);
    make_free(block, index, static_cast<uint16_t>(token.generation + 1));
    --size_;
  }

  /// The object that a token names, or nullptr when it is gone.
  [[nodiscard]] T* find(Token token) noexcept {
    uint32_t index = token.slot - first_;  // wraps for a slot below first_, and is then out of range
    if (index >= capacity_) return nullptr;
    return generation(index) == token.generation && token.generation != kFree ? object(index) : nullptr;
  }

  /// The object in a slot, which must be in use: for names that die with their object, such as an armed
  /// timer's.
  [[nodiscard]] T* at_slot(uint32_t slot) noexcept {
    LASTCALL_CHECK(slot - first_ < capacity_ && used(slot - first_));
    return object(slot - first_);
  }

  /// Calls f(T&) for each object in slot order; f may release the object it is given.
  template <class F>
  void for_each(F&& f) {
    for (uint32_t index = 0; index < capacity_; ++index) {
      if (used(index)) f(*object(index));
    }
  }

  /// Of at most `count` slots from number `from` on (which counts from 0). Returns where to go on, 0: that
  /// was the last one. A long table is so gone through in steps, between which it may change.
  template <class F>
  [[nodiscard]] uint32_t for_each_of(uint32_t from, uint32_t count, F&& f) {
    const uint32_t end = count < capacity_ - std::min(from, capacity_) ? from + count : capacity_;
    for (uint32_t index = from; index < end; ++index) {
      if (used(index)) f(*object(index));
    }
    return end == capacity_ ? 0 : end;
  }

  [[nodiscard]] uint32_t size() const noexcept { return size_; }
  [[nodiscard]] uint32_t limit() const noexcept { return limit_; }
  /// What is in use beyond a lower limit stays.
  void set_limit(uint32_t limit) noexcept { limit_ = limit; }

 private:
  static constexpr uint32_t kNone = UINT32_MAX;
  static constexpr uint32_t kBlock = 64;  // slots allocated at a time

  static constexpr uint16_t kFree = 0;  // the generation of no object

  /// What is kept in a slot that is free.
  struct Free {
    uint32_t next;
    uint16_t generation;  // of the next object there
  };
  static_assert(sizeof(T) >= sizeof(Free));

  struct Block {
    alignas(T) std::byte storage[kBlock][sizeof(T)];
    uint16_t generation[kBlock];
    uint64_t used = 0;  // a bit each
  };

  [[nodiscard]] static uint64_t bit(uint32_t index) noexcept { return uint64_t{1} << (index % kBlock); }
  [[nodiscard]] bool used(uint32_t index) const noexcept {
    return (blocks_[index / kBlock]->used & bit(index)) != 0;
  }
  [[nodiscard]] uint16_t generation(uint32_t index) const noexcept {
    return blocks_[index / kBlock]->generation[index % kBlock];
  }
  [[nodiscard]] T* object(uint32_t index) noexcept {
    return std::launder(reinterpret_cast<T*>(blocks_[index / kBlock]->storage[index % kBlock]));
  }

  void grow() {
    const uint32_t first = capacity_;
    blocks_.push_back(std::make_unique_for_overwrite<Block>());
    capacity_ += kBlock;
    Block& block = *blocks_.back();
    for (uint32_t index = first + kBlock; index-- > first;) {
      make_free(block, index, 1);
    }
  }
  void make_free(Block& block, uint32_t index, uint16_t generation) noexcept {
    const Free free{.next = free_, .generation = generation != kFree ? generation : uint16_t{1}};
    std::memcpy(block.storage[index % kBlock], &free, sizeof free);
    block.generation[index % kBlock] = kFree;
    free_ = index;
  }

  std::vector<std::unique_ptr<Block>> blocks_;
  uint32_t capacity_ = 0;
  uint32_t limit_;
  uint32_t first_;
  uint32_t free_ = kNone;
  uint32_t size_ = 0;
};

}  // namespace lastcall
