#pragma once

#include <lastcall/http/request_head.hpp>
#include <lastcall/http/status.hpp>
#include <lastcall/http/target.hpp>

namespace lastcall {

/// Judges the fields of a head whose method, version, target and fields are known, and fills in host,
/// chunked, has_length, content_length, keep_alive, expect_continue and upgrade: Host (RFC 9112 3.2),
/// Transfer-Encoding and Content-Length (RFC 9112 6), Connection (RFC 9110 7.6.1), Expect (RFC 9110 10.1.1).
/// Refuses with 400, 417 or 501.
[[nodiscard]] Refusal judge_fields(RequestHead& head, HostCheck& host_check) noexcept;

/// Whether a trailer section may carry no such field (RFC 9110 6.5.1): framing, routing, authentication,
/// request modifiers, connection management, and how the content is to be understood.
[[nodiscard]] bool forbidden_in_trailers(std::string_view name) noexcept;

}  // namespace lastcall
