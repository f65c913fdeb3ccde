#pragma once

#include <atomic>
#include <cstdint>

#include <lastcall/shutdown/control.hpp>

namespace lastcall {

/// Background tasks and shutdown hooks, counted by whoever runs them, from any thread: begin() before one
/// starts, end() when it has ended. A stop waits for them as it does for connections.
struct TaskCounters {
  enum class Ending : uint8_t { completed, failed, abandoned };  ///< abandoned: the deadline cut it short

  std::atomic<uint64_t> running{0};
  std::atomic<uint64_t> completed{0};
  std::atomic<uint64_t> failed{0};
  std::atomic<uint64_t> abandoned{0};

  void begin() noexcept { running.fetch_add(1, std::memory_order_relaxed); }
  void end(Ending ending, StopControl& control) noexcept {
    std::atomic<uint64_t>& counter = ending == Ending::completed ? completed
                                     : ending == Ending::failed  ? failed
                                                                 : abandoned;
    counter.fetch_add(1, std::memory_order_relaxed);
    end_uncounted(control);
  }
  /// It has not started after all.
  void end_uncounted(StopControl& control) noexcept {
    // What it counted as is seen by whoever sees that it runs no more.
    if (running.fetch_sub(1, std::memory_order_release) == 1) control.wake_runner();
  }
};

}  // namespace lastcall
