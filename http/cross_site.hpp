#pragma once

#include <optional>
#include <string_view>

namespace lastcall {

/// What a browser says of where a request comes from. Other clients say nothing of it.
struct RequestOrigin {
  std::string_view host;                       ///< Host, with a port or without
  std::optional<std::string_view> origin;      ///< Origin (RFC 6454, 7)
  std::optional<std::string_view> fetch_site;  ///< Sec-Fetch-Site (W3C Fetch Metadata, 2.3)
};

/// Why a request that changes something must not be obeyed: a page of somebody else's made a browser send it.
/// Empty: it may be, and always where no browser is involved, since who can connect can send what it likes.
///
/// Of the same site is not enough: a port does not tell sites apart, and other programs serve on other ports.
/// Nor is the same origin, where a browser is led to us under a name of the attacker's (DNS rebinding): so
/// browsers must have asked for an IP address, for localhost or for this machine by its name, `machine`.
/// Behind a proxy of another name there is no draining by the page.
[[nodiscard]] std::string_view cross_site_refusal(const RequestOrigin& from, std::string_view machine);

}  // namespace lastcall
