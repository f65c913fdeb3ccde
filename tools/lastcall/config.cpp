#include "config.hpp"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>

#define TOML_EXCEPTIONS 1
#include <toml++/toml.h>

namespace lastcall::tool {
namespace {

std::string place_of(const std::string& path, const toml::source_region& where) {
  return path + ":" + std::to_string(where.begin.line);
}

/// Text of a plain value, or nothing for tables and the like.
std::optional<std::string> text_of(const toml::node& node) {
  if (auto text = node.value_exact<std::string>()) return text;
  if (auto number = node.value_exact<int64_t>()) return std::to_string(*number);
  if (auto flag = node.value_exact<bool>()) return *flag ? "true" : "false";
  return std::nullopt;
}

bool read_values(const toml::node& node, std::vector<std::string>& values) {
  if (const toml::array* array = node.as_array()) {
    return std::all_of(array->begin(), array->end(), [&](const toml::node& element) {
      auto text = text_of(element);
      if (text) values.push_back(*text);
      return text.has_value();
    });
  }
  auto text = text_of(node);
  if (text) values.push_back(*text);
  return text.has_value();
}

}  // namespace

Result<std::vector<ConfigEntry>> read_config(const std::string& path) {
  if (std::filesystem::is_directory(path)) return system_error("--config " + path, EISDIR);
  std::ifstream file(path);
  if (!file) return system_error("--config " + path, errno);
  std::stringstream text;
  text << file.rdbuf();
  if (file.bad()) return system_error("--config " + path, EIO);
  toml::table table;
  try {
    table = toml::parse(text.str(), path);
  } catch (const toml::parse_error& failure) {
    return error(place_of(path, failure.source()) + ": " + std::string(failure.description()));
  }
  std::vector<ConfigEntry> entries;
  for (auto&& [key, node] : table) {
    ConfigEntry entry{.name = std::string(key.str()), .values = {}, .place = place_of(path, node.source())};
    if (!read_values(node, entry.values)) {
      return error(entry.place + ": " + entry.name +
                   " must be a text, a whole number, true or false, or a list of them");
    }
    entries.push_back(std::move(entry));
  }
  return entries;
}

}  // namespace lastcall::tool
