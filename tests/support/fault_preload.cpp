// Loaded into the process under test by LD_PRELOAD: makes its system calls fail as the plan says, which the
// test may change while the process runs. epoll's calls are libc's, and fail before they reach the kernel. Of
// io_uring, the entries are altered on their way: an entry that is to fail becomes a no-op that completes
// with the error, a multishot that is to be short becomes a single shot. So the kernel, too, sees a request
// that has ended.

#include <dlfcn.h>
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstdlib>

#include "tests/support/fault_plan.hpp"

namespace {

using lastcall::fault::Call;
using lastcall::fault::Plan;
using lastcall::fault::Rule;

Plan* map_plan() noexcept {
  const char* path = std::getenv(lastcall::fault::kPlanVariable);
  int fd = path != nullptr ? ::open(path, O_RDWR | O_CLOEXEC) : -1;
  if (fd < 0) return nullptr;
  void* page = ::mmap(nullptr, sizeof(Plan), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  ::close(fd);
  return page != MAP_FAILED ? static_cast<Plan*>(page) : nullptr;
}

Plan* plan() noexcept {
  static Plan* const page = map_plan();
  return page;
}

bool take_one(std::atomic<uint32_t>& left) noexcept {
  uint32_t now = left.load();
  while (now != 0) {
    if (left.compare_exchange_weak(now, now - 1)) return true;
  }
  return false;
}

/// The rule by which this call is to fail, or nullptr.
Rule* strike(Call call) noexcept {
  if (plan() == nullptr) return nullptr;
  Rule& rule = plan()->rules[static_cast<uint32_t>(call)];
  const uint32_t every = rule.every.load();
  if (every == 0 || (rule.calls.fetch_add(1) + 1) % every != 0 || !take_one(rule.left)) return nullptr;
  rule.fired.fetch_add(1);
  return &rule;
}

/// True when the call is to fail; errno is set.
bool fails(Call call) noexcept {
  const Rule* rule = strike(call);
  if (rule == nullptr) return false;
  errno = rule->error.load();
  return true;
}

/// The same for calls that may also be short; `size` is what is left of them.
bool fails(Call call, size_t& size) noexcept {
  const Rule* rule = strike(call);
  if (rule == nullptr) return false;
  errno = rule->error.load();
  if (errno != 0) return true;
  size = std::min<size_t>(size, rule->at_most.load());
  return false;
}

template <class F>
F* find_real(const char* name) noexcept {
  return reinterpret_cast<F*>(::dlsym(RTLD_NEXT, name));
}

void complete_with(io_uring_sqe& entry, int error) noexcept {
  constexpr uint32_t kInjectResult = 1;  // IORING_NOP_INJECT_RESULT, Linux 6.10
  const uint64_t name = entry.user_data;
  entry = io_uring_sqe{};
  entry.opcode = IORING_OP_NOP;
  entry.user_data = name;
  entry.len = static_cast<uint32_t>(-error);
  entry.rw_flags = static_cast<int>(kInjectResult);
}

void make_short(io_uring_sqe& entry, uint32_t at_most) noexcept {
  switch (entry.opcode) {
    case IORING_OP_ACCEPT: entry.ioprio &= static_cast<uint16_t>(~IORING_ACCEPT_MULTISHOT); break;
    case IORING_OP_RECV:
      entry.ioprio &= static_cast<uint16_t>(~IORING_RECV_MULTISHOT);
      entry.len = at_most;
      break;
    default: entry.msg_flags &= ~static_cast<uint32_t>(MSG_WAITALL); entry.len = std::min(entry.len, at_most);
  }
}

void alter(io_uring_sqe& entry) noexcept {
  const Rule* rule = nullptr;
  switch (entry.opcode) {
    case IORING_OP_ACCEPT: rule = strike(Call::accept); break;
    case IORING_OP_RECV: rule = strike(Call::recv); break;
    case IORING_OP_SEND: rule = strike(Call::send); break;
    default: return;
  }
  if (rule == nullptr) {
    if (plan()->single_shots != 0 && entry.opcode != IORING_OP_SEND) make_short(entry, 0);
    return;
  }
  const int error = rule->error.load();
  error != 0 ? complete_with(entry, error) : make_short(entry, rule->at_most.load());
}

/// Everything that the program has prepared since it submitted last.
void alter_prepared(io_uring& ring) noexcept {
  if (plan() == nullptr) return;
  for (unsigned at = ring.sq.sqe_head; at != ring.sq.sqe_tail; ++at)
    alter(ring.sq.sqes[at & *ring.sq.kring_mask]);
  if ((*ring.sq.kflags & IORING_SQ_CQ_OVERFLOW) != 0) plan()->overflows.fetch_add(1);
}

}  // namespace

#define REAL(name) static auto* const real = find_real<decltype(::name)>(#name)

extern "C" {

int accept4(int fd, sockaddr* address, socklen_t* length, int flags) {
  REAL(accept4);
  return fails(Call::accept) ? -1 : real(fd, address, length, flags);
}

// recvfrom and sendto are called through this; everything else passes.
long syscall(long number, ...) noexcept {
  REAL(syscall);
  va_list list;
  va_start(list, number);
  long arguments[6];
  for (long& argument : arguments) argument = va_arg(list, long);
  va_end(list);
  auto [a, b, c, d, e, f] = arguments;
  auto size = static_cast<size_t>(c);
  if (number == SYS_recvfrom && fails(Call::recv, size)) return -1;
  if (number == SYS_sendto && fails(Call::send, size)) return -1;
  const bool sized = number == SYS_recvfrom || number == SYS_sendto;
  return real(number, a, b, sized ? static_cast<long>(size) : c, d, e, f);
}

ssize_t sendmsg(int fd, const msghdr* message, int flags) {
  REAL(sendmsg);
  return fails(Call::send) ? -1 : real(fd, message, flags);
}

int epoll_wait(int fd, epoll_event* events, int count, int timeout) {
  REAL(epoll_wait);
  return fails(Call::wait) ? -1 : real(fd, events, count, timeout);
}

int epoll_pwait2(int fd, epoll_event* events, int count, const timespec* timeout, const sigset_t* mask) {
  REAL(epoll_pwait2);
  return fails(Call::wait) || fails(Call::precise_wait) ? -1 : real(fd, events, count, timeout, mask);
}

int epoll_ctl(int epoll, int operation, int fd, epoll_event* event) noexcept {
  REAL(epoll_ctl);
  const bool adds = operation == EPOLL_CTL_ADD;  // the others need no memory
  return adds && fails(Call::epoll_add) ? -1 : real(epoll, operation, fd, event);
}

int setsockopt(int fd, int level, int option, const void* value, socklen_t length) noexcept {
  REAL(setsockopt);
  return fails(Call::set_option) ? -1 : real(fd, level, option, value, length);
}

// Of eventfds and signalfds.
ssize_t read(int fd, void* bytes, size_t size) {
  REAL(read);
  const bool counted = size == sizeof(uint64_t) || size == sizeof(signalfd_siginfo);
  return counted && fails(Call::read) ? -1 : real(fd, bytes, size);
}

int ppoll(pollfd* entries, nfds_t count, const timespec* timeout, const sigset_t* mask) {
  REAL(ppoll);
  return fails(Call::ppoll) ? -1 : real(entries, count, timeout, mask);
}

int io_uring_queue_init_params(unsigned entries, io_uring* ring, io_uring_params* params) {
  REAL(io_uring_queue_init_params);
  if (plan() != nullptr && plan()->completions != 0) {
    entries = std::min<unsigned>(entries, plan()->completions / 2);
    params->cq_entries = plan()->completions;
  }
  return real(entries, ring, params);
}

int io_uring_submit(io_uring* ring) {
  REAL(io_uring_submit);
  alter_prepared(*ring);
  return real(ring);
}

int io_uring_submit_and_wait_timeout(io_uring* ring, io_uring_cqe** first, unsigned count,
                                     __kernel_timespec* timeout, sigset_t* mask) {
  REAL(io_uring_submit_and_wait_timeout);
  alter_prepared(*ring);
  return fails(Call::wait) ? -errno : real(ring, first, count, timeout, mask);
}

}  // extern "C"
