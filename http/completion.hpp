#pragma once

#include <coroutine>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include <lastcall/core/mailbox.hpp>
#include <lastcall/http/task.hpp>

namespace lastcall {

namespace detail {

/// Shared, since neither end knows which of the two goes first: the coroutine may be cancelled and gone when
/// the other thread comes with the value, or still wait when that thread has lost interest.
template <class T>
struct CompletionState {
  using Stored = std::conditional_t<std::is_void_v<T>, std::monostate, T>;
  struct Waiting : TaskContext::Waiter {
    void (*resume)(Waiting&) = nullptr;
  };

  std::mutex mutex;
  bool done = false;           // by a value, an error, or the completer's end
  Mailbox* mailbox = nullptr;  // of the coroutine that waits
  std::optional<Stored> value;
  std::exception_ptr error;
  Waiting* waiting = nullptr;  // the reactor's alone
};

}  // namespace detail

/// The end that gives the value, once: from any thread, also when nobody waits any more. Move-only. Destroyed
/// without a value it ends the wait with none.
template <class T>
class Completer {
 public:
  /// @cond internal
  using State = detail::CompletionState<T>;
  explicit Completer(std::shared_ptr<State> state) noexcept : state_(std::move(state)) {}
  /// @endcond
  /// @{
  /// What was moved from gives nothing any more, or what was assigned to.
  Completer(Completer&&) noexcept = default;
  Completer& operator=(Completer&& other) noexcept {
    std::swap(state_, other.state_);
    return *this;
  }
  /// @}
  ~Completer() {  ///< ends the wait with none, unless it was given a value
    finish([](State&) {});
  }

  /// Gives the value that is made from the arguments (none for void); does nothing the second time. The
  /// waiting coroutine resumes on its reactor's thread, not in this call.
  template <class... U>
  void complete(U&&... value) {
    finish([&](State& state) { state.value.emplace(std::forward<U>(value)...); });
  }
  /// As complete(), but the wait throws it.
  void fail(std::exception_ptr error) {
    finish([&](State& state) { state.error = std::move(error); });
  }

 private:
  template <class F>
  void finish(F&& put) {
    const std::shared_ptr<State> state = std::move(state_);
    if (!state) return;
    std::lock_guard lock(state->mutex);
    try {
      put(*state);
    } catch (...) {  // the making of the value: both ends learn of it
      state->error = std::current_exception();
      tell(state);
      throw;
    }
    tell(state);
  }
  /// Under the lock: who waits keeps the mailbox alive.
  static void tell(const std::shared_ptr<State>& state) {
    state->done = true;
    if (state->mailbox == nullptr) return;
    state->mailbox->post([state] {
      if (state->waiting != nullptr) state->waiting->resume(*state->waiting);
    });
  }

  std::shared_ptr<State> state_;
};

/// The end that waits, in a coroutine: `std::optional<T> value = co_await std::move(completion)`, none when
/// the client is gone, the stop ran out of time, or the completer was destroyed without a value. For void, a
/// bool.
template <class T>
class Completion {
 public:
  /// @cond internal
  using State = detail::CompletionState<T>;
  explicit Completion(std::shared_ptr<State> state) noexcept : state_(std::move(state)) {}
  /// @endcond
  /// @{
  /// What was moved from cannot be awaited.
  Completion(Completion&&) noexcept = default;
  Completion& operator=(Completion&&) noexcept = default;
  /// @}

  /// @cond internal
  class [[nodiscard]] Awaiter : State::Waiting {
   public:
    explicit Awaiter(std::shared_ptr<State> state) noexcept : state_(std::move(state)) {
      this->resume = [](State::Waiting& waiting) { static_cast<Awaiter&>(waiting).finish(); };
      this->cancel = [](TaskContext::Waiter& waiter) { static_cast<Awaiter&>(waiter).finish(); };
    }
    Awaiter(const Awaiter&) = delete;
    Awaiter& operator=(const Awaiter&) = delete;
    ~Awaiter() { let_go(); }

    bool await_ready() noexcept { return false; }
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> coroutine) {
      context_ = coroutine.promise().context;
      coroutine_ = coroutine;
      std::lock_guard lock(state_->mutex);
      if (state_->done || context_->cancelled()) return false;
      state_->waiting = this;
      state_->mailbox = &context_->loop().mailbox;
      context_->wait_for(*this);
      return true;
    }
    auto await_resume() {
      std::lock_guard lock(state_->mutex);
      if (state_->error) std::rethrow_exception(state_->error);
      if constexpr (std::is_void_v<T>) {
        return state_->value.has_value();
      } else {
        return std::exchange(state_->value, std::nullopt);
      }
    }

   private:
    void let_go() {
      std::lock_guard lock(state_->mutex);
      state_->mailbox = nullptr;
      state_->waiting = nullptr;
    }
    void finish() {
      let_go();
      context_->resume(coroutine_);
    }

    std::shared_ptr<State> state_;
    TaskContext* context_ = nullptr;
    std::coroutine_handle<> coroutine_;
  };
  /// @endcond
  /// Waits, once. On the thread of the reactor that the coroutine runs on.
  Awaiter operator co_await() && noexcept { return Awaiter(std::move(state_)); }

 private:
  std::shared_ptr<State> state_;
};

/// For answers that come by somebody else's thread or callback:
///
///   auto [completer, completion] = make_completion<Row>();
///   database.find(id, [c = std::move(completer)](Row row) mutable { c.complete(std::move(row)); });
///   std::optional<Row> row = co_await std::move(completion);
template <class T = void>
[[nodiscard]] std::pair<Completer<T>, Completion<T>> make_completion() {
  auto state = std::make_shared<detail::CompletionState<T>>();
  return {Completer<T>(state), Completion<T>(state)};
}

}  // namespace lastcall
