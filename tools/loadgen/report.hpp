#pragma once

#include <string>

#include "load.hpp"
#include "tally.hpp"

namespace lastcall::load {

/// For people: a table of several lines.
[[nodiscard]] std::string describe(const LoadOptions& options, const Summary& summary);

/// For scripts: one JSON object, in the shape of tools/README.md.
[[nodiscard]] std::string describe_json(const LoadOptions& options, const Summary& summary);

/// What --samples wrote to `file`, in the order in which the threads saw the answers: "due_us latency_us
/// status". False when it could not be written.
[[nodiscard]] bool write_samples(const std::string& file, const Tally& tally);

}  // namespace lastcall::load
