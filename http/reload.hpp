#pragma once

#include <string>
#include <vector>

#include <lastcall/core/error.hpp>

namespace lastcall {

struct ServerOptions;

/// What Server::reload() did, by the names of options as the flags of `lastcall demo` have them:
/// "idle-timeout", "max-body-bytes".
struct ReloadOutcome {
  std::vector<std::string> changed;  ///< taken over
  std::vector<std::string> ignored;  ///< different, but fixed while the server runs
};

/// Takes over from `wished` what may change while a server runs, and says what differs. Nothing is taken over
/// when one of them cannot be: the error names it.
[[nodiscard]] Result<ReloadOutcome> merge_options(ServerOptions& current, const ServerOptions& wished);

}  // namespace lastcall
