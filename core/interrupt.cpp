#include <semaphore.h>
#include <signal.h>

#include <atomic>
#include <cerrno>
#include <mutex>

#include <lastcall/core/clock.hpp>
#include <lastcall/core/interrupt.hpp>

namespace lastcall {
namespace {

constexpr int kSignal = SIGURG;  // ignored unless somebody handles it, and nobody stops for it

enum class State { none, asked, running, done };

// Written by the caller while the state is `none`, read by the handler while it is `asked`. The state carries
// the order of all memory; the semaphore only wakes.
struct {
  std::atomic<pthread_t> thread;
  void (*function)(void*) noexcept;
  void* argument;
  sem_t done;
} request;
std::atomic<State> state{State::none};

void on_signal(int /*number*/) {
  if (state.load(std::memory_order_acquire) != State::asked) return;
  if (::pthread_equal(request.thread.load(std::memory_order_relaxed), ::pthread_self()) == 0)
    return;  // a signal of somebody else's
  State asked = State::asked;
  if (!state.compare_exchange_strong(asked, State::running)) return;
  const int kept = errno;
  request.function(request.argument);
  state.store(State::done, std::memory_order_release);
  ::sem_post(&request.done);
  errno = kept;
}

/// Waits for the handler; false when it has not begun in time, and will not.
bool await_done(Instant limit) {
  const timespec until = to_timespec(limit.time_since_epoch());
  while (::sem_clockwait(&request.done, CLOCK_MONOTONIC, &until) != 0) {
    if (errno == EINTR) continue;
    State asked = State::asked;
    if (state.compare_exchange_strong(asked, State::none)) return false;
    while (::sem_wait(&request.done) != 0) {  // it is at it
    }
    break;
  }
  return state.load(std::memory_order_acquire) == State::done;
}

}  // namespace

void let_interrupt() noexcept {
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, kSignal);
  ::pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
}

bool interrupt_thread(pthread_t thread, void (*function)(void*) noexcept, void* argument, Duration patience) {
  static std::mutex one_at_a_time;
  std::lock_guard lock(one_at_a_time);
  struct sigaction ours {};
  struct sigaction former {};
  ours.sa_handler = on_signal;
  ours.sa_flags = SA_RESTART;
  ::sigfillset(&ours.sa_mask);
  request.thread.store(thread, std::memory_order_relaxed);
  request.function = function;
  request.argument = argument;
  if (::sem_init(&request.done, 0, 0) != 0 || ::sigaction(kSignal, &ours, &former) != 0) return false;
  state.store(State::asked, std::memory_order_release);
  const bool done = ::pthread_kill(thread, kSignal) == 0 && await_done(monotonic_now() + patience);
  state.store(State::none, std::memory_order_release);
  ::sigaction(kSignal, &former, nullptr);
  return done;
}

}  // namespace lastcall
