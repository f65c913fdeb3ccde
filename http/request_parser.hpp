#pragma once

#include <memory>
#include <string_view>

#include <lastcall/http/limits.hpp>
#include <lastcall/http/request_head.hpp>
#include <lastcall/http/status.hpp>
#include <lastcall/http/target.hpp>

namespace lastcall {

/// Parses one complete head (as HeadScanner delimits it) with llhttp and applies what llhttp leaves to the
/// server: Host (RFC 9112 3.2), target forms and characters (RFC 9112 3.2, RFC 3986), Content-Length against
/// Transfer-Encoding (RFC 9112 6.3), Connection as a list. Keeps no state between heads; one a reactor is
/// enough. No allocation when `head.fields` has capacity.
class RequestParser {
 public:
  RequestParser();
  ~RequestParser();
  RequestParser(const RequestParser&) = delete;
  RequestParser& operator=(const RequestParser&) = delete;

  /// Fills `head`, or says what to answer (400, 417, 431, 501) before closing; `head` is then partly filled.
  /// `plain_target`: as the scan has found.
  [[nodiscard]] Refusal parse(std::string_view bytes, const Limits& limits, RequestHead& head,
                              bool plain_target = false) noexcept;

  /// The head of a request as nearly all clients send it, found, read and judged in one pass: a whole and
  /// flawless GET or HEAD in HTTP/1.1 with a plain target and without any field that frames a message or
  /// wants an answer to itself. Its length, and `head` as HeadScanner and parse() would leave it; 0 for
  /// anything else, which is theirs to judge. `bytes`: from the first byte of the head, perhaps with more
  /// behind it.
  [[nodiscard]] uint32_t read_usual(std::string_view bytes, const Limits& limits, RequestHead& head) noexcept;

 private:
  struct Llhttp;  // llhttp.h stays out of this header
  std::unique_ptr<Llhttp> llhttp_;
  HostCheck host_check_;
};

}  // namespace lastcall
