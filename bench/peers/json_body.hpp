#pragma once

#include <nlohmann/json.hpp>

#include <string>
#include <string_view>

/// What the C++ peers serialise for each request, with the library that lastcall's demo does it with.
inline std::string message_body() {
  return nlohmann::json{{"message", "Hello, World!"}}.dump();
}

inline std::string user_body(std::string_view id) {
  return nlohmann::json{{"id", id}}.dump();
}

inline std::string bytes_body(unsigned long long bytes) {
  return nlohmann::json{{"bytes", bytes}}.dump();
}

/// What /bytes answers with, whatever its query says.
inline const std::string& megabyte() {
  static const std::string bytes(1'000'000, 'x');
  return bytes;
}
