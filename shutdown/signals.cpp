#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>

#include <lastcall/shutdown/signals.hpp>

namespace lastcall {
namespace {

sigset_t handled_signals() noexcept {
  sigset_t set;
  ::sigemptyset(&set);
  for (int number : {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2}) ::sigaddset(&set, number);
  return set;
}

}  // namespace

Signals::Signals() {
  sigset_t handled = handled_signals();
  fd_.reset(::signalfd(-1, &handled, SFD_NONBLOCK | SFD_CLOEXEC));
  if (!fd_) throw std::system_error(errno, std::generic_category(), "signalfd");
  ::pthread_sigmask(SIG_BLOCK, &handled, &former_);
  ::signal(SIGPIPE, SIG_IGN);
}

Signals::~Signals() {
  ::pthread_sigmask(SIG_SETMASK, &former_, nullptr);
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
