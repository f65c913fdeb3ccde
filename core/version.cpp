#include <lastcall/core/version.hpp>

namespace lastcall {

std::string_view version() noexcept {
  return LASTCALL_VERSION;
}

}  // namespace lastcall
