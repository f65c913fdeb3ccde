#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstdio>
#include <deque>
#include <filesystem>
#include <latch>
#include <optional>
#include <thread>

#include <lastcall/core/clock.hpp>
#include <lastcall/core/log.hpp>
#include <lastcall/core/probe.hpp>
#include <lastcall/core/rlimit.hpp>
#include <lastcall/core/thread.hpp>
#include <lastcall/http/admin.hpp>
#include <lastcall/http/reactor_thread.hpp>
#include <lastcall/http/server.hpp>
#include <lastcall/net/gate.hpp>
#include <lastcall/net/listener.hpp>
#include <lastcall/shutdown/report.hpp>
#include <lastcall/shutdown/runner.hpp>
#include <lastcall/shutdown/signals.hpp>

namespace lastcall {
namespace {

constexpr uint64_t kReservedDescriptors = 64;  // for logs, event descriptors, what handlers open
constexpr uint32_t kMostConnections = 1u << 24;

thread_local const void* working_for = nullptr;  // the server whose reactor or pool thread this is

uint32_t connection_limit(const ServerOptions& options, uint32_t reactors) {
  if (options.max_connections != 0) return std::min(options.max_connections, kMostConnections);
  uint64_t reserved = kReservedDescriptors + reactors * (8 + options.listen.size());
  if (!options.admin.empty()) reserved += AdminListener::kDescriptors;
  uint64_t limit = descriptor_limit();
  uint64_t usable = limit > 2 * reserved ? limit - reserved : limit / 2;
  return static_cast<uint32_t>(std::clamp<uint64_t>(usable, 1, kMostConnections));
}

/// Whether the report can be written at the end, as far as can be seen at the start.
Result<void> check_report(const std::string& path) {
  if (path.empty() || path == "-") return {};
  std::string folder = std::filesystem::path(path).parent_path().string();
  if (folder.empty()) folder = ".";
  bool is_folder = std::filesystem::is_directory(path);
  if (is_folder || ::access(folder.c_str(), W_OK | X_OK) != 0) {
    return system_error("report " + path, is_folder ? EISDIR : errno);
  }
  return {};
}

/// For whoever has switched the log off: a server that does not start says why all the same.
void tell_start_failed(const std::string& why) {
  log_event(LogLevel::error, "start_failed", {{"error", why}});
  if (!log_enabled(LogLevel::error)) std::fprintf(stderr, "lastcall: %s\n", why.c_str());
}

SessionOptions session_options(const ServerOptions& options) {
  return {.limits = options.limits,
          .header_timeout = options.header_timeout,
          .body_timeout = options.body_timeout,
          .idle_timeout = options.idle_timeout};
}

void log_listening(const ListenerGroup& group, uint32_t reactors, const char* io, uint32_t max_connections) {
  log_event(LogLevel::info, "listening",
            {{"address", group.text()},
             {"reactors", reactors},
             {"io", io},
             {"gate", to_string(group.tier())},
             {"max_connections", max_connections}});
  if (group.gate_note().empty()) return;
  log_event(LogLevel::info, "gate_fallback",
            {{"address", group.text()}, {"gate", to_string(group.tier())}, {"why", group.gate_note()}});
}

/// Answers 503 to whoever is in the queue, and ends the connections in order.
void end_listen_queue(int listener, std::vector<QueuedConnection>& queued) {
  constexpr size_t kMost = 4096;
  constexpr std::string_view kAnswer =
      "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n";
  // It may be a blocking one, and must stay so: its reactor may yet come back.
  const timeval patience{.tv_sec = 0, .tv_usec = 1000};
  ::setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  while (queued.size() < kMost) {
    const Fd connection(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!connection) return;
    char request[4096];
    bool asked = false;
    for (int reads = 0; reads < 64 && ::recv(connection.get(), request, sizeof request, 0) > 0; ++reads)
      asked = true;
    if (asked) static_cast<void>(::send(connection.get(), kAnswer.data(), kAnswer.size(), MSG_NOSIGNAL));
    ::shutdown(connection.get(), SHUT_WR);
    queued.push_back({.peer = peer_address(connection.get()), .asked = asked});
  }
}

/// The backend to use, or why not. Says in one line when it falls back.
Result<bool> choose_uring(IoChoice choice) {
  if (choice == IoChoice::epoll) return false;
  Result<void> probe = probe_uring();
  if (probe) return true;
  if (choice == IoChoice::io_uring) return error("--io io_uring: " + probe.error().message);
  log_event(LogLevel::info, "io_fallback", {{"io", "epoll"}, {"why", probe.error().message}});
  return false;
}

}  // namespace

struct Server::State {
  explicit State(ServerOptions o) : options(std::move(o)) {}

