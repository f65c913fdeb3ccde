#pragma once

#include <cstdint>
#include <string_view>

namespace lastcall {

/// Reason phrase of RFC 9110 15 and the IANA registry; "Unknown" for a code without one. Static storage.
[[nodiscard]] std::string_view reason_phrase(uint16_t status) noexcept;

/// Why input was refused: the status to answer and what was wrong with it, for the log and the body. Static
/// storage.
struct Refusal {
  uint16_t status = 0;  ///< 0: nothing refused
  const char* what = "";
  [[nodiscard]] explicit operator bool() const noexcept { return status != 0; }
};

}  // namespace lastcall
