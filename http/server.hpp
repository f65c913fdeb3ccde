#pragma once

#include <cerrno>
#include <concepts>
#include <csignal>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lastcall/core/error.hpp>
#include <lastcall/core/time.hpp>
#include <lastcall/http/background_task.hpp>
#include <lastcall/http/forwarded_header.hpp>
#include <lastcall/http/group.hpp>
#include <lastcall/http/limits.hpp>
#include <lastcall/http/reload.hpp>
#include <lastcall/net/gate_tier.hpp>
#include <lastcall/shutdown/report.hpp>
#include <lastcall/shutdown/stop_options.hpp>

namespace lastcall {

struct ServerParts;

/// How the server does its I/O.
enum class IoChoice : uint8_t { automatic, epoll, io_uring };

/// What a server is made with; all of it may be left as it is. An address or a signal that cannot be had is
/// an error of run() and start().
struct ServerOptions {
  std::vector<std::string> listen = {
      "127.0.0.1:8080"};  ///< HOST:PORT, [V6]:PORT, :PORT, unix:PATH, fd:N; port 0 picks. With run()
                          ///< also fd:NAME: all sockets that systemd passed by that name
  uint32_t reactors = 0;  ///< 0: one per usable CPU
  IoChoice io = IoChoice::automatic;  ///< automatic: io_uring where the kernel lets us, else epoll
  bool pin = false;  ///< reactor i to the i-th usable CPU, connections to the reactor of their CPU
  std::optional<GateTier>
      gate{};          ///< how TCP listeners keep newcomers away at the stop; none: the best that works
  StopOptions stop{};  ///< of a stop by signal, or where no others are given
  Limits limits{};     ///< of what a client may send
  Duration header_timeout = 10s;  ///< absolute, for a request head
  Duration body_timeout = 30s;    ///< without a byte of a body
  Duration write_timeout = 30s;   ///< without the client taking a byte
  Duration idle_timeout = 75s;    ///< between two requests
  uint32_t max_connections = 0;   ///< of all reactors; 0: from RLIMIT_NOFILE
  /// Connections of one client (an IPv4 address, or the /64 of an IPv6 address) on all reactors; more are
  /// answered 503. 0: as many as come. Not of trusted proxies and Unix sockets.
  uint32_t max_connections_per_client = 0;
  /// Requests being handled, on all reactors, from their head to the end of answer and handler; more are
  /// answered 503. 0: as many as come. A WebSocket or an event stream is one as long as it lasts.
  uint32_t max_in_flight = 0;
  bool unready_when_full = false;  ///< /readyz of the admin listener is 503 while max_connections or
                                   ///< max_in_flight is reached, until both are below 90 % again
  std::vector<std::string> proxy_protocol{};  ///< which of `listen` begin with a PROXY header (version 1 or
                                              ///< 2), or "all"; only trusted proxies may connect there
  /// Whose word counts for whom they speak: addresses, networks ("10.0.0.0/8"), "loopback", "unix".
  std::vector<std::string> trusted_proxies{};
  std::optional<ForwardedHeader> forwarded_header{};  ///< that trusted proxies name their client in; none:
                                                      ///< X-Forwarded-For where there are trusted proxies
  int backlog = 4096;                ///< of each listening socket; the kernel caps it at net.core.somaxconn
  uint32_t offload_threads = 8;      ///< of the worker pool for offload(), from 1
  uint32_t offload_queue = 64;       ///< what may wait for one of them
  uint32_t background_threads = 8;   ///< for background tasks that block, from 1
  uint32_t background_queue = 1024;  ///< what may wait for one of them
  uint32_t max_background_tasks = 10'000;        ///< of both kinds, that have not ended
  std::vector<int> signals = {SIGTERM, SIGINT};  ///< that run() takes: TERM, INT, QUIT stop; USR2 replaces
                                                 ///< the process by a new one; HUP is for on_reload(); USR1
                                                 ///< is logged. Others of the program keep their handlers
  Duration upgrade_timeout = 60s;                ///< for the new process to become ready; then it is killed
  bool fd_store = false;  ///< of run(): the service manager keeps the TCP listeners for the next process
                          ///< (systemd: FileDescriptorStoreMax=)
  std::string server_name = "lastcall";  ///< of the Server field
  std::string admin{};                   ///< where the admin listener listens, as `listen`; empty: nowhere
  std::string report{};  ///< where the drain report goes: a file, "-" for standard output, empty for nowhere
};

/// Called with SIGHUP: see Server::on_reload. May block and may throw.
using ReloadHook = std::move_only_function<Result<void>()>;

/// The code of the error of a server that has been stopped, or is being used a second time.
inline constexpr int kServerClosed = ESHUTDOWN;

/// An HTTP/1.1 server: routes, then run(), or start() and shutdown(). Handlers are called by all reactors at
/// once.
///
///   Server server({.listen = {":8080"}});
///   server.get("/users/{id}", [](const Request& request, Response& response) { … });
///   return server.run();
///
/// Patterns are the Router's. A mistake in a pattern is reported by run() and start(). A server is used once.
/// Several may live in one process, one of them at a time by run() with signals.
class Server {
 public:
  /// Only keeps the options: no thread, no descriptor, no signal before run() or start().
  explicit Server(ServerOptions options = {});
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  /// close(), where start() was called. Not while another thread is in run() or another member.
  ~Server();