  ServerOptions options;
  Router router;
  std::vector<Route> routes;
  std::optional<Error> route_error;  // the first one

  std::mutex mutex;  // guards what follows: stop() may come from any thread
  Runner* active = nullptr;
  std::vector<std::pair<StopOptions, std::string>> early_stops;  // asked for before there was a runner
  bool used = false;
  std::optional<Result<DrainReport>> outcome;  // once run() is over, or can never begin
  std::condition_variable ended;

  void keep_error(const Result<void>& added) {
    if (!added && !route_error) route_error = added.error();
  }
  Result<std::vector<ListenerGroup>> open_listeners(uint32_t reactors) const;
  Result<std::unique_ptr<AdminListener>> open_admin(AdminOptions admin) const;
  AdminOptions describe(const StopControl& control, const std::vector<ListenerGroup>& groups, const char* io,
                        Instant began);
  void ask_to_stop(const StopOptions& wishes, std::string reason);
  Result<int> serve();
  void publish(Runner* r);
  void end(Result<DrainReport> how);
};

/// The reactors' threads of one run, with all they refer to.
class Reactors {
 public:
  Reactors(const void* server, uint32_t count, const ServerOptions& options, uint32_t max_connections)
      : server_(server),
        control_(count),
        session_(session_options(options)),
        pool_(options.offload_threads, options.offload_queue, [server] { working_for = server; }),
        teardown_(1),
        max_connections_(max_connections) {}

  ~Reactors() {
    if (teardown_open_) teardown_.count_down();
    for (std::thread& thread : threads_) thread.join();
  }

  Result<void> start(const ServerOptions& options, const Router& router, const std::vector<Route>& routes,
                     std::vector<ListenerGroup>& groups, bool uring) {
    for (uint32_t i = 0; i < control_.reactors(); ++i) {
      ReactorSetup& setup =
          setups_.emplace_back(ReactorSetup{.worker = {.id = i,
                                                       .max_connections = max_connections_,
                                                       .write_timeout = options.write_timeout,
                                                       .measure_lag = !options.admin.empty()},
                                            .thread_name = "reactor-" + std::to_string(i),
                                            .control = control_,
                                            .session = session_,
                                            .router = router,
                                            .routes = routes,
                                            .pool = pool_,
                                            .server_name = options.server_name,
                                            .pin = options.pin,
                                            .sockets = {},
                                            .strays = {},
                                            .started = {},
                                            .teardown = teardown_});
      for (ListenerGroup& group : groups) {
        setup.sockets.push_back(group.take(i));
        setup.listening.push_back(setup.sockets.back().get());
      }
    }
    for (ListenerGroup& group : groups) {
      for (Fd& stray : group.take_strays()) setups_.front().strays.push_back(std::move(stray));
    }
    std::vector<std::future<Result<void>>> started;
    for (ReactorSetup& setup : setups_) started.push_back(setup.started.get_future());
    for (ReactorSetup& setup : setups_) {
      threads_.emplace_back([&setup, uring, server = server_] {
        working_for = server;
        uring ? run_reactor_on_io_uring(setup) : run_reactor_on_epoll(setup);
      });
    }
    Result<void> result;
    for (auto& future : started) {
      if (Result<void> one = future.get(); !one && result) result = one;
    }
    if (!result) control_.enter(Phase::stopped, {}, "start failed");
    return result;
  }

  /// False when a handler still blocks a thread of the pool at the deadline.
  bool release(Instant deadline) {
    pool_.close();
    if (!pool_.join_until(deadline)) return false;
    teardown_open_ = false;
    teardown_.count_down();
    return true;
  }

