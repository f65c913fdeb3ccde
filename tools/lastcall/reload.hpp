#pragma once

#include <functional>

#include <lastcall/http/server.hpp>

#include "options.hpp"

namespace lastcall::tool {

/// Has the server read its options again with SIGHUP, by `read`, and says in the log what that changed.
/// `running`: what it was started with.
void reload_with_hup(Server& server, const Options& running, std::function<Result<Options>()> read);

}  // namespace lastcall::tool
