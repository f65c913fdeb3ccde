#include <cstdio>
#include <cstdlib>

#include <lastcall/core/check.hpp>

namespace lastcall::detail {

void check_failed(const char* expression, const char* file, int line) noexcept {
  std::fprintf(stderr, "lastcall: CHECK failed: %s at %s:%d\n", expression, file, line);
  std::abort();
}

}  // namespace lastcall::detail