  /// Of a reactor that is stuck, so that its listeners are still open: who waits there is told to go
  /// elsewhere.
  [[nodiscard]] std::vector<QueuedConnection> end_queue(uint32_t reactor) {
    std::vector<QueuedConnection> queued;
    for (const int listener : setups_[reactor].listening) end_listen_queue(listener, queued);
    return queued;
  }

  [[nodiscard]] StopControl& control() noexcept { return control_; }
  [[nodiscard]] const OffloadPool& pool() const noexcept { return pool_; }

 private:
  const void* server_;
  StopControl control_;
  SessionOptions session_;
  OffloadPool pool_;
  std::latch teardown_;
  std::deque<ReactorSetup> setups_;
  std::vector<std::thread> threads_;
  uint32_t max_connections_;
  bool teardown_open_ = true;
};

Result<std::vector<ListenerGroup>> Server::State::open_listeners(uint32_t reactors) const {
  std::vector<ListenerGroup> groups;
  GateOptions gate{.tier = options.gate, .cpus = {}};
  if (options.pin) gate.cpus = pinned_cpus(reactors);
  for (const std::string& text : options.listen) {
    Result<Address> address = parse_address(text);
    if (!address) return std::unexpected(address.error());
    Result<ListenerGroup> group = ListenerGroup::open(*address, reactors, options.backlog, gate);
    if (!group) return std::unexpected(group.error());
    groups.push_back(std::move(*group));
  }
  return groups;
}

/// Listens and answers from here on; nothing when it is not wanted.
Result<std::unique_ptr<AdminListener>> Server::State::open_admin(AdminOptions admin) const {
  if (options.admin.empty()) return nullptr;
  Result<ListenerGroup> group = AdminListener::listen(options.admin);
  if (!group) return std::unexpected(group.error());
  auto listener = std::make_unique<AdminListener>(std::move(*group), std::move(admin));
  if (Result<void> started = listener->start(); !started) return std::unexpected(started.error());
  return listener;
}

void Server::State::publish(Runner* r) {
  std::lock_guard lock(mutex);
  active = r;
  if (active == nullptr) return;
  for (auto& [wishes, reason] : early_stops) active->request_stop(wishes, std::move(reason));
  early_stops.clear();
}

void Server::State::ask_to_stop(const StopOptions& wishes, std::string reason) {
  std::lock_guard lock(mutex);
  if (active != nullptr) {
    active->request_stop(wishes, std::move(reason));
  } else if (!outcome) {
    early_stops.emplace_back(wishes, std::move(reason));
  }
}

void Server::State::end(Result<DrainReport> how) {
  std::lock_guard lock(mutex);
  if (!outcome) outcome = std::move(how);
  ended.notify_all();
}

/// What the admin listener tells of: the server that is about to begin.
AdminOptions Server::State::describe(const StopControl& control, const std::vector<ListenerGroup>& groups,
                                     const char* io, Instant began) {
  AdminOptions admin{.control = control,
                     .io = io,
                     .began = began,
                     .listeners = {},
                     .drain = [this] { ask_to_stop(options.stop, "POST /drain"); },
                     .session = session_options(options),
                     .write_timeout = options.write_timeout,
                     .server_name = options.server_name};
  for (const ListenerGroup& group : groups) {
    admin.listeners.push_back({group.text(), std::string(to_string(group.tier())), group.gate_note()});
  }
  return admin;
}

Result<int> Server::State::serve() {
  Instant began = monotonic_now();
  if (route_error) return std::unexpected(*route_error);
  if (options.listen.empty()) return error("no address to listen on");
  if (Result<void> checked = check_report(options.report); !checked) return std::unexpected(checked.error());
  uint32_t reactors = options.reactors != 0 ? options.reactors : usable_cpus();
  Result<bool> uring = choose_uring(options.io);
  if (!uring) return std::unexpected(uring.error());
  Signals signals;
  raise_descriptor_limit();
  Result<std::vector<ListenerGroup>> groups = open_listeners(reactors);
  if (!groups) return std::unexpected(groups.error());

  const char* io = *uring ? "io_uring" : "epoll";
  uint32_t max_connections = connection_limit(options, reactors);
  auto threads = std::make_unique<Reactors>(this, reactors, options, max_connections);
  Gate gate(*groups, threads->control());
  Runner runner(threads->control(),
                {.stop = options.stop,
                 .signals = &signals,
                 .io = io,
                 .on_drain = [&gate] { gate.close(); },
                 .name_peer = peer_address,
                 .end_queue = [&threads](uint32_t reactor) { return threads->end_queue(reactor); },
                 .on_signal = {},
                 .leave_at_deadline = true});
  // The first to answer and the last to leave: whoever watches the process sees all of its life.
  Result<std::unique_ptr<AdminListener>> admin = open_admin(describe(threads->control(), *groups, io, began));
  if (!admin) return std::unexpected(admin.error());
  if (Result<void> started = threads->start(options, router, routes, *groups, *uring); !started) {
    return std::unexpected(started.error());
  }
  publish(&runner);
  for (const ListenerGroup& group : *groups) log_listening(group, reactors, io, max_connections);
  if (*admin) {
    (*admin)->set_serving();
    log_event(LogLevel::info, "admin_listening", {{"address", (*admin)->text()}});
  }
  log_event(LogLevel::info, "ready", {{"pid", ::getpid()}, {"after", monotonic_now() - began}});

  DrainReport report = runner.run();
  publish(nullptr);
  report.gate = gate.report();
  bool released = runner.stuck().empty() && threads->release(runner.deadline());
  if (!released) {
    report.exit_code = 2;
    report.background.abandoned += threads->pool().running();
    log_event(LogLevel::warning, "leaving_threads_behind",
              {{"stuck_reactors", runner.stuck().size()}, {"blocking_handlers", threads->pool().running()}});
  }
  runner.leave_with(report.exit_code);
  signals.leave_on_next(report.exit_code);  // whoever reads the report may keep us waiting
  if (!options.report.empty()) {
    if (Result<void> written = write_report(report, options.report); !written) {
      log_event(LogLevel::error, "report_failed", {{"error", written.error().message}});
    }
  }
  admin->reset();
  if (!released) {  // a thread is still inside a handler: nothing it may use can be freed
    groups->clear();
    std::fflush(nullptr);
    ::_exit(report.exit_code);
  }
  const int exit_code = report.exit_code;
  end(std::move(report));
  return exit_code;
}

Server::Server(ServerOptions options) : state_(std::make_unique<State>(std::move(options))) {}
Server::~Server() = default;

Server& Server::route(Method method, std::string_view pattern, Handler handler, RouteOptions options) {
  state_->keep_error(state_->router.add(method, pattern, static_cast<uint32_t>(state_->routes.size())));
  state_->routes.push_back({std::string(pattern), std::move(handler), options});
  return *this;
}

Server& Server::any(std::string_view pattern, Handler handler, RouteOptions options) {
  state_->keep_error(state_->router.add_any(pattern, static_cast<uint32_t>(state_->routes.size())));
  state_->routes.push_back({std::string(pattern), std::move(handler), options});
  return *this;
}

int Server::run() {
  {
    std::lock_guard lock(state_->mutex);
    const bool stopped = state_->outcome.has_value();
    if (std::exchange(state_->used, true) || stopped) {
      tell_start_failed(stopped ? "this server has been stopped" : "this server has been run already");
      return 1;
    }
  }
  std::string why;
  try {
    Result<int> served = state_->serve();
    if (served) return *served;
    why = served.error().message;
  } catch (const std::exception& failure) {
    why = failure.what();
  }
  tell_start_failed(why);
  state_->end(error("the server could not start: " + why));
  return 1;
}

Result<DrainReport> Server::shutdown(const StopOptions& options) {
  if (working_for == state_.get())
    return error("shutdown() in a handler would wait for the handler: call stop()");
  {
    std::lock_guard lock(state_->mutex);
    if (!state_->used && !state_->outcome) {
      DrainReport nothing;
      nothing.reason = "shutdown";
      state_->outcome = std::move(nothing);
    }
  }
  stop(options, "shutdown");
  std::unique_lock lock(state_->mutex);
  state_->ended.wait(lock, [this] { return state_->outcome.has_value(); });
  return *state_->outcome;
}

Result<DrainReport> Server::shutdown() {
  return shutdown(state_->options.stop);
}

void Server::stop(const StopOptions& options, std::string reason) {
  state_->ask_to_stop(options, std::move(reason));
}

void Server::stop() {
  stop(state_->options.stop);
}

}  // namespace lastcall
