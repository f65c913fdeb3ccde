#include "terminal.hpp"

#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <string_view>

#include <lastcall/core/clock.hpp>

namespace lastcall::tool {
namespace {

// The alternate screen, and no cursor; and back. ECMA-48 and xterm's private modes.
constexpr std::string_view kEnter = "\x1b[?1049h\x1b[?25l";
constexpr std::string_view kLeave = "\x1b[?25h\x1b[?1049l";
constexpr std::string_view kHome = "\x1b[H";
constexpr std::string_view kLineEnd = "\x1b[K";
constexpr std::string_view kScreenEnd = "\x1b[J";

void write_all(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(STDOUT_FILENO, bytes.data(), bytes.size());
    if (written <= 0) return;  // whoever looked is gone
    bytes.remove_prefix(static_cast<size_t>(written));
  }
}

sigset_t own_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  for (int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGWINCH}) ::sigaddset(&set, number);
  return set;
}

}  // namespace

bool Terminal::is_there() {
  return ::isatty(STDOUT_FILENO) == 1;
}

Terminal::Terminal() {
  const sigset_t set = own_signals();
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  signals_ = Fd(::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
  has_input_ = ::tcgetattr(STDIN_FILENO, &before_) == 0;
  enter();
}

Terminal::~Terminal() {
  leave();
  const sigset_t set = own_signals();
  ::pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

void Terminal::enter() {
  if (has_input_) {
    termios keys = before_;
    keys.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    keys.c_cc[VMIN] = 0;
    keys.c_cc[VTIME] = 0;
    ::tcsetattr(STDIN_FILENO, TCSANOW, &keys);
  }
  write_all(kEnter);
}

void Terminal::leave() const {
  write_all(kLeave);
  if (has_input_) ::tcsetattr(STDIN_FILENO, TCSANOW, &before_);
}

Terminal::Size Terminal::size() const {
  winsize window{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) != 0 || window.ws_col == 0 || window.ws_row == 0) return {};
  return {.columns = window.ws_col, .rows = window.ws_row};
}

void Terminal::draw(const std::vector<std::string>& lines) const {
  const size_t count = std::min(lines.size(), size().rows);
  std::string frame(kHome);
  for (size_t i = 0; i < count; ++i) {
    // No line end behind the last row: the screen would scroll.
    frame.append(lines[i]).append(kLineEnd).append(i + 1 < count ? "\r\n" : "");
  }
  write_all(frame.append(kScreenEnd));
}

Terminal::Wish Terminal::wait_until(Instant instant) {
  for (;;) {
    const Duration left = instant - monotonic_now();
    if (left <= Duration::zero()) return Wish::none;
    pollfd ready[] = {{.fd = signals_.get(), .events = POLLIN, .revents = 0},
                      {.fd = has_input_ ? STDIN_FILENO : -1, .events = POLLIN, .revents = 0}};
    const timespec timeout = to_timespec(left);
    if (::ppoll(ready, 2, &timeout, nullptr) <= 0) continue;
    const Wish wish = ready[0].revents != 0 ? take_signal() : take_keys();
    if (wish != Wish::none) return wish;
  }
}

Terminal::Wish Terminal::take_signal() {
  signalfd_siginfo info{};
  if (::read(signals_.get(), &info, sizeof info) != sizeof info) return Wish::none;
  if (info.ssi_signo == SIGWINCH) return Wish::redraw;
  if (info.ssi_signo != SIGTSTP) return Wish::quit;
  leave();
  ::raise(SIGSTOP);  // goes on here, in the foreground again
  enter();
  return Wish::redraw;
}

Terminal::Wish Terminal::take_keys() {
  char keys[64];
  const ssize_t count = ::read(STDIN_FILENO, keys, sizeof keys);
  if (count <= 0) return Wish::quit;  // the terminal is gone
  const std::string_view pressed(keys, static_cast<size_t>(count));
  return pressed.find_first_of("qQ\x03") != std::string_view::npos ? Wish::quit : Wish::redraw;
}

}  // namespace lastcall::tool
