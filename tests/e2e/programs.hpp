#pragma once

#include <cstdlib>
#include <string>
#include <string_view>

// The programs under test. They may be of another build than the tests, which only watch them: a sanitizer's
// build says by the environment which it is (other_build.cpp).

namespace lastcall::e2e {

inline std::string of_build(const char* variable, const char* here) {
  const char* elsewhere = std::getenv(variable);
  return elsewhere != nullptr ? elsewhere : here;
}

inline std::string program_file(std::string_view name) {
  return of_build("LASTCALL_TEST_BUILD", LASTCALL_BUILD).append("/").append(name);
}
inline std::string lastcall_binary() {
  return program_file("lastcall");
}

/// What the programs were built with; the tests themselves are not.
inline const std::string kSanitizers = of_build("LASTCALL_TEST_SANITIZE", LASTCALL_SANITIZE);
inline const bool kAddressSanitized = kSanitizers.find("address") != std::string::npos;
inline const bool kSanitized = !kSanitizers.empty();

}  // namespace lastcall::e2e
