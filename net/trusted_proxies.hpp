#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <lastcall/core/error.hpp>
#include <lastcall/net/peer_address.hpp>

namespace lastcall {

/// Who may say for whom it speaks. Constant once it is made; from any thread.
class TrustedProxies {
 public:
  static constexpr size_t kMost = 256;  ///< entries; each is looked at, one after the other

  /// Each of `entries` is an address ("192.0.2.1", "2001:db8::1"), a network ("10.0.0.0/8", "2001:db8::/32"),
  /// "loopback" (127.0.0.0/8 and ::1) or "unix" (whoever comes by a Unix socket). ::ffff:10.0.0.0/104 is
  /// 10.0.0.0/8; no other IPv6 network holds an IPv4 address. Errors name the entry.
  [[nodiscard]] static Result<TrustedProxies> parse(const std::vector<std::string>& entries);

  [[nodiscard]] bool contains(const PeerAddress& peer) const noexcept;
  [[nodiscard]] bool empty() const noexcept { return networks_.empty() && !unix_; }

 private:
  struct Network {
    PeerAddress base;
    uint32_t bits;  // of all 128
  };
  Result<void> add(std::string_view entry);

  std::vector<Network> networks_;
  bool unix_ = false;
};

}  // namespace lastcall
