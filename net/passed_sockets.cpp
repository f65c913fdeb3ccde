#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <optional>
#include <utility>

#include <lastcall/core/log.hpp>
#include <lastcall/net/passed_sockets.hpp>

namespace lastcall {
namespace {

std::optional<std::string> take_variable(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr) return std::nullopt;
  std::string text = value;
  ::unsetenv(name);
  return text;
}

std::optional<int> number(std::string_view text) noexcept {
  int value = 0;
  auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc() || end != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

std::vector<std::string> split(std::string_view names) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= names.size();) {
    const size_t end = std::min(names.find(':', begin), names.size());
    parts.emplace_back(names.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

bool is_name(std::string_view text) noexcept {
  if (text.empty()) return false;
  const char c = text.front();
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

PassedSockets nothing(const std::string& why) {
  log_event(LogLevel::warning, "passed_sockets_ignored", {{"why", why}});
  return {};
}

}  // namespace

PassedSockets PassedSockets::take() {
  const std::optional<std::string> pid = take_variable("LISTEN_PID");
  const std::optional<std::string> count_text = take_variable("LISTEN_FDS");
  const std::optional<std::string> names = take_variable("LISTEN_FDNAMES");
  if (!count_text || !pid) return {};
  if (number(*pid) != ::getpid()) return {};  // of a parent, which did not remove them
  const std::optional<int> count = number(*count_text);
  if (!count || *count > kMostSockets)
    return nothing("LISTEN_FDS=" + *count_text + " is no number up to " + std::to_string(kMostSockets));
  const std::vector<std::string> called = names ? split(*names) : std::vector<std::string>();
  if (names && called.size() != static_cast<size_t>(*count))
    log_event(LogLevel::warning, "passed_sockets_odd",
              {{"why", "LISTEN_FDNAMES does not have as many names as there are sockets"}});
  PassedSockets taken;
  for (int i = 0; i < *count; ++i) {
    const int fd = kFirst + i;
    if (::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
      log_event(LogLevel::warning, "passed_sockets_odd", {{"why", "there is no descriptor"}, {"fd", fd}});
      continue;
    }
    const auto at = static_cast<size_t>(i);
    taken.passed_.push_back({Fd(fd), at < called.size() ? called[at] : "unknown"});
    taken.names_ += " " + taken.passed_.back().name;
  }
  return taken;
}

Result<std::vector<Address>> PassedSockets::resolve(std::string_view text) {
  constexpr std::string_view kScheme = "fd:";
  const std::string_view name = text.starts_with(kScheme) ? text.substr(kScheme.size()) : "";
  std::vector<Address> found;
  if (!is_name(name)) {
    Result<Address> address = parse_address(text);
    if (!address) return std::unexpected(address.error());
    for (Passed& one : passed_) {  // also asked for, by its number
      if (address->kind == Address::Kind::inherited && one.socket.get() == address->fd)
        static_cast<void>(one.socket.release());
    }
    found.push_back(std::move(*address));
  } else {
    for (Passed& one : passed_) {
      if (one.name != name || !one.socket) continue;
      Address address;
      address.kind = Address::Kind::inherited;
      address.fd = one.socket.release();
      address.text = text;
      found.push_back(std::move(address));
    }
    if (found.empty())
      return error("listen " + std::string(text) + ": no socket of that name was passed" +
                   (names_.empty() ? ", nor any other" : " that is not in use; passed were:" + names_));
  }
  std::erase_if(passed_, [](const Passed& one) { return !one.socket; });
  return found;
}

bool PassedSockets::is_named(std::string_view address) noexcept {
  return address.starts_with("fd:") && is_name(address.substr(3));
}

Fd PassedSockets::take_one(std::string_view name) {
  const auto found = std::ranges::find(passed_, name, &Passed::name);
  if (found == passed_.end()) return {};
  Fd socket = std::move(found->socket);
  passed_.erase(found);
  return socket;
}

std::vector<std::string> PassedSockets::names() const {
  std::vector<std::string> all;
  for (const Passed& one : passed_) all.push_back(one.name);
  return all;
}

void PassedSockets::close_rest() {
  for (const Passed& one : passed_) {
    log_event(LogLevel::warning, "passed_socket_unused", {{"name", one.name}, {"fd", one.socket.get()}});
  }
  passed_.clear();
}

}  // namespace lastcall
