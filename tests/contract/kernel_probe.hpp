#pragma once

#include <gtest/gtest.h>
#include <liburing.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <lastcall/core/fd.hpp>

#include "tests/support/real_peer.hpp"

// Bare means to ask the kernel a question, for the tests of kernel facts.

namespace lastcall::contract {

struct Completion {
  uint64_t user_data;
  int32_t result;
  uint32_t flags;
  [[nodiscard]] bool more() const { return (flags & IORING_CQE_F_MORE) != 0; }
};

/// A bare ring; its calls fail the test where they cannot fail.
class Ring {
 public:
  explicit Ring(unsigned flags = 0) { EXPECT_EQ(io_uring_queue_init(16, &ring_, flags), 0); }
  ~Ring() { io_uring_queue_exit(&ring_); }
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;

  io_uring* get() { return &ring_; }
  void submit(io_uring_sqe* sqe, uint64_t user_data) {
    sqe->user_data = user_data;
    EXPECT_EQ(io_uring_submit(&ring_), 1);
  }
  /// The next completion; none after ten seconds, which fails the test that wanted one.
  std::optional<Completion> next() { return next({.tv_sec = 10, .tv_nsec = 0}); }
  /// True when nothing completes for a while.
  bool silent() { return !next({.tv_sec = 0, .tv_nsec = 100'000'000}); }

 private:
  std::optional<Completion> next(__kernel_timespec timeout) {
    io_uring_cqe* cqe = nullptr;
    if (io_uring_wait_cqe_timeout(&ring_, &cqe, &timeout) != 0) return std::nullopt;
    Completion completion{cqe->user_data, cqe->res, cqe->flags};
    io_uring_cqe_seen(&ring_, cqe);
    return completion;
  }

  io_uring ring_{};
};

/// IORING_TIMEOUT_MULTISHOT; liburing 2.3 does not have the name yet.
inline constexpr unsigned kTimeoutMultishot = 1U << 6;
inline constexpr __kernel_timespec kMillisecond{.tv_sec = 0, .tv_nsec = 1'000'000};

/// Starts one that completes every millisecond; its first completion.
inline std::optional<Completion> start_ticks(Ring& ring) {
  io_uring_sqe* sqe = io_uring_get_sqe(ring.get());
  io_uring_prep_timeout(sqe, const_cast<__kernel_timespec*>(&kMillisecond), 0, kTimeoutMultishot);
  ring.submit(sqe, 1);
  return ring.next();
}
inline constexpr const char* kNoTicks =
    "this kernel has no timeouts that repeat (Linux 6.4 has), and so no gathering";

/// A ring of provided buffers, group 0, empty at first.
class BufferRing {
 public:
  static constexpr unsigned kEntries = 8;
  static constexpr unsigned kBytes = 256;

  explicit BufferRing(Ring& ring) : ring_(ring) {
    memory_.reset(static_cast<io_uring_buf_ring*>(std::aligned_alloc(4096, 4096)));
    io_uring_buf_ring_init(memory_.get());
    io_uring_buf_reg registration{};
    registration.ring_addr = reinterpret_cast<uint64_t>(memory_.get());
    registration.ring_entries = kEntries;
    EXPECT_EQ(io_uring_register_buf_ring(ring_.get(), &registration, 0), 0);
  }
  ~BufferRing() { io_uring_unregister_buf_ring(ring_.get(), 0); }
  BufferRing(const BufferRing&) = delete;
  BufferRing& operator=(const BufferRing&) = delete;

  void fill() {
    for (unsigned i = 0; i < kEntries; ++i) {
      io_uring_buf_ring_add(memory_.get(), bytes_[i].data(), kBytes, static_cast<uint16_t>(i),
                            io_uring_buf_ring_mask(kEntries), static_cast<int>(i));
    }
    io_uring_buf_ring_advance(memory_.get(), kEntries);
  }
  std::string text(const Completion& completion) {
    size_t index = completion.flags >> IORING_CQE_BUFFER_SHIFT;
    return {bytes_[index].data(), static_cast<size_t>(completion.result)};
  }

 private:
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  Ring& ring_;
  std::unique_ptr<io_uring_buf_ring, Free> memory_;
  std::array<std::array<char, kBytes>, kEntries> bytes_{};
};

struct Connection {
  Fd server;
  RealPeer peer;
};

inline Connection make_connection() {
  Fd listener = listen_tcp();
  RealPeer peer = connect_to(listener.get());
  return {Fd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC)), std::move(peer)};
}

/// Waits until the socket has something to say: bytes, end of stream, an error.
inline void await_readable(int fd) {
  pollfd poll{.fd = fd, .events = POLLIN, .revents = 0};
  EXPECT_EQ(::poll(&poll, 1, 10'000), 1);
}

}  // namespace lastcall::contract
