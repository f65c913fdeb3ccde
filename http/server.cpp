#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <lastcall/core/check.hpp>
#include <lastcall/core/log.hpp>
#include <lastcall/core/thread.hpp>
#include <lastcall/http/group_scope.hpp>
#include <lastcall/http/server.hpp>
#include <lastcall/http/server_parts.hpp>
#include <lastcall/http/server_run.hpp>

namespace lastcall {
namespace {

/// Never freed, and not lost either: a thread still uses it.
template <class T>
void keep_for_good(std::unique_ptr<T> object) {
  static std::mutex mutex;
  static auto& kept = *new std::vector<std::unique_ptr<T>>();
  const std::lock_guard lock(mutex);
  kept.push_back(std::move(object));
}

// Forced as soon as it begins; the time is for clients to take what they still get.
constexpr StopOptions kAtOnce{.announce = 0s, .idle_grace = 0s, .deadline = 1s};

/// For whoever has switched the log off: a server that does not start says why all the same.
void tell_start_failed(const std::string& why) {
  log_event(LogLevel::error, "start_failed", {{"error", why}});
  if (!log_enabled(LogLevel::error)) std::fprintf(stderr, "lastcall: %s\n", why.c_str());
}

std::unexpected<Error> closed(std::string why) {
  return std::unexpected(Error{std::move(why), kServerClosed});
}

}  // namespace

struct Server::State {
  explicit State(ServerOptions o) : options(std::move(o)) {}

  ServerOptions options;
  Router router;
  GroupScope scope;  // of all routes
  std::vector<Route> routes;
  std::optional<Error> route_error;  // the first one
  std::vector<StopHook> on_shutdown;
  std::vector<StopHook> on_stopped;
  ReloadHook on_reload;
  std::stop_source drain;
  std::atomic<bool> stopping{false};
  std::thread thread;  // of start()

  struct Wish {
    StopOptions options;
    std::string reason;
    bool at_once = false;
  };

  std::mutex mutex;                       // guards what follows: stop() may come from any thread
  std::optional<ServerOptions> reloaded;  // in place of `options`, which the run refers to
  std::unique_ptr<ServerRun> run;
  std::vector<Wish> early_stops;  // asked for before there was a run
  std::vector<std::pair<std::string, BackgroundTask>> early_tasks;
  uint32_t next_reactor = 0;  // for the next background coroutine from elsewhere
  bool used = false;
  bool over = false;  // the run is, and its outcome about to be known
  bool left_behind = false;
  std::optional<Result<DrainReport>> outcome;  // once the run is over, or can never begin
  std::condition_variable ended;

