#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

#include <lastcall/http/request.hpp>
#include <lastcall/http/response.hpp>
#include <lastcall/http/task.hpp>

namespace lastcall {

/// Runs to completion on the reactor, body already there: must not block. The hot path.
using SyncHandler = std::move_only_function<void(const Request&, Response&) const>;
/// A coroutine: may wait, read the body in pieces and write the answer in pieces. The references are good
/// until it ends.
using TaskHandler = std::move_only_function<Task<>(Request&, Response&) const>;

template <class F>
concept SynchronousHandler = std::invocable<const F&, const Request&, Response&> &&
    std::is_void_v<std::invoke_result_t<const F&, const Request&, Response&>>;
template <class F>
concept CoroutineHandler = std::invocable<const F&, Request&, Response&> &&
    std::same_as<std::invoke_result_t<const F&, Request&, Response&>, Task<>>;

/// Either kind. All reactors call it, at the same time: what it captures must stand that.
struct Handler {
  std::variant<SyncHandler, TaskHandler> function;

  template <SynchronousHandler F>
  Handler(F f) : function(SyncHandler(std::move(f))) {}  // NOLINT: converts on purpose
  template <CoroutineHandler F>
  Handler(F f) : function(TaskHandler(std::move(f))) {}  // NOLINT: converts on purpose
};

/// What a route may set apart from the server's defaults.
struct RouteOptions {
  std::optional<uint64_t> max_body_bytes;
};

struct Route {
  std::string pattern;
  Handler handler;
  RouteOptions options;
};

}  // namespace lastcall
