#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include <lastcall/http/handler.hpp>

namespace lastcall {

class Layers;

/// What an Around wraps: the next one, or the handler. A synchronous handler is called when the whole body is
/// there, and not at all when that broke off. To be awaited at most once: throws std::logic_error after that.
/// Not to be kept beyond the Around. Move-only.
class Next {
 public:
  Next(const Layers& layers, size_t level, Request& request, Response& response) noexcept
      : layers_(&layers), level_(level), request_(request), response_(response) {}
  Next(Next&& other) noexcept
      : layers_(std::exchange(other.layers_, nullptr)),
        level_(other.level_),
        request_(other.request_),
        response_(other.response_) {}
  Next& operator=(Next&&) = delete;

  [[nodiscard]] Task<> operator()();

 private:
  const Layers* layers_;  // nullptr: used up
  size_t level_;
  Request& request_;
  Response& response_;
};

/// Runs before a handler. False: it has answered, the handler is not called.
using Before = std::move_only_function<bool(const Request&, Response&) const>;
/// Runs when the handler has returned, or a Before has answered; not when one of them threw. The answer can
/// be changed unless response.head_sent().
using After = std::move_only_function<void(const Request&, Response&) const>;
/// A coroutine around the handler, which it runs by `co_await next()`; or answers instead, without.
using Around = std::move_only_function<Task<>(Request&, Response&, Next) const>;

/// All that runs for a request of one route: every Before in order of registration, every Around (the first
/// one registered is the outermost), the handler, every After in reverse order.
class Layers {
 public:
  explicit Layers(Handler handler) : handler_(std::move(handler)) {}
  Layers(const Layers&) = delete;
  Layers& operator=(const Layers&) = delete;

  // These are referred to.
  void add(const Before& function) { before_.push_back(&function); }
  void add(const After& function) { after_.push_back(&function); }
  void add(const Around& function) { around_.push_back(&function); }

  /// One handler for all of it: synchronous where the handler is and no Around makes it a coroutine; the
  /// handler itself where there is nothing to run but that.
  [[nodiscard]] static Handler compose(std::unique_ptr<Layers> layers);

 private:
  friend class Next;
  [[nodiscard]] bool admit(const Request& request, Response& response) const;
  void finish(const Request& request, Response& response) const;
  void run(const Request& request, Response& response) const;
  [[nodiscard]] Task<> run_task(Request& request, Response& response) const;
  [[nodiscard]] Task<> descend(size_t level, Request& request, Response& response) const;

  std::vector<const Before*> before_;
  std::vector<const Around*> around_;
  std::vector<const After*> after_;
  Handler handler_;
};

}  // namespace lastcall
