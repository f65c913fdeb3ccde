// Loaded into the server under valgrind. Valgrind 3.19 takes io_uring_enter for a call that does not sleep,
// so a reactor that waits in it keeps every other thread from running. Here it sleeps in poll(2) on the ring
// instead, which valgrind knows, and enters for what is there.
#include <dlfcn.h>
#include <liburing.h>
#include <poll.h>

#include <cstdint>
#include <cstring>

namespace {

using SubmitAndWait = int(io_uring*, io_uring_cqe**, unsigned, __kernel_timespec*, sigset_t*);

SubmitAndWait* original() {
  void* const found = dlsym(RTLD_NEXT, "io_uring_submit_and_wait_timeout");
  SubmitAndWait* function = nullptr;
  std::memcpy(&function, &found, sizeof function);
  return function;
}

}  // namespace

extern "C" int io_uring_submit_and_wait_timeout(io_uring* ring, io_uring_cqe** entry, unsigned count,
                                                __kernel_timespec* limit, sigset_t* mask) {
  static SubmitAndWait* const enter = original();
  __kernel_timespec at_once{};
  const int entered = enter(ring, entry, count, &at_once, mask);
  if (entered != -ETIME) return entered;
  const timespec sleep{.tv_sec = limit != nullptr ? limit->tv_sec : 0,
                       .tv_nsec = limit != nullptr ? static_cast<long>(limit->tv_nsec) : 0};
  pollfd ready{.fd = ring->ring_fd, .events = POLLIN, .revents = 0};
  if (ppoll(&ready, 1, limit != nullptr ? &sleep : nullptr, nullptr) < 0) return -EINTR;
  return enter(ring, entry, count, &at_once, mask);
}