  void keep_error(const Result<void>& added) {
    if (!added && !route_error) route_error = added.error();
  }
  void check_unused() {
    std::lock_guard lock(mutex);
    if (used) throw std::logic_error("the server is running: routes and hooks come before");
  }
  /// What the run will take for certain.
  [[nodiscard]] size_t most_early_tasks() const noexcept {
    return std::min<size_t>(options.max_background_tasks,
                            options.background_threads + options.background_queue);
  }
  /// As they are now; under the mutex.
  [[nodiscard]] const ServerOptions& current() const noexcept { return reloaded ? *reloaded : options; }
  [[nodiscard]] StopOptions stop_options() {
    const std::lock_guard lock(mutex);
    return current().stop;
  }
  Result<ReloadOutcome> reload(const ServerOptions& wished);
  Result<void> claim();
  Result<ServerRun*> open(bool owns_process);
  ServerRun* publish(std::unique_ptr<ServerRun> opened);
  void ask_to_stop(Wish wish);
  static void pass_on(Runner& runner, Wish wish);
  DrainReport serve(ServerRun& serving);
  void end(Result<DrainReport> how);
  Result<DrainReport> await_end();
  Result<DrainReport> stop_and_wait(Wish wish);
};

Result<void> Server::State::claim() {
  std::lock_guard lock(mutex);
  if (outcome) return closed("this server has been stopped");
  if (std::exchange(used, true)) return closed("this server has been run already");
  return {};
}

/// Listens and serves; on an error, that is the outcome.
Result<ServerRun*> Server::State::open(bool owns_process) {
  if (Result<void> claimed = claim(); !claimed) return std::unexpected(claimed.error());
  Result<std::unique_ptr<ServerRun>> opened;
  if (route_error) {
    opened = std::unexpected(*route_error);
  } else {
    try {
      opened = ServerRun::open({.server = this,
                                .options = options,
                                .router = router,
                                .routes = routes,
                                .drain = drain,
                                .stopping = stopping,
                                .stop_by_admin =
                                    [this] {
                                      ask_to_stop({stop_options(), "POST /drain"});
                                    },
                                .on_shutdown = std::move(on_shutdown),
                                .on_stopped = {std::make_move_iterator(on_stopped.rbegin()),
                                               std::make_move_iterator(on_stopped.rend())},
                                .on_reload = std::move(on_reload),
                                .owns_process = owns_process});
    } catch (const std::exception& failure) {
      opened = error(failure.what());
    }
  }
  if (opened) return publish(std::move(*opened));
  end(std::unexpected(Error{"the server could not start: " + opened.error().message, opened.error().code}));
  return std::unexpected(opened.error());
}

ServerRun* Server::State::publish(std::unique_ptr<ServerRun> opened) {
  std::lock_guard lock(mutex);
  run = std::move(opened);
  for (auto& [name, task] : early_tasks) {
    if (!run->background().start(name, task, 0))
      log_event(LogLevel::error, "background_refused", {{"task", name}});
  }
  early_tasks.clear();
  for (Wish& wish : early_stops) pass_on(run->runner(), std::move(wish));
  early_stops.clear();
  run->tell_ready();
  return run.get();
}

void Server::State::pass_on(Runner& runner, Wish wish) {
  const std::string reason = wish.reason;
  runner.request_stop(wish.options, std::move(wish.reason));
  if (wish.at_once) runner.request_force(reason);
}

void Server::State::ask_to_stop(Wish wish) {
  std::lock_guard lock(mutex);
  if (outcome || over) return;
  stopping.store(true, std::memory_order_relaxed);
  if (run) {
    pass_on(run->runner(), std::move(wish));
  } else {
    early_stops.push_back(std::move(wish));
  }
}

Result<ReloadOutcome> Server::State::reload(const ServerOptions& wished) {
  const std::lock_guard lock(mutex);
  if (stopping.load(std::memory_order_relaxed)) return closed("the server is stopping");
  if (!run) return error("the server does not serve yet");
  ServerOptions merged = current();
  Result<ReloadOutcome> merge = merge_options(merged, wished);
  if (!merge || merge->changed.empty()) return merge;
  if (!run->reload(merged)) return closed("the server is stopping");
  reloaded = std::move(merged);
  return merge;
}

DrainReport Server::State::serve(ServerRun& serving) {
  DrainReport report = serving.serve();
  std::unique_ptr<ServerRun> finished;
  {
    std::lock_guard lock(mutex);
    finished = std::move(run);
    over = true;
    left_behind = finished->left_behind();
  }
  if (left_behind) keep_for_good(std::move(finished));
  return report;
}

void Server::State::end(Result<DrainReport> how) {
  std::lock_guard lock(mutex);
  stopping.store(true, std::memory_order_relaxed);
  if (!outcome) outcome = std::move(how);
  ended.notify_all();
}

Result<DrainReport> Server::State::await_end() {
  std::unique_lock lock(mutex);
  ended.wait(lock, [this] { return outcome.has_value(); });
  return *outcome;
}

Result<DrainReport> Server::State::stop_and_wait(Wish wish) {
  if (is_thread_of(this))
    return error(wish.reason + "() in a handler, task or hook would wait for itself: call stop()");
  {
    std::lock_guard lock(mutex);
    if (!used && !outcome) {
      DrainReport nothing;
      nothing.reason = wish.reason;
      nothing.background.abandoned = early_tasks.size();
      outcome = std::move(nothing);
      stopping.store(true, std::memory_order_relaxed);
    }
  }
  ask_to_stop(std::move(wish));
  return await_end();
}

Server::Server(ServerOptions options) : state_(std::make_unique<State>(std::move(options))) {}

Server::~Server() {
  if (state_->thread.joinable()) {
    static_cast<void>(close());
    state_->thread.join();
  }
  if (state_->left_behind) keep_for_good(std::move(state_));
}

ServerParts Server::parts() const noexcept {
  return {state_->options,     state_->router,   state_->routes,
          state_->route_error, state_->stopping, state_->drain};
}

Server& Server::route(Method method, std::string_view pattern, Handler handler, RouteOptions options) {
  add(state_->scope, method, pattern, std::move(handler), options);
  return *this;
}

Server& Server::any(std::string_view pattern, Handler handler, RouteOptions options) {
  add(state_->scope, std::nullopt, pattern, std::move(handler), options);
  return *this;
}

/// `method`: none for any.
void Server::add(const GroupScope& scope, std::optional<Method> method, std::string_view pattern,
                 Handler handler, const RouteOptions& options) {
  State& state = *state_;
  state.check_unused();
  Result<std::string> whole = scope.pattern(pattern);
  if (!whole) return state.keep_error(std::unexpected(whole.error()));
  const auto number = static_cast<uint32_t>(state.routes.size());
  state.keep_error(method ? state.router.add(*method, *whole, number) : state.router.add_any(*whole, number));
  Route& added =
      state.routes.emplace_back(Route{*whole, scope.wrap(std::move(handler)), scope.options(options)});
  if (state.options.max_in_flight != 0 || !state.options.trusted_proxies.empty()) added.guarded = true;
}

Group Server::group(std::string_view prefix, const RouteOptions& defaults) {
  return {*this, state_->scope.add_group(prefix, defaults)};
}

Server& Server::before(Before function) {
  state_->scope.add(std::move(function));
  return *this;
}

Server& Server::after(After function) {
  state_->scope.add(std::move(function));
  return *this;
}

Server& Server::around(Around function) {
  state_->scope.add(std::move(function));
  return *this;
}

Server& Server::get(std::string_view pattern, Handler handler, RouteOptions options) {
  return route(Method::get, pattern, std::move(handler), options);
}
Server& Server::post(std::string_view pattern, Handler handler, RouteOptions options) {
  return route(Method::post, pattern, std::move(handler), options);
}
Server& Server::put(std::string_view pattern, Handler handler, RouteOptions options) {
  return route(Method::put, pattern, std::move(handler), options);
}
Server& Server::del(std::string_view pattern, Handler handler, RouteOptions options) {
  return route(Method::delete_, pattern, std::move(handler), options);
}
Server& Server::patch(std::string_view pattern, Handler handler, RouteOptions options) {
  return route(Method::patch, pattern, std::move(handler), options);
}

Server& Server::on_shutdown(StopHook hook) {
  state_->check_unused();
  if (!hook) throw std::invalid_argument("an empty hook");
  state_->on_shutdown.push_back(std::move(hook));
  return *this;
}

Server& Server::on_stopped(StopHook hook) {
  state_->check_unused();
  if (!hook) throw std::invalid_argument("an empty hook");
  state_->on_stopped.push_back(std::move(hook));
  return *this;
}

Server& Server::on_reload(ReloadHook hook) {
  state_->check_unused();
  if (!hook) throw std::invalid_argument("an empty hook");
  state_->on_reload = std::move(hook);
  return *this;
}

Result<ReloadOutcome> Server::reload(const ServerOptions& options) {
  return state_->reload(options);
}

bool Server::background(std::string name, BackgroundTask task) {
  const int here = reactor_here(state_.get());
  std::lock_guard lock(state_->mutex);
  if (state_->run) {
    const uint32_t reactor = here >= 0 ? static_cast<uint32_t>(here) : state_->next_reactor++;
    if (state_->run->background().start(name, task, reactor)) return true;
  } else if (!state_->outcome && !state_->over && state_->early_tasks.size() < state_->most_early_tasks()) {
    state_->early_tasks.emplace_back(std::move(name), std::move(task));
    return true;
  }
  log_event(LogLevel::warning, "background_refused", {{"task", name}});
  return false;
}

int Server::run() {
  Result<ServerRun*> serving = state_->open(true);
  if (!serving) {
    tell_start_failed(serving.error().message);
    return 1;
  }
  DrainReport report = state_->serve(**serving);
  if (state_->left_behind) {
    std::fflush(nullptr);
    ::_exit(report.exit_code);
  }
  const int exit_code = report.exit_code;
  state_->end(std::move(report));
  return exit_code;
}

Result<std::vector<std::string>> Server::start() {
  Result<ServerRun*> serving = state_->open(false);
  if (!serving) return std::unexpected(serving.error());
  std::vector<std::string> addresses = (*serving)->addresses();
  const SignalsBlocked blocked;
  auto serve = [state = state_.get(), run = *serving] {
    set_thread_name("lastcall");
    state->end(state->serve(*run));
  };
  try {
    state_->thread = std::thread(serve);
  } catch (const std::system_error& failure) {
    state_->ask_to_stop({.options = kAtOnce, .reason = "no thread", .at_once = true});
    serve();
    return system_error("start", failure.code().value());
  }
  return addresses;
}

Result<DrainReport> Server::wait() {
  if (is_thread_of(state_.get())) return error("wait() on a thread of the server would wait for itself");
  {
    std::lock_guard lock(state_->mutex);
    if (!state_->used && !state_->outcome) return error("wait() before the server was started");
  }
  return state_->await_end();
}

void Server::stop(const StopOptions& options, std::string reason) {
  state_->ask_to_stop({options, std::move(reason)});
}

void Server::stop(std::string reason) {
  stop(state_->stop_options(), std::move(reason));
}

Result<DrainReport> Server::shutdown(const StopOptions& options) {
  return state_->stop_and_wait({options, "shutdown"});
}

Result<DrainReport> Server::shutdown() {
  return shutdown(state_->stop_options());
}

Result<DrainReport> Server::close() {
  return state_->stop_and_wait({.options = kAtOnce, .reason = "close", .at_once = true});
}

bool Server::stopping() const noexcept {
  return state_->stopping.load(std::memory_order_relaxed);
}

std::stop_token Server::drain_token() const noexcept {
  return state_->drain.get_token();
}

}  // namespace lastcall
