#pragma once

#include <string>
#include <vector>

#include <lastcall/core/error.hpp>

namespace lastcall::tool {

/// One `name = value` of a configuration file; an array has several values.
struct ConfigEntry {
  std::string name;
  std::vector<std::string> values;
  std::string place;  ///< "lastcall.toml:3", for messages
};

/// Reads a TOML file of options at its top level. Errors name the file and the line.
Result<std::vector<ConfigEntry>> read_config(const std::string& path);

}  // namespace lastcall::tool
