#pragma once

#include <string>
#include <string_view>

namespace lastcall {

/// http/admin_page.html: all there is to it, with no resource from elsewhere.
extern const std::string_view kAdminPage;

/// The page, whose style and script carry `nonce`, and the policy that lets a browser run nothing else.
struct AdminPage {
  std::string html;
  std::string content_security_policy;  ///< a field's value
};

/// `nonce`: base64 or hexadecimal digits, new for each answer.
[[nodiscard]] AdminPage make_admin_page(std::string_view nonce);
/// 128 bits that nobody can guess, as hexadecimal digits.
[[nodiscard]] std::string make_nonce();

}  // namespace lastcall
