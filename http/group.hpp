#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <lastcall/core/error.hpp>
#include <lastcall/http/middleware.hpp>

namespace lastcall {

/// What the routes of one group have in common. Handlers refer to it: it lives as long as they do.
class GroupScope {
 public:
  GroupScope() = default;
  GroupScope(const GroupScope& parent, std::string_view prefix, const RouteOptions& defaults);
  GroupScope(const GroupScope&) = delete;
  GroupScope& operator=(const GroupScope&) = delete;

  [[nodiscard]] GroupScope& add_group(std::string_view prefix, const RouteOptions& defaults);
  void add(Before function) { before_.push_back(std::move(function)); }
  void add(After function) { after_.push_back(std::move(function)); }
  void add(Around function) { around_.push_back(std::move(function)); }

  /// The whole pattern of a route of this group, or what is wrong with it.
  [[nodiscard]] Result<std::string> pattern(std::string_view tail) const;
  [[nodiscard]] RouteOptions options(const RouteOptions& own) const { return own.or_else(defaults_); }
  /// The handler in all that is registered by now, here and in the groups around this one.
  [[nodiscard]] Handler wrap(Handler handler) const;

 private:
  void collect(Layers& layers) const;

  const GroupScope* parent_ = nullptr;
  std::string prefix_;  // with those of the groups around it
  bool good_prefix_ = true;
  RouteOptions defaults_;
  std::deque<Before> before_;  // referred to by handlers
  std::deque<After> after_;
  std::deque<Around> around_;
  std::deque<GroupScope> groups_;
};

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
/// and of the groups around it come first. See Layers for their order. A Before or After keeps a synchronous
/// handler synchronous; an Around makes any handler a coroutine. All reactors call them at once.
class Group {
 public:
  Group(Server& server, GroupScope& scope) noexcept : server_(&server), scope_(&scope) {}

  /// `prefix`: empty, or like "/v1" (no slash at its end); it may have {parameters}. A mistake in it is
  /// reported as one in each pattern. max_in_flight of `defaults` counts for each route by itself.
  [[nodiscard]] Group group(std::string_view prefix, const RouteOptions& defaults = {}) {
    return {*server_, scope_->add_group(prefix, defaults)};
  }
  Group& before(Before function) {
    scope_->add(std::move(function));
    return *this;
  }
  Group& after(After function) {
    scope_->add(std::move(function));
    return *this;
  }
  Group& around(Around function) {
    scope_->add(std::move(function));
    return *this;
  }

  /// As of the server, behind the prefix; `pattern` is empty or begins with '/'.
  Group& route(Method method, std::string_view pattern, Handler handler, const RouteOptions& options = {});
  Group& any(std::string_view pattern, Handler handler, const RouteOptions& options = {});
  Group& get(std::string_view pattern, Handler handler, const RouteOptions& options = {}) {
    return route(Method::get, pattern, std::move(handler), options);
  }
  Group& post(std::string_view pattern, Handler handler, const RouteOptions& options = {}) {
    return route(Method::post, pattern, std::move(handler), options);
  }
  Group& put(std::string_view pattern, Handler handler, const RouteOptions& options = {}) {
    return route(Method::put, pattern, std::move(handler), options);
  }
  Group& del(std::string_view pattern, Handler handler, const RouteOptions& options = {}) {
    return route(Method::delete_, pattern, std::move(handler), options);
  }
  Group& patch(std::string_view pattern, Handler handler, const RouteOptions& options = {}) {
    return route(Method::patch, pattern, std::move(handler), options);
  }

 private:
  Server* server_;
  GroupScope* scope_;
};

}  // namespace lastcall
