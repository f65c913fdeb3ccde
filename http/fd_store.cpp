#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include <lastcall/core/log.hpp>
#include <lastcall/http/fd_store.hpp>
#include <lastcall/net/listener.hpp>

namespace lastcall {
namespace {

constexpr std::string_view kPrefix = "lastcall=";

bool may_stand(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
         c == '_' || c == '[' || c == ']';
}

}  // namespace

std::string FdStore::name_of(std::string_view address) {
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string name(kPrefix);
  for (const char c : address) {
    const auto byte = static_cast<unsigned char>(c);
    if (may_stand(c)) {
      name += c;
    } else if (c == ':') {
      name += '|';  // colons part names
    } else {
      name += {'%', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return name;
}

Result<std::optional<Address>> FdStore::listen(const Address& address, int backlog) {
  if (address.kind != Address::Kind::inet) return std::nullopt;
  Address kept;
  kept.kind = Address::Kind::inherited;
  kept.text = address.text;
  const std::string name = name_of(address.text);
  if (Fd socket = passed_.take_one(name)) {
    log_event(LogLevel::info, "listener_restored", {{"address", address.text}});
    kept.fd = socket.release();
    return kept;
  }
  Result<ListenerGroup> made =
      ListenerGroup::open(address, 1, backlog, {.tier = GateTier::plain, .cpus = {}});
  if (!made) return std::unexpected(made.error());
  std::vector<Fd> sockets = made->take(0);
  Fd& socket = sockets.front();
  Fd copy(::fcntl(socket.get(), F_DUPFD_CLOEXEC, 0));
  if (!copy) return system_error("listen " + address.text, errno);
  if (name.size() <= kMaxName) {
    new_.push_back({name, std::move(copy)});
  } else {
    log_event(LogLevel::warning, "listener_not_kept",
              {{"address", address.text}, {"why", "its name is too long"}});
  }
  kept.fd = socket.release();
  return kept;
}

void FdStore::keep() {
  for (const New& one : new_) {
    const int fd = one.copy.get();
    notify_.keep(one.name, {&fd, 1});
  }
  new_.clear();
}

void FdStore::forget_rest() {
  std::vector<std::string> names = passed_.names();
  std::ranges::sort(names);
  names.erase(std::ranges::unique(names).begin(), names.end());
  for (const std::string& name : names) {
    if (name.starts_with(kPrefix)) notify_.forget(name);
  }
}

}  // namespace lastcall
