#pragma once

#include <string_view>

#include <lastcall/http/middleware.hpp>

namespace lastcall {

class GroupScope;
class Server;

/// Routes with a common prefix, functions around their handlers, and defaults for their options. Made by
/// Server::group(); a handle that may be copied, valid as long as the server.
///
///   Group api = server.group("/api", {.handler_timeout = 5s});
///   api.before(check_token).after(log);
///   api.get("/users/{id}", get_user);             // GET /api/users/{id}
///   api.group("/v1").post("/users", make_user);   // POST /api/v1/users, checked and logged, too
///
/// Functions apply to what is registered after them, in this group and those inside it; those of the server
/// and of the groups around it come first. See Before for their order. A Before or After keeps a synchronous
/// handler synchronous; an Around makes any handler a coroutine. All reactors call them at once.
class Group {
 public:
  /// For Server::group().
  Group(Server& server, GroupScope& scope) noexcept : server_(&server), scope_(&scope) {}

  /// `prefix`: empty, or like "/v1" (no slash at its end); it may have {parameters}. A mistake in it is
  /// reported as one in each pattern. max_in_flight of `defaults` counts for each route by itself.
  [[nodiscard]] Group group(std::string_view prefix, const RouteOptions& defaults = {});
  /// @{
  /// Around the handlers that are registered after it. Before run() or start().
  Group& before(Before function);
  Group& after(After function);
  Group& around(Around function);
  /// @}

  /// As of the server, behind the prefix; `pattern` is empty or begins with '/'.
  Group& route(Method method, std::string_view pattern, Handler handler, const RouteOptions& options = {});
  /// @{
  /// As those of the server, behind the prefix.
  Group& any(std::string_view pattern, Handler handler, const RouteOptions& options = {});
  Group& get(std::string_view pattern, Handler handler, const RouteOptions& options = {});
  Group& post(std::string_view pattern, Handler handler, const RouteOptions& options = {});
  Group& put(std::string_view pattern, Handler handler, const RouteOptions& options = {});
  Group& del(std::string_view pattern, Handler handler, const RouteOptions& options = {});
  Group& patch(std::string_view pattern, Handler handler, const RouteOptions& options = {});
  /// @}

 private:
  Server* server_;
  GroupScope* scope_;
};

}  // namespace lastcall
