#pragma once

#include <coroutine>
#include <exception>
#include <expected>
#include <optional>
#include <stop_token>
#include <type_traits>
#include <utility>
#include <variant>

#include <lastcall/core/check.hpp>
#include <lastcall/net/link.hpp>
#include <lastcall/net/worker_pool.hpp>

namespace lastcall {

/// @cond internal
/// What a chain of coroutines shares (those of one request, or of one background task): the reactor they run
/// on, what they wait for, whether to give up. It waits for one thing at a time. Owner thread only.
class TaskContext {
 public:
  /// `finished(context)` is called when the outermost task has ended and control is back outside of it.
  TaskContext(Loop& loop, OffloadPool& pool, void (*finished)(TaskContext&)) noexcept
      : loop_(loop), pool_(pool), finished_(finished) {}
  TaskContext(const TaskContext&) = delete;
  TaskContext& operator=(const TaskContext&) = delete;

  /// Something a coroutine waits for that can be given up: cancel is called at most once, and resumes it.
  struct Waiter {
    void (*cancel)(Waiter&) = nullptr;
  };

  [[nodiscard]] Loop& loop() noexcept { return loop_; }
  [[nodiscard]] OffloadPool& pool() noexcept { return pool_; }
  /// The peer is gone or the stop has run out of time: nobody waits for the answer.
  [[nodiscard]] bool cancelled() const noexcept { return cancelled_; }
  /// … as a token, for callbacks and other threads. Made when first asked for.
  [[nodiscard]] std::stop_token stop_token() {
    if (!stop_.stop_possible()) {
      stop_ = std::stop_source();
      if (cancelled_) stop_.request_stop();
    }
    return stop_.get_token();
  }

  /// Runs a coroutine of this context until it waits again. Every resumption goes through here.
  void resume(std::coroutine_handle<> coroutine) {
    waiter_ = nullptr;
    begin_handler();
    coroutine.resume();
    end_handler();
    if (done_) finished_(*this);
  }

  void wait_for(Waiter& waiter) noexcept { waiter_ = &waiter; }

  /// Cuts short what is waited for now (but not work on another thread); later waits are as long as they are.
  void cancel() {
    cancelled_ = true;
    if (stop_.stop_possible()) stop_.request_stop();
    Waiter* waiter = std::exchange(waiter_, nullptr);
    if (waiter != nullptr) waiter->cancel(*waiter);
  }

  /// What a report says of it when it is stuck; before the first begin_handler().
  void set_handler(const RunningHandler& handler) noexcept { handler_ = handler; }
  /// Around everything that a handler does on the reactor.
  void begin_handler() noexcept { loop_.counters.handler.store(&handler_, std::memory_order_release); }
  void end_handler() noexcept { loop_.counters.handler.store(nullptr, std::memory_order_relaxed); }
  void outermost_done() noexcept { done_ = true; }
  void reset() noexcept {
    waiter_ = nullptr;
    cancelled_ = done_ = false;
    if (stop_.stop_possible()) stop_ = std::stop_source(std::nostopstate);
  }

 private:
  Loop& loop_;
  OffloadPool& pool_;
  void (*finished_)(TaskContext&);
  Waiter* waiter_ = nullptr;
  std::stop_source stop_{std::nostopstate};
  RunningHandler handler_;
  bool cancelled_ = false;
  bool done_ = false;
};

/// @endcond

template <class T>
class Task;

namespace detail {

struct TaskPromiseBase {
  TaskContext* context = nullptr;
  std::coroutine_handle<> continuation;  // none: the outermost task
  std::exception_ptr error;

  std::suspend_always initial_suspend() noexcept { return {}; }
  struct Final {
    bool await_ready() noexcept { return false; }
    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> ended) noexcept {
      TaskPromiseBase& promise = ended.promise();
      if (promise.continuation) return promise.continuation;
      promise.context->outermost_done();
      return std::noop_coroutine();
    }
    void await_resume() noexcept {}
  };
  Final final_suspend() noexcept { return {}; }
  void unhandled_exception() noexcept { error = std::current_exception(); }
};

template <class T>
struct TaskPromise : TaskPromiseBase {
  std::optional<T> value;
  Task<T> get_return_object() noexcept;
  template <class U>
  void return_value(U&& result) {
    value.emplace(std::forward<U>(result));
  }
  T take() { return std::move(*value); }
};

template <>
struct TaskPromise<void> : TaskPromiseBase {
  Task<void> get_return_object() noexcept;
  void return_void() noexcept {}
  void take() noexcept {}
};

}  // namespace detail

