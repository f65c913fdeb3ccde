#pragma once

#include <string_view>

namespace lastcall {

/// Of this library: "0.1.0".
[[nodiscard]] std::string_view version() noexcept;

}  // namespace lastcall
