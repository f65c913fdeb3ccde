#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include <lastcall/net/peer_address.hpp>

namespace lastcall {
namespace {

constexpr std::array<uint8_t, 12> kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};  // RFC 4291 2.5.5.2

void set_ip(PeerAddress& peer, const in6_addr& ip) noexcept {
  std::memcpy(peer.bytes.data(), &ip, peer.bytes.size());
  const bool mapped = std::equal(kMapped.begin(), kMapped.end(), peer.bytes.begin());
  peer.kind = mapped ? PeerAddress::Kind::ipv4 : PeerAddress::Kind::ipv6;
}

void set_ip(PeerAddress& peer, const in_addr& ip) noexcept {
  std::ranges::copy(kMapped, peer.bytes.begin());
  std::memcpy(peer.bytes.data() + kMapped.size(), &ip, sizeof ip);
  peer.kind = PeerAddress::Kind::ipv4;
}

}  // namespace

std::string PeerAddress::host() const {
  char text[INET6_ADDRSTRLEN] = "?";
  switch (kind) {
    case Kind::unknown: break;
    case Kind::local: return "unix:";
    case Kind::ipv4: ::inet_ntop(AF_INET, bytes.data() + kMapped.size(), text, sizeof text); break;
    case Kind::ipv6: ::inet_ntop(AF_INET6, bytes.data(), text, sizeof text); break;
  }
  return scope == 0 ? text : std::string(text) + '%' + std::to_string(scope);
}

std::string PeerAddress::text() const {
  switch (kind) {
    case Kind::ipv4: return host() + ':' + std::to_string(port);
    case Kind::ipv6: return '[' + host() + "]:" + std::to_string(port);
    default: return host();
  }
}

PeerAddress make_peer_address(const sockaddr* address, socklen_t length) noexcept {
  PeerAddress peer;
  const auto family = length < sizeof(sa_family_t) ? sa_family_t{AF_UNSPEC} : address->sa_family;
  if (family == AF_INET && length >= sizeof(sockaddr_in)) {
    const auto& inet = *reinterpret_cast<const sockaddr_in*>(address);
    set_ip(peer, inet.sin_addr);
    peer.port = ntohs(inet.sin_port);
  } else if (family == AF_INET6 && length >= sizeof(sockaddr_in6)) {
    const auto& inet = *reinterpret_cast<const sockaddr_in6*>(address);
    set_ip(peer, inet.sin6_addr);
    peer.port = ntohs(inet.sin6_port);
    peer.scope = inet.sin6_scope_id;
  } else if (family == AF_UNIX) {
    peer.kind = PeerAddress::Kind::local;
  }
  return peer;
}

PeerAddress read_peer_address(int fd) noexcept {
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  auto* const address = reinterpret_cast<sockaddr*>(&storage);
  return ::getpeername(fd, address, &length) == 0 ? make_peer_address(address, length) : PeerAddress{};
}

std::optional<PeerAddress> parse_ip(std::string_view text) noexcept {
  char terminated[INET6_ADDRSTRLEN] = "";  // what inet_pton(3) wants
  if (text.empty() || text.size() >= sizeof terminated || text.find('\0') != std::string_view::npos)
    return {};
  std::memcpy(terminated, text.data(), text.size());
  PeerAddress peer;
  in_addr ipv4{};
  in6_addr ipv6{};
  if (::inet_pton(AF_INET, terminated, &ipv4) == 1) {
    set_ip(peer, ipv4);
  } else if (::inet_pton(AF_INET6, terminated, &ipv6) == 1) {
    set_ip(peer, ipv6);
  } else {
    return {};
  }
  return peer;
}

std::optional<uint16_t> parse_port(std::string_view digits) noexcept {
  uint16_t port = 0;
  if (digits.empty() || (digits.size() > 1 && digits[0] == '0')) return {};
  auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (failed != std::errc() || end != digits.data() + digits.size()) return {};
  return port;
}

std::optional<PeerAddress> parse_peer(std::string_view text) noexcept {
  if (text.starts_with("unix:")) return PeerAddress{.kind = PeerAddress::Kind::local};
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return {};
  std::string_view host = text.substr(0, colon);
  const bool bracketed = host.starts_with('[') && host.ends_with(']');
  if (bracketed) host = host.substr(1, host.size() - 2);
  std::optional<PeerAddress> peer = parse_ip(host);
  const std::optional<uint16_t> port = parse_port(text.substr(colon + 1));
  if (!peer || !port || bracketed != (host.find(':') != std::string_view::npos)) return {};
  peer->port = *port;
  return peer;
}

}  // namespace lastcall
