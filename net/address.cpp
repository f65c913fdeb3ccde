#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <charconv>
#include <cstddef>
#include <cstring>
#include <memory>
#include <optional>

#include <lastcall/net/address.hpp>
#include <lastcall/net/socket.hpp>

namespace lastcall {
namespace {

std::unexpected<Error> bad_address(std::string_view text, std::string_view what) {
  return error("listen address '" + std::string(text) + "': " + std::string(what));
}

std::optional<int> parse_number(std::string_view digits, int max) {
  int value = 0;
  auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (failed != std::errc() || end != digits.data() + digits.size() || digits[0] == '-' || value > max)
    return std::nullopt;
  return value;
}

Result<Address> parse_unix(std::string_view text, std::string_view path) {
  Address address;
  address.kind = Address::Kind::unix_path;
  address.text = text;
  auto& local = *reinterpret_cast<sockaddr_un*>(&address.storage);
  if (path.empty()) return bad_address(text, "the path is empty");
  if (path.find('\0') != std::string_view::npos) return bad_address(text, "the path contains a zero byte");
  if (path.size() >= sizeof local.sun_path)
    return bad_address(text,
                       "the path is longer than " + std::to_string(sizeof local.sun_path - 1) + " bytes");
  local.sun_family = AF_UNIX;
  std::memcpy(local.sun_path, path.data(), path.size());
  address.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
  return address;
}

Result<Address> parse_inherited(std::string_view text, std::string_view number) {
  auto fd = parse_number(number, 1 << 30);
  if (!fd) return bad_address(text, "fd: needs the number of a descriptor");
  Address address;
  address.kind = Address::Kind::inherited;
  address.fd = *fd;
  address.text = text;
  return address;
}

struct HostPort {
  std::string host;
  std::string_view port;
  bool bracketed = false;
};

Result<HostPort> split_host_port(std::string_view text) {
  size_t colon = text.rfind(':');
  std::string_view host = text.substr(0, colon);
  if (text.starts_with('[')) {
    size_t close = text.find(']');
    if (close == std::string_view::npos) return bad_address(text, "'[' without ']'");
    if (close + 1 != colon) return bad_address(text, "needs ':PORT' after ']'");
    host = text.substr(1, close - 1);
    if (host.empty()) return bad_address(text, "nothing between the brackets");
  } else if (colon == std::string_view::npos) {
    return bad_address(text, "must be HOST:PORT, [::1]:PORT, :PORT, unix:PATH or fd:N");
  } else if (host.find(':') != std::string_view::npos) {
    return bad_address(text, "an IPv6 address needs brackets: [::1]:PORT");
  }
  return HostPort{std::string(host), text.substr(colon + 1), text.starts_with('[')};
}

Result<void> resolve(Address& address, const HostPort& target) {
  addrinfo hints{};
  hints.ai_family = target.bracketed ? AF_INET6 : AF_UNSPEC;
  hints.ai_flags = target.bracketed ? AI_NUMERICHOST : 0;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  int failed = ::getaddrinfo(target.host.c_str(), nullptr, &hints, &found);
  std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, &::freeaddrinfo);
  if (failed && target.bracketed) return bad_address(address.text, "no IPv6 address between the brackets");
  if (failed)
    return bad_address(address.text, "cannot resolve '" + target.host + "': " + ::gai_strerror(failed));
  std::memcpy(&address.storage, found->ai_addr, found->ai_addrlen);
  address.length = found->ai_addrlen;
  return {};
}

void set_port(sockaddr_storage& storage, int port) {
  in_port_t value = htons(static_cast<uint16_t>(port));
  if (storage.ss_family == AF_INET6)
    reinterpret_cast<sockaddr_in6*>(&storage)->sin6_port = value;
  else
    reinterpret_cast<sockaddr_in*>(&storage)->sin_port = value;
}

Result<Address> parse_inet(std::string_view text) {
  auto target = split_host_port(text);
  if (!target) return std::unexpected(std::move(target.error()));
  auto port = parse_number(target->port, 65535);
  if (!port) return bad_address(text, "port must be 0 to 65535");

  Address address;
  address.text = text;
  if (target->host.empty()) {
    address.dual_stack = true;
    reinterpret_cast<sockaddr_in6*>(&address.storage)->sin6_family =
        AF_INET6;  // zero bytes are the any address
    address.length = sizeof(sockaddr_in6);
  } else if (auto resolved = resolve(address, *target); !resolved) {
    return std::unexpected(std::move(resolved.error()));
  }
  set_port(address.storage, *port);
  return address;
}

std::string format_inet(const sockaddr_in& address) {
  char host[INET_ADDRSTRLEN] = "";
  ::inet_ntop(AF_INET, &address.sin_addr, host, sizeof host);
  return std::string(host) + ':' + std::to_string(ntohs(address.sin_port));
}

std::string format_inet6(const sockaddr_in6& address) {
  if (IN6_IS_ADDR_V4MAPPED(&address.sin6_addr)) {  // an IPv4 peer of a dual-stack listener
    sockaddr_in plain{};
    plain.sin_port = address.sin6_port;
    std::memcpy(&plain.sin_addr, &address.sin6_addr.s6_addr[12], sizeof plain.sin_addr);
    return format_inet(plain);
  }
  char host[INET6_ADDRSTRLEN] = "";
  ::inet_ntop(AF_INET6, &address.sin6_addr, host, sizeof host);
  std::string scope = address.sin6_scope_id ? '%' + std::to_string(address.sin6_scope_id) : "";
  return '[' + std::string(host) + scope + "]:" + std::to_string(ntohs(address.sin6_port));
}

std::string format_unix(const sockaddr_un& address, size_t length) {
  size_t size = length > offsetof(sockaddr_un, sun_path) ? length - offsetof(sockaddr_un, sun_path) : 0;
  std::string_view path(address.sun_path, std::min(size, sizeof address.sun_path));
  if (path.empty()) return "unix:";
  if (path[0] == '\0') return "unix:@" + std::string(path.substr(1));  // unix(7): abstract
  return "unix:" + std::string(path.substr(0, path.find('\0')));
}

}  // namespace

uint16_t Address::port() const noexcept {
  return SocketAddress{storage, length}.port();
}

Result<Address> parse_address(std::string_view text) {
  if (text.starts_with("unix:")) return parse_unix(text, text.substr(5));
  if (text.starts_with("fd:")) return parse_inherited(text, text.substr(3));
  return parse_inet(text);
}

std::string format_address(const sockaddr* address, socklen_t length) {
  switch (length < sizeof(sa_family_t) ? AF_UNSPEC : address->sa_family) {
    case AF_INET: return format_inet(*reinterpret_cast<const sockaddr_in*>(address));
    case AF_INET6: return format_inet6(*reinterpret_cast<const sockaddr_in6*>(address));
    case AF_UNIX: return format_unix(*reinterpret_cast<const sockaddr_un*>(address), length);
    default: return "?";
  }
}

std::string peer_address(int fd) {
  SocketAddress peer;
  peer.length = sizeof peer.storage;
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&peer.storage), &peer.length) != 0) return "?";
  return format_address(peer.get(), peer.length);
}

}  // namespace lastcall
