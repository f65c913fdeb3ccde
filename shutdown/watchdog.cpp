#include <unistd.h>

#include <chrono>
#include <utility>

#include <lastcall/core/clock.hpp>
#include <lastcall/shutdown/watchdog.hpp>

namespace lastcall {
namespace {

// Whoever wakes up so late was not alone in it: the process was held (SIGSTOP, a freezer, a paused machine).
constexpr Duration kHalted = 50ms;
constexpr Duration kExtension = 200ms;  // for the others to leave in order, and to write the report

}  // namespace

Watchdog::~Watchdog() {
  {
    std::lock_guard lock(mutex_);
    over_ = true;
  }
  changed_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void Watchdog::arm(Instant instant) {
  {
    std::lock_guard lock(mutex_);
    instant_ = instant;
  }
  changed_.notify_one();
  if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
}

void Watchdog::exit_with(int code) {
  std::lock_guard lock(mutex_);
  exit_code_ = code;
}

void Watchdog::run() {
  std::unique_lock lock(mutex_);
  for (bool extended = false; !over_;) {
    const Instant now = monotonic_now();
    if (now >= instant_ && now - instant_ >= kHalted && !std::exchange(extended, true)) {
      instant_ = now + kExtension;
    }
    if (now >= instant_) ::_exit(exit_code_);
    // libstdc++'s steady_clock is CLOCK_MONOTONIC.
    changed_.wait_until(lock, std::chrono::steady_clock::time_point(instant_.time_since_epoch()));
  }
}

}  // namespace lastcall
