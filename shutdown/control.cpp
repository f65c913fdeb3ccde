#include <sys/eventfd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include <lastcall/core/interrupt.hpp>
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
      wake_(make_eventfd()),
      called_(reactors) {}

void StopControl::enter(Phase phase, const StopOptions& options, std::string why) {
  {
    std::lock_guard lock(mutex_);
    why_ = std::move(why);
  }
  idle_grace_.store(options.idle_grace.count(), std::memory_order_relaxed);
  announce_.store(options.announce.count(), std::memory_order_relaxed);
  phase_.store(phase, std::memory_order_release);
  signal(broadcast_);
  std::stop_source entered;
  {
    std::lock_guard lock(mutex_);
    std::swap(entered, next_phase_);
  }
  entered.request_stop();
}

std::stop_token StopControl::next_phase() const {
  std::lock_guard lock(mutex_);
  return next_phase_.get_token();
}

void StopControl::release_listeners() noexcept {
  held_.store(false, std::memory_order_release);
  signal(broadcast_);
}

void StopControl::hand_over(ConnectionTaker& taker, uint64_t listeners) noexcept {
  handed_over_.store(listeners, std::memory_order_release);
  successor_.store(&taker, std::memory_order_release);
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
  if (listed_ == kMostListed) {
    ++unlisted_;
    return;
  }
  ++listed_;
  aborted_.push_back(std::move(exchange));
}

void StopControl::report_unlisted(uint64_t requests) {
  std::lock_guard lock(mutex_);
  unlisted_ += requests;
}

uint64_t StopControl::unlisted() const {
  std::lock_guard lock(mutex_);
  return unlisted_;
}

void StopControl::be_called_by(uint32_t reactor, void (*tell)(RollCall&) noexcept) {
  std::lock_guard lock(mutex_);
  called_[reactor] = {::pthread_self(), tell};
}

bool StopControl::call_roll(uint32_t reactor, RollCall& call, Duration patience) {
  struct Question {
    Called called;
    RollCall& call;
  };
  Question question{{}, call};
  {
    std::lock_guard lock(mutex_);
    question.called = called_[reactor];
  }
  if (question.called.tell == nullptr) return false;
  const auto ask = [](void* asked) noexcept {
    auto& [called, roll] = *static_cast<Question*>(asked);
    called.tell(roll);
  };
  return interrupt_thread(question.called.thread, ask, &question, patience) && call.told();
}

void StopControl::wake_runner() noexcept {
  signal(wake_);
}

void AbortedReport::add(const UnansweredRequest& request) {
  control_.report_aborted({.peer = request.client.empty() ? peer_ : std::string(request.client),
                           .method = std::string(request.method),
                           .target = std::string(request.target),
                           .state = request.state,
                           .age_ms = request.age_ms,
                           .bytes_sent = bytes_sent_,
                           .why = why_});
}

}  // namespace lastcall
