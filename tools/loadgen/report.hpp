#pragma once

#include <string>

#include "load.hpp"

namespace lastcall::load {

/// For people: a table of several lines.
[[nodiscard]] std::string describe(const LoadOptions& options, const Summary& summary);

/// For scripts: one JSON object, in the shape of tools/README.md.
[[nodiscard]] std::string describe_json(const LoadOptions& options, const Summary& summary);

}  // namespace lastcall::load