  /// Registers a handler: `void(const Request&, Response&)`, or a coroutine `Task<>(Request&, Response&)`.
  /// Throws std::logic_error after run() or start(). Not from several threads at once.
  Server& route(Method method, std::string_view pattern, Handler handler, RouteOptions options = {});
  /// For every method that has no route of its own on this pattern.
  Server& any(std::string_view pattern, Handler handler, RouteOptions options = {});
  /// @{
  /// HEAD is answered by the route for GET, and OPTIONS by itself, where they have none of their own.
  Server& get(std::string_view pattern, Handler handler, RouteOptions options = {});
  Server& post(std::string_view pattern, Handler handler, RouteOptions options = {});
  Server& put(std::string_view pattern, Handler handler, RouteOptions options = {});
  Server& del(std::string_view pattern, Handler handler, RouteOptions options = {});
  Server& patch(std::string_view pattern, Handler handler, RouteOptions options = {});
  /// @}

  /// Routes with a common prefix; see Group.
  [[nodiscard]] Group group(std::string_view prefix, const RouteOptions& defaults = {});
  /// @{
  /// Around the handlers of all routes that are registered after it, those of groups included; see Before for
  /// their order.
  Server& before(Before function);
  Server& after(After function);
  Server& around(Around function);
  /// @}

  /// Called when a stop begins, by threads of their own, all at once; the stop waits for them until its
  /// deadline. What one throws is logged and makes the exit code 3. Before run() or start().
  Server& on_shutdown(StopHook hook);
  /// Called when everything else has ended, one after the other, the last one registered first, inside the
  /// deadline; failures as above. Skipped when a handler could not be ended: it may use what they clean up.
  Server& on_stopped(StopHook hook);

  /// Called with SIGHUP, where it is among the signals of run(): reads the configuration and calls reload().
  /// On a thread of its own, which may take its time; of signals that come meanwhile one more call is made.
  /// An error or an exception is logged (`reload_failed`), and the server goes on as it was. Not called from
  /// the moment a stop begins. Before run().
  Server& on_reload(ReloadHook hook);
  /// Takes over other options while the server runs: times, limits, and how a stop goes (all of `stop`, the
  /// timeouts, `limits`, `max_connections`). What differs in the others is told in `ignored`, and stays; an
  /// error names the option that cannot be, and nothing is taken over. Each reactor goes by them from its
  /// next turn on: connections that are idle already, too, while a request under way keeps the rules that it
  /// began with (the routes' own limits stay, as they come first). From any thread; an error before the
  /// server serves, and when a stop has begun (code kServerClosed).
  [[nodiscard]] Result<ReloadOutcome> reload(const ServerOptions& options);

  /// Runs work that answers nobody: a function that may block, `void()` or `void(std::stop_token)`, on a
  /// thread of a pool of its own, or a coroutine, `Task<>()` or `Task<>(std::stop_token)`, on a reactor (of a
  /// handler that calls this: on its own). A stop waits for it; forcing requests a stop on the token, and
  /// what is then still running counts as abandoned. What it throws is logged by `name`, counted as failed,
  /// and makes the exit code 3. From any thread; before run() or start() it begins with them. False when
  /// there are too many or the stop is over: nothing ran.
  bool background(std::string name, BackgroundTask task);

  /// Serves until a signal or stop() ends it, gracefully; writes the report; returns the exit code: 0 stopped
  /// with nothing aborted, 1 could not start (or is stopped already), 2 something was cut off, 3 a hook or
  /// background task failed. The first of the signals in the options stops, a second one forces. Where a
  /// handler still blocks a thread at the deadline, the process ends here, by _exit(2).
  int run();

  /// Serves from here on, on threads of its own, and returns the addresses, with the ports in use, in the
  /// order of the options; for programs that own their main loop. Takes no signals. The error says what could
  /// not be had; its code is kServerClosed when this server is in use or has been stopped.
  [[nodiscard]] Result<std::vector<std::string>> start();
  /// Waits until the server has stopped, however that came; returns how it went. An error before run() and
  /// start(), and where shutdown() gives one. From any threads but the server's own, any number of times.
  [[nodiscard]] Result<DrainReport> wait();

  /// Begins the stop, from any thread, before or during run(). A second call may only shorten it.
  void stop(const StopOptions& options, std::string reason = "stop");
  /// … with the options of the server.
  void stop(std::string reason = "stop");

  /// Stops gracefully and waits until that is done; returns how the stop went. From any threads, any number
  /// of times: it is one stop with one report, and a later call may only shorten it. Before run() and start()
  /// it ends the server at once: they are an error from then on. An error when the server could not start,
  /// and on this server's own threads (in its handlers, tasks and hooks, also in offload()), which would wait
  /// for themselves: stop() is for those. Does not return where run() has to leave threads behind; after
  /// start() it does, with exit_code 2, and what they use is never freed.
  [[nodiscard]] Result<DrainReport> shutdown(const StopOptions& options);
  /// … with the options of the server.
  [[nodiscard]] Result<DrainReport> shutdown();
  /// Stops at once: idle connections are closed, whoever waits for an answer gets 503, or a part of it. Else
  /// as shutdown(); takes up to half a second, for clients that are slow to take that.
  Result<DrainReport> close();

  /// A stop has begun, or the server has stopped. From any thread.
  [[nodiscard]] bool stopping() const noexcept;
  /// Requested when draining begins: work that goes on and on should end. From any thread, good for ever.
  [[nodiscard]] std::stop_token drain_token() const noexcept;

 private:
  friend class Group;
  friend class TestClient;
  void add(const GroupScope& scope, std::optional<Method> method, std::string_view pattern, Handler handler,
           const RouteOptions& options);
  [[nodiscard]] ServerParts parts() const noexcept;

  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lastcall
