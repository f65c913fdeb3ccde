#include <sys/eventfd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include <lastcall/shutdown/control.hpp>

namespace lastcall {
namespace {

Fd make_eventfd() {
  Fd fd(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!fd) throw std::system_error(errno, std::generic_category(), "eventfd");
  return fd;
}

void signal(const Fd& fd) noexcept {
  uint64_t one = 1;
  // Fails only when the counter is about to overflow, and then the fd is readable anyway.
  [[maybe_unused]] ssize_t written = ::write(fd.get(), &one, sizeof one);
}

}  // namespace

StopControl::StopControl(uint32_t reactors)
    : reactors_(reactors),
      counters_(std::make_unique<ReactorCounters[]>(reactors)),
      acks_(std::make_unique<Ack[]>(reactors)),
      broadcast_(make_eventfd()),
      wake_(make_eventfd()) {}

void StopControl::enter(Phase phase, const StopOptions& options, std::string why) {
  {
    std::lock_guard lock(mutex_);
    why_ = std::move(why);
  }
  idle_grace_.store(options.idle_grace.count(), std::memory_order_relaxed);
  announce_.store(options.announce.count(), std::memory_order_relaxed);
  phase_.store(phase, std::memory_order_release);
  signal(broadcast_);
}

void StopControl::release_listeners() noexcept {
  held_.store(false, std::memory_order_release);
  signal(broadcast_);
}

void StopControl::clear_wake() noexcept {
  uint64_t count = 0;
  [[maybe_unused]] ssize_t taken = ::read(wake_.get(), &count, sizeof count);
}

std::vector<AbortedExchange> StopControl::take_aborted() {
  std::lock_guard lock(mutex_);
  return std::exchange(aborted_, {});
}

std::string StopControl::why() const {
  std::lock_guard lock(mutex_);
  return why_;
}

void StopControl::acknowledge(uint32_t reactor, Phase phase) noexcept {
  acks_[reactor].phase.store(phase, std::memory_order_release);
  signal(wake_);
}

void StopControl::report_aborted(AbortedExchange exchange) {
  std::lock_guard lock(mutex_);
  aborted_.push_back(std::move(exchange));
}

void StopControl::wake_runner() noexcept {
  signal(wake_);
}

}  // namespace lastcall
