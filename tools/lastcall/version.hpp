#pragma once

#include <string>

namespace lastcall::tool {

/// Version, compiler, build, kernel, and what io would be used and why; as lines, or as one JSON object.
std::string describe_version(bool json);

}  // namespace lastcall::tool
