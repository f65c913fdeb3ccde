#pragma once

#include <concepts>
#include <functional>
#include <stop_token>
#include <type_traits>
#include <utility>
#include <variant>

#include <lastcall/http/task.hpp>

namespace lastcall {

/// A background task on a reactor.
using BackgroundCoroutine = std::move_only_function<Task<>(std::stop_token)>;

/// Callable with the token that tells it to give up.
template <class F>
concept TakesStopToken = std::invocable<F&, std::stop_token>;
/// What a BackgroundTask is made from. A result that is no Task<> is dropped.
template <class F>
concept BackgroundFunction = TakesStopToken<F> || std::invocable<F&>;

/// What runs in the background: a function that may block, on a thread of its own pool, or a coroutine on a
/// reactor. Either may take the std::stop_token that tells it to give up.
class BackgroundTask {
 public:
  /// A background task on a thread of the pool for them.
  using Blocking = std::move_only_function<void(std::stop_token)>;

  /// From any such function: which of the two kinds it is, its result tells.
  template <BackgroundFunction F>
  requires(!std::same_as<std::remove_cvref_t<F>, BackgroundTask>)
      BackgroundTask(F f) {  // NOLINT: converts on purpose
    if constexpr (!TakesStopToken<F>) {
      take([g = std::move(f)](const std::stop_token&) mutable { return g(); });
    } else {
      take(std::move(f));
    }
  }

  /// For the server.
  [[nodiscard]] std::variant<Blocking, BackgroundCoroutine>& function() noexcept { return function_; }

 private:
  template <class F>
  void take(F f) {
    if constexpr (std::same_as<std::invoke_result_t<F&, std::stop_token>, Task<>>) {
      function_.emplace<BackgroundCoroutine>(std::move(f));
    } else {
      function_.emplace<Blocking>(std::move(f));
    }
  }

  std::variant<Blocking, BackgroundCoroutine> function_;
};

/// Called at the stop: see Server::on_shutdown and Server::on_stopped. May block and may throw.
using StopHook = std::move_only_function<void()>;

}  // namespace lastcall
