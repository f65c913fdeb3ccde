#include <sys/signalfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <system_error>

#include <lastcall/shutdown/signals.hpp>

namespace lastcall {
namespace {

std::atomic<pthread_t> receiver{};
std::atomic<int> leave_with{2};

void leave(int /*number*/) {
  ::_exit(leave_with.load(std::memory_order_relaxed));
}

/// On a thread that does not block the signals. Only what is safe in a signal handler.
void pass_on(int number) {
  const int kept = errno;
  ::pthread_kill(receiver.load(std::memory_order_relaxed), number);
  errno = kept;
}

}  // namespace

Signals::Signals(std::span<const int> handled)
    : handled_(handled.begin(), handled.end()), former_actions_(handled_.size()) {
  sigset_t set;
  ::sigemptyset(&set);
  for (int number : handled_) ::sigaddset(&set, number);
  fd_.reset(::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
  if (!fd_) throw std::system_error(errno, std::generic_category(), "signalfd");
  ::pthread_sigmask(SIG_BLOCK, &set, &former_);
  receiver.store(::pthread_self(), std::memory_order_relaxed);
  struct sigaction passing {};
  passing.sa_handler = pass_on;
  passing.sa_flags = SA_RESTART;
  passing.sa_mask = set;
  for (size_t i = 0; i < handled_.size(); ++i) {
    ::sigaction(handled_[i], nullptr, &former_actions_[i]);
    if (former_actions_[i].sa_handler != SIG_IGN) ::sigaction(handled_[i], &passing, nullptr);
  }
  ::signal(SIGPIPE, SIG_IGN);
}

Signals::~Signals() {
  for (size_t i = 0; i < handled_.size(); ++i) ::sigaction(handled_[i], &former_actions_[i], nullptr);
  ::pthread_sigmask(SIG_SETMASK, &former_, nullptr);
}

void Signals::leave_on_next(int exit_code) noexcept {
  while (next()) {
  }
  leave_with.store(exit_code, std::memory_order_relaxed);
  struct sigaction leaving {};
  leaving.sa_handler = leave;
  sigset_t stopping;
  ::sigemptyset(&stopping);
  for (int number : handled_) {
    if (number != SIGTERM && number != SIGINT && number != SIGQUIT) continue;
    struct sigaction now {};
    ::sigaction(number, nullptr, &now);
    if (now.sa_handler != SIG_IGN) ::sigaction(number, &leaving, nullptr);
    ::sigaddset(&stopping, number);
  }
  ::pthread_sigmask(SIG_UNBLOCK, &stopping, nullptr);
}

std::optional<int> Signals::next() noexcept {
  signalfd_siginfo info;
  ssize_t got;
  do got = ::read(fd_.get(), &info, sizeof info);
  while (got < 0 && errno == EINTR);
  if (got != sizeof info) return std::nullopt;
  return static_cast<int>(info.ssi_signo);
}

std::string signal_name(int number) {
  const char* abbreviation = ::sigabbrev_np(number);  // glibc 2.32
  return abbreviation ? std::string("SIG") + abbreviation : "signal " + std::to_string(number);
}

}  // namespace lastcall
