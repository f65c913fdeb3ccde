#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include <lastcall/http/chars.hpp>
#include <lastcall/http/request_head.hpp>
#include <lastcall/http/status.hpp>

namespace lastcall {

enum class PortRule : uint8_t { optional, required };

/// uri-host [ ":" port ], RFC 9110 4.2 and RFC 3986 3.2.2: registered name, IPv4 or bracketed IPv6, port at
/// most 65535. No empty host, no userinfo, and no comma although RFC 3986 has it: it is how two merged Host
/// fields look.
[[nodiscard]] bool valid_authority(std::string_view text, PortRule port) noexcept;

/// valid_authority() for one Host after the other: the last valid one is remembered, since clients ask a
/// server for few hosts. Belongs to one thread.
class HostCheck {
 public:
  [[nodiscard]] bool valid(std::string_view host) noexcept {
    return (host.size() == size_ && chars::equal_bytes(host.data(), last_, size_)) || judge(host);
  }

 private:
  bool judge(std::string_view host) noexcept;

  size_t size_ = SIZE_MAX;  // none yet
  char last_[64];
};

/// Judges `head.target` for `head.method` (RFC 9112 3.2) and fills form, path, query and, where the target
/// has an authority, host. An absolute target without path gets "/", or "*" for OPTIONS (RFC 9112 3.2.4), in
/// static storage. Refuses with 400. `plain`: all of it is known to be kPath characters.
[[nodiscard]] Refusal judge_target(RequestHead& head, bool plain = false) noexcept;

}  // namespace lastcall
