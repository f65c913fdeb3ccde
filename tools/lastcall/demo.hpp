#pragma once

#include <lastcall/http/server.hpp>

namespace lastcall::tool {

/// Adds the routes of `lastcall demo`; the page at / lists them.
void add_demo_routes(Server& server);

}  // namespace lastcall::tool
