#include <algorithm>
#include <charconv>
#include <optional>

#include <lastcall/net/trusted_proxies.hpp>

namespace lastcall {
namespace {

constexpr uint32_t kIpv4Begins = 96;  // bits of ::ffff:0:0

std::unexpected<Error> bad_entry(std::string_view entry, std::string_view what) {
  return error("trusted proxy '" + std::string(entry) + "': " + std::string(what));
}

/// Do the first `bits` of both agree?
bool share_prefix(const PeerAddress& one, const PeerAddress& other, uint32_t bits) noexcept {
  const size_t whole = bits / 8;
  if (!std::equal(one.bytes.begin(), one.bytes.begin() + whole, other.bytes.begin())) return false;
  const uint32_t rest = bits % 8;
  return rest == 0 || ((one.bytes[whole] ^ other.bytes[whole]) >> (8 - rest)) == 0;
}

/// Nothing but zeros behind the prefix?
bool is_network(const PeerAddress& base, uint32_t bits) noexcept {
  PeerAddress masked = base;
  for (uint32_t bit = bits; bit < 128; ++bit)
    masked.bytes[bit / 8] = static_cast<uint8_t>(masked.bytes[bit / 8] & ~(0x80u >> (bit % 8)));
  return masked == base;
}

std::optional<uint32_t> parse_bits(std::string_view digits, uint32_t most) noexcept {
  uint32_t bits = 0;
  auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), bits);
  if (failed != std::errc() || end != digits.data() + digits.size() || bits > most) return {};
  return bits;
}

}  // namespace

Result<TrustedProxies> TrustedProxies::parse(const std::vector<std::string>& entries) {
  TrustedProxies proxies;
  if (entries.size() > kMost) return error("trusted proxies: more than " + std::to_string(kMost));
  for (const std::string& entry : entries) {
    if (Result<void> added = proxies.add(entry); !added) return std::unexpected(added.error());
  }
  return proxies;
}

Result<void> TrustedProxies::add(std::string_view entry) {
  if (entry == "unix") {
    unix_ = true;
    return {};
  }
  if (entry == "loopback") {
    if (Result<void> added = add("127.0.0.0/8"); !added) return added;
    return add("::1");
  }
  const size_t slash = entry.find('/');
  const std::string_view host = entry.substr(0, slash);
  std::optional<PeerAddress> base = parse_ip(host);
  if (!base) return bad_entry(entry, "is no address, network, 'loopback' or 'unix'");
  uint32_t bits = 128;
  if (slash != std::string_view::npos) {
    const bool dotted =
        host.find(':') == std::string_view::npos;  // ::ffff:10.0.0.0/104 counts from the front
    const std::optional<uint32_t> given = parse_bits(entry.substr(slash + 1), dotted ? 32 : 128);
    if (!given)
      return bad_entry(entry, dotted ? "the prefix must be 0 to 32" : "the prefix must be 0 to 128");
    bits = *given + (dotted ? kIpv4Begins : 0);
    if (!is_network(*base, bits)) return bad_entry(entry, "has bits set behind its prefix");
  }
  networks_.push_back({*base, bits});
  return {};
}

bool TrustedProxies::contains(const PeerAddress& peer) const noexcept {
  if (peer.kind == PeerAddress::Kind::local) return unix_;
  return std::ranges::any_of(networks_, [&peer](const Network& network) {
    return network.base.kind == peer.kind && share_prefix(network.base, peer, network.bits);
  });
}

}  // namespace lastcall
