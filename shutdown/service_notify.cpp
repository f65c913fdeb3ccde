#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <system_error>
#include <utility>

#include <lastcall/core/log.hpp>
#include <lastcall/shutdown/service_notify.hpp>

namespace lastcall {
namespace {

constexpr size_t kMostDescriptors = 253;  // of one message: SCM_MAX_FD

std::string take_variable(const char* name) {
  const char* value = std::getenv(name);
  std::string text = value == nullptr ? "" : value;
  ::unsetenv(name);
  return text;
}

/// 0 for what is no number.
uint64_t number(const std::string& text) noexcept {
  uint64_t value = 0;
  auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  return code == std::errc() && end == text.data() + text.size() ? value : 0;
}

uint64_t microseconds(Duration duration) noexcept {
  return static_cast<uint64_t>(std::max<int64_t>(duration / 1us, 0));
}

std::string status_line(std::string_view status) {
  std::string line = "STATUS=" + std::string(status);
  std::ranges::replace(line, '\n', ' ');  // or what follows would be an assignment of its own
  return line + "\n";
}

std::string extension_line(Duration extension) {
  return "EXTEND_TIMEOUT_USEC=" + std::to_string(microseconds(extension)) + "\n";
}

}  // namespace

ServiceEnvironment ServiceEnvironment::take() {
  ServiceEnvironment taken;
  taken.socket = take_variable("NOTIFY_SOCKET");
  taken.watchdog_text = take_variable("WATCHDOG_USEC");
  const std::string pid = take_variable("WATCHDOG_PID");
  constexpr uint64_t kLongest = uint64_t{365} * 86400 * 1'000'000;
  const uint64_t usec = std::min(number(taken.watchdog_text), kLongest);
  const bool ours = pid.empty() || number(pid) == static_cast<uint64_t>(::getpid());
  if (ours) taken.watchdog = usec * 1us;
  return taken;
}

ServiceNotify::ServiceNotify(ServiceEnvironment environment) : environment_(std::move(environment)) {
  const std::string& path = environment_.socket;
  if (path.empty()) return;
  if ((path.front() != '/' && path.front() != '@') || path.size() < 2) {
    complain(EAFNOSUPPORT);
  } else if (path.size() >= sizeof(sockaddr_un::sun_path)) {
    complain(ENAMETOOLONG);
  } else {
    socket_.reset(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket_) complain(errno);
  }
}

void ServiceNotify::ready(std::string_view status) {
  const std::lock_guard lock(mutex_);
  if (stopping_) return;
  send("READY=1\n" + status_line(status) + "MAINPID=" + std::to_string(::getpid()) + "\n");
}

void ServiceNotify::reloading(Instant now) {
  const std::lock_guard lock(mutex_);
  if (stopping_) return;
  send("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(microseconds(now.time_since_epoch())) + "\n" +
       status_line("reading the configuration again"));
}

void ServiceNotify::stopping(std::string_view status, Duration extension) {
  const std::lock_guard lock(mutex_);
  if (std::exchange(stopping_, true)) return;
  send("STOPPING=1\n" + status_line(status) + extension_line(extension));
}

void ServiceNotify::progress(std::string_view status, Duration extension) {
  const std::lock_guard lock(mutex_);
  send(status_line(status) + extension_line(extension));
}

void ServiceNotify::alive() {
  const std::lock_guard lock(mutex_);
  send("WATCHDOG=1\n");
}

void ServiceNotify::hand_over(pid_t successor) {
  const std::lock_guard lock(mutex_);
  send("MAINPID=" + std::to_string(successor) + "\n");
  handed_over_ = true;
}

void ServiceNotify::keep(std::string_view name, std::span<const int> descriptors) {
  const std::lock_guard lock(mutex_);
  send("FDSTORE=1\nFDNAME=" + std::string(name) + "\nFDPOLL=0\n", descriptors);
}

void ServiceNotify::forget(std::string_view name) {
  const std::lock_guard lock(mutex_);
  send("FDSTOREREMOVE=1\nFDNAME=" + std::string(name) + "\n");
}

std::vector<std::string> ServiceNotify::environment() const {
  std::vector<std::string> variables;
  if (!environment_.socket.empty()) variables.push_back("NOTIFY_SOCKET=" + environment_.socket);
  if (environment_.watchdog > 0s) variables.push_back("WATCHDOG_USEC=" + environment_.watchdog_text);
  return variables;
}

/// Under the mutex.
void ServiceNotify::send(const std::string& message, std::span<const int> descriptors) {
  if (!socket_ || handed_over_) return;
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  const std::string& path = environment_.socket;
  std::memcpy(to.sun_path, path.data(), path.size());
  if (path.front() == '@') to.sun_path[0] = '\0';
  // An abstract name ends with its length; a path with a zero byte.
  const size_t length = offsetof(sockaddr_un, sun_path) + path.size() + (path.front() == '@' ? 0 : 1);
  iovec text{.iov_base = const_cast<char*>(message.data()), .iov_len = message.size()};
  msghdr header{};
  header.msg_name = &to;
  header.msg_namelen = static_cast<socklen_t>(length);
  header.msg_iov = &text;
  header.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(kMostDescriptors * sizeof(int))];
  if (!descriptors.empty()) {
    if (descriptors.size() > kMostDescriptors) return complain(ETOOMANYREFS);
    std::memset(control, 0, sizeof control);
    header.msg_control = control;
    header.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(descriptors.size_bytes());
    std::memcpy(CMSG_DATA(rights), descriptors.data(), descriptors.size_bytes());
  }
  ssize_t sent;
  do sent = ::sendmsg(socket_.get(), &header, MSG_DONTWAIT | MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  if (sent < 0) complain(errno);
}

void ServiceNotify::complain(int code) {
  if (std::exchange(complained_, true)) return;
  log_event(LogLevel::warning, "notify_failed",
            {{"socket", environment_.socket}, {"error", std::generic_category().message(code)}});
}

}  // namespace lastcall
