#pragma once

#include <lastcall/http/server.hpp>

namespace lastcall::tool {

/// Adds the routes of `lastcall demo`; the page at / lists them. With `remote_shutdown`, POST /shutdown is
/// one.
void add_demo_routes(Server& server, bool remote_shutdown);

}  // namespace lastcall::tool