/// A coroutine of a handler: starts when awaited (or when the server runs it), resumes on its reactor's
/// thread, ends with a T or an exception, which the awaiting coroutine receives. Move-only. One that waits
/// for the worker pool must not be destroyed.
template <class T = void>
class [[nodiscard]] Task {
 public:
  /// @cond internal
  using promise_type = detail::TaskPromise<T>;
  using Handle = std::coroutine_handle<promise_type>;

  explicit Task(Handle handle) noexcept : handle_(handle) {}
  /// @endcond

  Task() = default;  ///< none: may only be assigned to, destroyed or asked whether it is one
  /// @{
  /// What was moved from is none, or what was assigned to.
  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
  Task& operator=(Task&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  /// @}
  /// With all that it and the coroutines it awaits hold, also where it waits.
  ~Task() {
    if (handle_) handle_.destroy();
  }

  /// There is a coroutine.
  [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(handle_); }

  /// @cond internal
  struct Awaiter {
    Handle child;
    bool await_ready() noexcept { return false; }
    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> parent) noexcept {
      child.promise().context = parent.promise().context;
      child.promise().continuation = parent;
      return child;
    }
    T await_resume() {
      if (child.promise().error) std::rethrow_exception(child.promise().error);
      return child.promise().take();
    }
  };
  /// @endcond
  /// `co_await std::move(task)`, once: runs it to its end; gives its T, or throws what it threw.
  Awaiter operator co_await() && noexcept { return {handle_}; }

  /// @cond internal
  /// For the server: runs it as the outermost task of a context.
  void start(TaskContext& context) {
    handle_.promise().context = &context;
    context.resume(handle_);
  }
  /// For the server, once it has ended: what it threw, if anything.
  [[nodiscard]] std::exception_ptr error() const noexcept { return handle_.promise().error; }
  /// @endcond

 private:
  Handle handle_;
};

template <class T>
Task<T> detail::TaskPromise<T>::get_return_object() noexcept {
  return Task<T>(std::coroutine_handle<TaskPromise<T>>::from_promise(*this));
}
inline Task<void> detail::TaskPromise<void>::get_return_object() noexcept {
  return Task<void>(std::coroutine_handle<TaskPromise<void>>::from_promise(*this));
}

/// `co_await sleep_for(250ms)`: waits on a timer of the reactor, no thread. True after the whole time, false
/// when it was cut short because the client is gone or the stop ran out of time. With a token, also by a stop
/// request on that, from whichever thread: `sleep_for(1s, request.drain_token())`. Where that was
/// requested before it lasts until the reactor's next turn: others have theirs.
class [[nodiscard]] SleepFor : TaskTimer, TaskContext::Waiter {
 public:
  /// Duration::max(): no timer, only the token or the end of the request. What is not positive: until the
  /// reactor's next turn.
  explicit SleepFor(Duration duration, std::stop_token token = {}) noexcept
      : TaskTimer([](TaskTimer& timer) { static_cast<SleepFor&>(timer).finish(true); }),
        duration_(duration),
        token_(std::move(token)) {
    Waiter::cancel = [](Waiter& waiter) { static_cast<SleepFor&>(waiter).finish(false); };
  }

  SleepFor(const SleepFor&) = delete;
  SleepFor& operator=(const SleepFor&) = delete;
  ~SleepFor() {
    requested_.reset();
    if (armed()) context_->loop().timers.cancel(*this);
  }

  bool await_ready() noexcept { return false; }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> coroutine) {
    context_ = coroutine.promise().context;
    coroutine_ = coroutine;
    context_->wait_for(*this);
    if (duration_ == Duration::max() && context_->cancelled()) return Requested{*this}();  // it would not end
    if (duration_ != Duration::max())
      context_->loop().timers.arm(*this, after(context_->loop().now, duration_));
    if (token_.stop_possible()) requested_.emplace(token_, Requested{*this});
  }
  bool await_resume() noexcept { return whole_; }

 private:
  /// Called by whoever requests the stop, inside that call, on any thread: the rest is for the reactor.
  struct Requested {
    SleepFor& sleep;
    void operator()() const {
      sleep.posted_ = sleep.context_->loop().mailbox.post([&s = sleep] { s.on_mail(); });
    }
  };

  void on_mail() {
    requested_.reset();  // waits until the callback has returned
    posted_ = false;
    finish(whole_);
  }
  void finish(bool whole) {
    whole_ = whole;
    if (armed()) context_->loop().timers.cancel(*this);
    requested_.reset();
    if (posted_) return;  // the mail is on its way, and resumes
    context_->resume(coroutine_);
  }

  Duration duration_;
  std::stop_token token_;
  TaskContext* context_ = nullptr;
  std::coroutine_handle<> coroutine_;
  std::optional<std::stop_callback<Requested>> requested_;
  bool posted_ = false;  // written by the callback, read once that cannot run any more
  bool whole_ = false;
};

