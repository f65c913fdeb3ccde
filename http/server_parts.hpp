#pragma once

#include <atomic>
#include <optional>
#include <stop_token>
#include <vector>

#include <lastcall/http/exchange.hpp>
#include <lastcall/http/server.hpp>

namespace lastcall {

/// What a server was given, for whoever runs its handlers in another way than Server does. Valid as long as
/// the server; routes may not be added meanwhile.
struct ServerParts {
  const ServerOptions& options;
  const Router& router;
  const std::vector<Route>& routes;
  const std::optional<Error>& route_error;  ///< the first mistake in a pattern
  std::atomic<bool>& stopping;              ///< what Server::stopping() tells
  const std::stop_source& drain;            ///< of Server::drain_token()
};

}  // namespace lastcall
