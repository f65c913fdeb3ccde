#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include <lastcall/net/proxy_header.hpp>

namespace lastcall {
namespace {

using Outcome = ProxyHeader::Outcome;

constexpr std::string_view kLine = "PROXY ";
constexpr std::string_view kSignature{"\r\n\r\n\0\r\nQUIT\n", 12};
constexpr size_t kFixedBytes = 16;  // of version 2: signature, version and command, family, length
constexpr size_t kIpv4Bytes = 12;   // two addresses and two ports
constexpr size_t kIpv6Bytes = 36;
constexpr size_t kUnixBytes = 216;  // two paths
constexpr size_t kTlvBytes = 3;     // type and length

ProxyHeader refused(const char* what) noexcept {
  return {.outcome = Outcome::refused, .what = what};
}

uint8_t byte_at(std::string_view bytes, size_t at) noexcept {
  return static_cast<uint8_t>(bytes[at]);
}

size_t number_at(std::string_view bytes, size_t at) noexcept {
  return static_cast<size_t>(byte_at(bytes, at)) << 8 | byte_at(bytes, at + 1);
}

bool may_become(std::string_view bytes, std::string_view beginning) noexcept {
  const size_t common = std::min(bytes.size(), beginning.size());
  return bytes.substr(0, common) == beginning.substr(0, common);
}

/// "TCP4 SOURCE DESTINATION PORT PORT", one blank between any two.
std::optional<PeerAddress> parse_tcp_line(std::string_view line, PeerAddress::Kind kind) noexcept {
  std::array<std::string_view, 4> words;
  for (size_t i = 0; i < words.size(); ++i) {
    const size_t end = i + 1 < words.size() ? line.find(' ') : line.size();
    if (end == std::string_view::npos) return {};
    words[i] = line.substr(0, end);
    line.remove_prefix(std::min(end + 1, line.size()));
  }
  const auto source = parse_ip(words[0]);
  const auto destination = parse_ip(words[1]);
  const auto source_port = parse_port(words[2]);
  if (!source || !destination || !source_port || !parse_port(words[3])) return {};
  // By the text: an IPv4 address in IPv6's clothes (::ffff:192.0.2.1) is of TCP6.
  const auto is_kind = [kind](std::string_view text) {
    return (text.find(':') != std::string_view::npos) == (kind == PeerAddress::Kind::ipv6);
  };
  if (!is_kind(words[0]) || !is_kind(words[1])) return {};
  PeerAddress peer = *source;
  peer.port = *source_port;
  return peer;
}

ProxyHeader parse_line(std::string_view bytes) noexcept {
  const std::string_view window = bytes.substr(0, kMaxProxyLineBytes);
  const size_t end = window.find('\n');
  if (end == std::string_view::npos) {
    if (window.size() == kMaxProxyLineBytes) return refused("a PROXY line of more than 107 bytes");
    return {};
  }
  if (window[end - 1] != '\r') return refused("a PROXY line without CRLF");
  const std::string_view line = window.substr(kLine.size(), end - 1 - kLine.size());
  ProxyHeader header{.outcome = Outcome::complete, .length = end + 1};
  if (line == "UNKNOWN" || line.starts_with("UNKNOWN ")) return header;
  std::optional<PeerAddress> source;
  if (line.starts_with("TCP4 ")) source = parse_tcp_line(line.substr(5), PeerAddress::Kind::ipv4);
  if (line.starts_with("TCP6 ")) source = parse_tcp_line(line.substr(5), PeerAddress::Kind::ipv6);
  if (!source) return refused("a malformed PROXY line");
  header.source = *source;
  return header;
}

bool tlvs_fit(std::string_view tlvs) noexcept {
  while (!tlvs.empty()) {
    if (tlvs.size() < kTlvBytes) return false;
    const size_t length = kTlvBytes + number_at(tlvs, 1);
    if (length > tlvs.size()) return false;
    tlvs.remove_prefix(length);
  }
  return true;
}

PeerAddress ipv4_source(std::string_view addresses) noexcept {
  sockaddr_in inet{};
  inet.sin_family = AF_INET;
  std::memcpy(&inet.sin_addr, addresses.data(), sizeof inet.sin_addr);
  std::memcpy(&inet.sin_port, addresses.data() + 8, sizeof inet.sin_port);
  return make_peer_address(reinterpret_cast<const sockaddr*>(&inet), sizeof inet);
}

PeerAddress ipv6_source(std::string_view addresses) noexcept {
  sockaddr_in6 inet{};
  inet.sin6_family = AF_INET6;
  std::memcpy(&inet.sin6_addr, addresses.data(), sizeof inet.sin6_addr);
  std::memcpy(&inet.sin6_port, addresses.data() + 32, sizeof inet.sin6_port);
  return make_peer_address(reinterpret_cast<const sockaddr*>(&inet), sizeof inet);
}

/// What the header says of itself is right, as far as it has come; nothing: go on.
const char* judge_binary(std::string_view bytes) noexcept {
  if (bytes.size() > 12) {
    if (byte_at(bytes, 12) >> 4 != 2) return "a PROXY header of an unknown version";
    if ((byte_at(bytes, 12) & 15) > 1) return "an unknown PROXY command";
  }
  if (bytes.size() > 13) {
    const uint8_t family = byte_at(bytes, 13);  // and transport: STREAM, or UNSPEC with UNSPEC
    if (family != 0x00 && family != 0x11 && family != 0x21 && family != 0x31 &&
        (byte_at(bytes, 12) & 15) == 1)
      return "an unknown PROXY family or transport";
  }
  if (bytes.size() >= kFixedBytes && number_at(bytes, 14) > kMaxProxyHeaderBytes - kFixedBytes)
    return "a PROXY header of more than 4096 bytes";
  return nullptr;
}

ProxyHeader parse_binary(std::string_view bytes) noexcept {
  if (const char* wrong = judge_binary(bytes)) return refused(wrong);
  if (bytes.size() < kFixedBytes) return {};
  const bool local = (byte_at(bytes, 12) & 15) == 0;
  const uint8_t family = local ? uint8_t{0} : byte_at(bytes, 13);
  const size_t needed = family == 0x11   ? kIpv4Bytes
                        : family == 0x21 ? kIpv6Bytes
                        : family == 0x31 ? kUnixBytes
                                         : 0;
  const size_t length = number_at(bytes, 14);
  if (length < needed) return refused("a PROXY header too short for its addresses");
  if (bytes.size() < kFixedBytes + length) return {};
  const std::string_view rest = bytes.substr(kFixedBytes, length);
  // Of LOCAL and of an unknown family nothing is to be looked at (2.2).
  if (needed != 0 && !tlvs_fit(rest.substr(needed))) return refused("malformed PROXY extensions");
  ProxyHeader header{.outcome = Outcome::complete, .length = kFixedBytes + length};
  if (family == 0x11) header.source = ipv4_source(rest);
  if (family == 0x21) header.source = ipv6_source(rest);
  return header;
}

}  // namespace

ProxyHeader parse_proxy_header(std::string_view bytes) noexcept {
  if (bytes.empty()) return {};
  if (may_become(bytes, kSignature))
    return bytes.size() > kSignature.size() ? parse_binary(bytes) : ProxyHeader{};
  if (may_become(bytes, kLine)) return bytes.size() > kLine.size() ? parse_line(bytes) : ProxyHeader{};
  return refused("no PROXY header");
}

}  // namespace lastcall
