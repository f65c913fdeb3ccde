#include <tests/support/allocation_counter.hpp>

#include <cstdlib>
#include <new>

namespace {

thread_local uint64_t allocations = 0;

void* allocate_or_null(std::size_t size) noexcept {
  ++allocations;
  return std::malloc(size ? size : 1);
}

void* allocate_or_null(std::size_t size, std::align_val_t align) noexcept {
  ++allocations;
  void* memory = nullptr;
  return ::posix_memalign(&memory, static_cast<std::size_t>(align), size ? size : 1) == 0 ? memory : nullptr;
}

void* not_null(void* memory) {
  if (!memory) throw std::bad_alloc();
  return memory;
}

}  // namespace

namespace lastcall::test {
uint64_t AllocationCounter::total() noexcept {
  return allocations;
}
}  // namespace lastcall::test

// Every form, since a sanitizer's own versions of the others would not meet these.
void* operator new(std::size_t size) {
  return not_null(allocate_or_null(size));
}
void* operator new[](std::size_t size) {
  return not_null(allocate_or_null(size));
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return allocate_or_null(size);
}
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept {
  return allocate_or_null(size);
}
void* operator new(std::size_t size, std::align_val_t a) {
  return not_null(allocate_or_null(size, a));
}
void* operator new[](std::size_t size, std::align_val_t a) {
  return not_null(allocate_or_null(size, a));
}
void* operator new(std::size_t size, std::align_val_t a, const std::nothrow_t&) noexcept {
  return allocate_or_null(size, a);
}
void* operator new[](std::size_t size, std::align_val_t a, const std::nothrow_t&) noexcept {
  return allocate_or_null(size, a);
}

void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete[](void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, std::size_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, const std::nothrow_t&) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, const std::nothrow_t&) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::align_val_t, const std::nothrow_t&) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, std::align_val_t, const std::nothrow_t&) noexcept {
  std::free(memory);
}
