#pragma once

#include <atomic>
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

/// Callable as void(const Request&, Response&).
template <class F>
concept SynchronousHandler = std::invocable<const F&, const Request&, Response&> &&
    std::is_void_v<std::invoke_result_t<const F&, const Request&, Response&>>;
/// Callable as Task<>(Request&, Response&).
template <class F>
concept CoroutineHandler = std::invocable<const F&, Request&, Response&> &&
    std::same_as<std::invoke_result_t<const F&, Request&, Response&>, Task<>>;

/// Either kind. All reactors call it, at the same time: what it captures must stand that.
struct Handler {
  std::variant<SyncHandler, TaskHandler> function;  ///< never empty

  /// From a function that answers before it returns.
  template <SynchronousHandler F>
  Handler(F f) : function(std::in_place_type<SyncHandler>, std::move(f)) {}  // NOLINT: converts on purpose
  /// From a coroutine. What a lambda captures is kept as long as the server: its coroutines may use it.
  template <CoroutineHandler F>
  Handler(F f) : function(std::in_place_type<TaskHandler>, std::move(f)) {}  // NOLINT: converts on purpose
  /// @{
  /// Not inline, so that not every unit that has routes compiles them. What was moved from may only be
  /// destroyed or assigned to.
  Handler(Handler&& other) noexcept;
  Handler& operator=(Handler&& other) noexcept;
  ~Handler();
  /// @}
};

/// What a route may set apart from the server's defaults.
struct RouteOptions {
  std::optional<uint64_t>
      max_body_bytes{};                    ///< of a request's body; 413 beyond; none: Limits::max_body_bytes
  std::optional<Duration> body_timeout{};  ///< without a byte of a body; none: ServerOptions::body_timeout
  /// For coroutine handlers, from the head of the request on: then the handler's stop_token is requested, and
  /// the client is answered 503 with Retry-After and Connection: close; an answer under way breaks off. Not
  /// of a connection that has left HTTP.
  std::optional<Duration> handler_timeout{};
  /// Requests of this route at one time, on all reactors together, from their head to the end of answer and
  /// handler; more are answered 503 with Retry-After at once.
  std::optional<uint32_t> max_in_flight{};

  /// These, and what they leave open as in `defaults`.
  [[nodiscard]] RouteOptions or_else(const RouteOptions& defaults) const {
    return {.max_body_bytes = max_body_bytes ? max_body_bytes : defaults.max_body_bytes,
            .body_timeout = body_timeout ? body_timeout : defaults.body_timeout,
            .handler_timeout = handler_timeout ? handler_timeout : defaults.handler_timeout,
            .max_in_flight = max_in_flight ? max_in_flight : defaults.max_in_flight};
  }
};

/// @cond internal
/// How many requests of a route there are. Moves only while there are none. From any thread.
class InFlight {
 public:
  InFlight() = default;
  InFlight(InFlight&&) noexcept {}  // NOLINT: none to take over
  InFlight& operator=(InFlight&&) noexcept { return *this; }

  /// One more; false, with nothing changed, when there are `most`.
  [[nodiscard]] bool enter(uint32_t most) noexcept {
    if (count_.fetch_add(1, std::memory_order_relaxed) < most) return true;
    leave();
    return false;
  }
  void leave() noexcept { count_.fetch_sub(1, std::memory_order_relaxed); }
  [[nodiscard]] uint64_t count() const noexcept { return count_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> count_{0};
};

struct Route {
  std::string pattern;
  Handler handler;
  RouteOptions options;
  mutable InFlight in_flight{};  // counted where there is a limit only; routes are shared by all reactors
  bool guarded = options.max_in_flight.has_value();  // its requests are looked at before they come in
  /// A request without a body is answered before anything else happens.
  [[nodiscard]] bool handles_at_once() const noexcept {
    return !guarded && std::holds_alternative<SyncHandler>(handler.function);
  }
};
/// @endcond

}  // namespace lastcall
