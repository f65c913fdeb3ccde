#pragma once

#include <cstdint>
#include <string_view>

#include <lastcall/http/request_head.hpp>
#include <lastcall/http/status.hpp>

namespace lastcall {

enum class PortRule : uint8_t { optional, required };

/// uri-host [ ":" port ], RFC 9110 4.2 and RFC 3986 3.2.2: registered name, IPv4 or bracketed IPv6, port at
/// most 65535. No empty host, no userinfo, and no comma although RFC 3986 has it: it is how two merged Host
/// fields look.
[[nodiscard]] bool valid_authority(std::string_view text, PortRule port) noexcept;

/// Judges `head.target` for `head.method` (RFC 9112 3.2) and fills form, path, query and, where the target
/// has an authority, host. An absolute target without path gets "/", or "*" for OPTIONS (RFC 9112 3.2.4), in
/// static storage. Refuses with 400.
[[nodiscard]] Refusal judge_target(RequestHead& head) noexcept;

}  // namespace lastcall
