#pragma once

#include <cstddef>
#include <functional>
#include <utility>

#include <lastcall/http/handler.hpp>

namespace lastcall {

class Layers;

/// What an Around wraps: the next one, or the handler. A synchronous handler is called when the whole body is
/// there, and not at all when that broke off. To be awaited at most once: throws std::logic_error after that.
/// Not to be kept beyond the Around. Move-only.
class Next {
 public:
  /// For the server.
  Next(const Layers& layers, size_t level, Request& request, Response& response) noexcept
      : layers_(&layers), level_(level), request_(request), response_(response) {}
  /// What was moved from is used up.
  Next(Next&& other) noexcept
      : layers_(std::exchange(other.layers_, nullptr)),
        level_(other.level_),
        request_(other.request_),
        response_(other.response_) {}
  Next& operator=(Next&&) = delete;

  /// Runs it to its end; throws what it throws.
  [[nodiscard]] Task<> operator()();

 private:
  const Layers* layers_;  // nullptr: used up
  size_t level_;
  Request& request_;
  Response& response_;
};

/// Runs before a handler. False: it has answered, the handler is not called. Of several functions for a route
/// every Before runs in order of registration, then every Around (the first one registered is the outermost),
/// the handler, and every After in reverse order.
using Before = std::move_only_function<bool(const Request&, Response&) const>;
/// Runs when the handler has returned, or a Before has answered; not when one of them threw. The answer can
/// be changed unless response.head_sent().
using After = std::move_only_function<void(const Request&, Response&) const>;
/// A coroutine around the handler, which it runs by `co_await next()`; or answers instead, without.
using Around = std::move_only_function<Task<>(Request&, Response&, Next) const>;

}  // namespace lastcall