/// @{
/// See SleepFor. In a coroutine on a reactor only: of a handler, or a background task.
inline SleepFor sleep_for(Duration duration) noexcept {
  return SleepFor(duration);
}
inline SleepFor sleep_for(Duration duration, std::stop_token token) noexcept {
  return SleepFor(duration, std::move(token));
}
/// @}
/// `co_await until(token)`: waits for a stop request on the token, or until nobody waits for the answer.
inline SleepFor until(std::stop_token token) noexcept {
  return SleepFor(Duration::max(), std::move(token));
}

/// The worker pool's queue was full, or the server is past its stop: nothing ran. Answer 503 with
/// Retry-After; a handler that takes the value() all the same is answered for so.
struct OffloadRejected {};

/// `co_await offload([&] { return db.find(id); })`: runs a blocking function on a thread of the worker pool
/// (the server's, or the one given: `offload(pool, f)`) and resumes on the reactor with std::expected<its
/// result, OffloadRejected>. What it throws is thrown here.
/// A function that runs cannot be cancelled; what it refers to stays alive until it has returned.
///
/// One that has a name is used in its place, and must stay there: `auto find = [id] { … }; co_await
/// offload(find)`. g++ before 13 destroys what a lambda inside a co_await expression has captured twice, so
/// with these, what captures more than references and plain values must have a name.
template <class F>
class [[nodiscard]] Offload {
 public:
  using Value = std::invoke_result_t<F&>;  ///< what the function returns
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 13
  static_assert(
      std::is_lvalue_reference_v<F> || std::is_trivially_destructible_v<F>,
      "give the function a name (auto f = [...] {...}; co_await offload(f)): this compiler destroys the "
      "captures of a lambda inside a co_await expression twice");
#endif

  /// For offload(). Nothing runs before it is awaited.
  explicit Offload(F&& function) : function_(std::forward<F>(function)) {}
  /// … on a pool of one's own.
  Offload(WorkerPool& pool, F&& function) : function_(std::forward<F>(function)), pool_(&pool.pool_) {}

  bool await_ready() noexcept {
    return false;
  }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> coroutine) {
    context_ = coroutine.promise().context;
    if (context_->cancelled()) return false;
    coroutine_ = coroutine;
    // From the moment of submission on another thread may be in run(); this object lives in the waiting
    // coroutine.
    accepted_ = true;
    OffloadPool& home = context_->pool();
    auto work = [this] { run(); };
    if (pool_ == nullptr ? home.try_submit(work) : home.try_submit_to(*pool_, work)) return true;
    accepted_ = false;
    return false;
  }
  std::expected<Value, OffloadRejected> await_resume() {
    if (!accepted_) return std::unexpected(OffloadRejected{});
    if (error_) std::rethrow_exception(error_);
    if constexpr (std::is_void_v<Value>) {
      return {};
    } else {
      return std::move(*value_);
    }
  }

 private:
  void run() {
    try {
      if constexpr (std::is_void_v<Value>) {
        function_();
      } else {
        value_.emplace(function_());
      }
    } catch (...) {
      error_ = std::current_exception();
    }
    context_->loop().mailbox.post([this] { context_->resume(coroutine_); });
  }

  using Storage = std::conditional_t<std::is_void_v<Value>, std::monostate, Value>;
  F function_;
  OffloadPool* pool_ = nullptr;  // none: the server's
  TaskContext* context_ = nullptr;
  std::coroutine_handle<> coroutine_;
  std::optional<Storage> value_;
  std::exception_ptr error_;
  bool accepted_ = false;
};

/// See Offload. In a coroutine on a reactor only. `function` is called once, without arguments, and must not
/// use the request's or the reactor's objects but for values and views of theirs.
template <class F>
Offload<F> offload(F&& function) {
  return Offload<F>(std::forward<F>(function));
}
/// … on a pool of one's own.
template <class F>
Offload<F> offload(WorkerPool& pool, F&& function) {
  return Offload<F>(pool, std::forward<F>(function));
}

}  // namespace lastcall
