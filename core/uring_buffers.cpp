#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include <lastcall/core/uring_buffers.hpp>

namespace lastcall {
namespace {

constexpr size_t kPageBytes = 4096;
constexpr size_t kCacheLineBytes = 64;

constexpr size_t round_up(size_t bytes, size_t unit) {
  return (bytes + unit - 1) / unit * unit;
}

}  // namespace

// One line more than a buffer: beginnings a power of two apart would share a few sets of the cache.
UringBuffers::UringBuffers(io_uring& ring, uint32_t count, uint32_t bytes)
    : count_(count),
      bytes_(bytes),
      after_(count),
      stride_(round_up(bytes, kCacheLineBytes) + kCacheLineBytes) {
  const size_t entries_bytes = round_up(count * sizeof(io_uring_buf), kPageBytes);
  mapped_bytes_ = round_up(entries_bytes + count * stride_, kPageBytes);
  void* mapped = ::mmap(nullptr, mapped_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED)
    throw std::system_error(errno, std::generic_category(), "mmap of receive buffers");
  entries_ = static_cast<io_uring_buf_ring*>(mapped);
  memory_ = static_cast<std::byte*>(mapped) + entries_bytes;
  io_uring_buf_ring_init(entries_);
  io_uring_buf_reg registration{};
  registration.ring_addr = reinterpret_cast<uint64_t>(mapped);
  registration.ring_entries = count;
  registration.bgid = kGroup;
  if (int code = io_uring_register_buf_ring(&ring, &registration, 0); code != 0) {
    ::munmap(mapped, mapped_bytes_);
    throw std::system_error(-code, std::generic_category(), "io_uring_register_buf_ring");
  }
  widen();
  publish();
}

UringBuffers::~UringBuffers() {
  ::munmap(entries_, mapped_bytes_);
}

void UringBuffers::widen() noexcept {
  const uint32_t wanted = std::min(count_, std::max(kFirstBuffers, in_use_ * 2));
  while (in_use_ < wanted) recycle(static_cast<uint16_t>(in_use_++));
}

}  // namespace lastcall
