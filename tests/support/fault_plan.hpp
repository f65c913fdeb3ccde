#pragma once

#include <atomic>
#include <cstdint>

namespace lastcall::fault {

/// The calls that can be made to fail. Under io_uring the first three are entries of the submission queue,
/// except for accepts at the end of a listener, and `wait` is io_uring_enter(2).
enum class Call : uint32_t {
  accept,
  recv,
  send,
  wait,          // epoll_wait, epoll_pwait2, io_uring_enter
  precise_wait,  // epoll_pwait2 alone
  epoll_add,
  set_option,
  read,  // of eventfds and signalfds
  ppoll,
};
inline constexpr uint32_t kCalls = 9;

/// What happens to one kind of call: each `every`-th fails, `left` times at most. The counters count from
/// when it was armed, so the same calls give the same faults.
struct Rule {
  std::atomic<uint32_t> every;    ///< 0: none
  std::atomic<uint32_t> left;     ///< faults still to come
  std::atomic<int32_t> error;     ///< errno; 0: the call is made short instead
  std::atomic<uint32_t> at_most;  ///< bytes of a short recv or send
  std::atomic<uint32_t> calls;    ///< seen so far
  std::atomic<uint32_t> fired;    ///< of those, how many were made to fail
};

/// A page that the test and the process under test share.
struct Plan {
  Rule rules[kCalls];
  std::atomic<uint32_t> completions;   ///< entries of the completion queue; 0: as the program wants
  std::atomic<uint32_t> single_shots;  ///< not 0: each multishot is a single shot, so that the next may fail
  std::atomic<uint32_t> overflows;     ///< times that the kernel was seen holding completions back
};
static_assert(std::atomic<uint32_t>::is_always_lock_free);

inline constexpr const char* kPlanVariable = "FAULT_PLAN";  ///< names the file that holds the page

}  // namespace lastcall::fault
