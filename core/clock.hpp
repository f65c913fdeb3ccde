#pragma once

#include <ctime>

#include <lastcall/core/time.hpp>

namespace lastcall {

/// CLOCK_MONOTONIC, the time line of epoll_wait, io_uring and ppoll. For backends and the runner only.
[[nodiscard]] inline Instant monotonic_now() noexcept {
  timespec ts{};
  ::clock_gettime(CLOCK_MONOTONIC, &ts);
  return Instant(std::chrono::seconds(ts.tv_sec) + std::chrono::nanoseconds(ts.tv_nsec));
}

/// CLOCK_REALTIME since 1970-01-01 UTC. For backends and the log only.
[[nodiscard]] inline Duration wall_now() noexcept {
  timespec ts{};
  ::clock_gettime(CLOCK_REALTIME, &ts);
  return std::chrono::seconds(ts.tv_sec) + std::chrono::nanoseconds(ts.tv_nsec);
}

/// CPU time of the calling thread; a system call. For backends only.
[[nodiscard]] inline Duration thread_cpu_now() noexcept {
  timespec ts{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
  return std::chrono::seconds(ts.tv_sec) + std::chrono::nanoseconds(ts.tv_nsec);
}

[[nodiscard]] inline timespec to_timespec(Duration duration) noexcept {
  if (duration < Duration::zero()) duration = Duration::zero();
  auto seconds = std::chrono::duration_cast<std::chrono::seconds>(duration);
  return {.tv_sec = seconds.count(), .tv_nsec = (duration - seconds).count()};
}

}  // namespace lastcall
