#pragma once

#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lastcall/core/error.hpp>
#include <lastcall/core/time.hpp>
#include <lastcall/http/handler.hpp>
#include <lastcall/http/limits.hpp>
#include <lastcall/net/gate_tier.hpp>
#include <lastcall/shutdown/report.hpp>
#include <lastcall/shutdown/stop_options.hpp>

namespace lastcall {

enum class IoChoice : uint8_t { automatic, epoll, io_uring };

struct ServerOptions {
  std::vector<std::string> listen = {
      "127.0.0.1:8080"};              ///< HOST:PORT, [V6]:PORT, :PORT, unix:PATH, fd:N; port 0 picks
  uint32_t reactors = 0;              ///< 0: one per usable CPU
  IoChoice io = IoChoice::automatic;  ///< automatic: io_uring where the kernel lets us, else epoll
  bool pin = false;  ///< reactor i to the i-th usable CPU, connections to the reactor of their CPU
  std::optional<GateTier>
      gate{};        ///< how TCP listeners keep newcomers away at the stop; none: the best that works
  StopOptions stop;  ///< of a stop by signal
  Limits limits;
  Duration header_timeout = 10s;  ///< absolute, for a request head
  Duration body_timeout = 30s;    ///< without a byte of a body
  Duration write_timeout = 30s;   ///< without the client taking a byte
  Duration idle_timeout = 75s;    ///< between two requests
  uint32_t max_connections = 0;   ///< of all reactors; 0: from RLIMIT_NOFILE
  int backlog = 4096;             ///< of each listening socket; the kernel caps it at net.core.somaxconn
  uint32_t offload_threads = 8;   ///< of the worker pool for offload()
  uint32_t offload_queue = 64;    ///< what may wait for one of them
  std::string server_name = "lastcall";  ///< of the Server field
  std::string admin;                     ///< where the admin listener listens, as `listen`; empty: nowhere
  std::string report;  ///< where the drain report goes: a file, "-" for standard output, empty for nowhere
};

/// An HTTP/1.1 server: routes, then run(). Handlers are called by all reactors at once.
///
///   Server server({.listen = {":8080"}});
///   server.get("/users/{id}", [](const Request& request, Response& response) { … });
///   return server.run();
///
/// Patterns are the Router's. A mistake in a pattern is reported by run(). Several servers may live in one
/// process, one of them at a time by run() with signals.
class Server {
 public:
  explicit Server(ServerOptions options = {});
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server();

  /// Registers a handler: `void(const Request&, Response&)`, or a coroutine `Task<>(Request&, Response&)`.
  /// Before run().
  Server& route(Method method, std::string_view pattern, Handler handler, RouteOptions options = {});
  Server& any(std::string_view pattern, Handler handler, RouteOptions options = {});
  Server& get(std::string_view pattern, Handler handler, RouteOptions options = {}) {
    return route(Method::get, pattern, std::move(handler), options);
  }
  Server& post(std::string_view pattern, Handler handler, RouteOptions options = {}) {
    return route(Method::post, pattern, std::move(handler), options);
  }
  Server& put(std::string_view pattern, Handler handler, RouteOptions options = {}) {
    return route(Method::put, pattern, std::move(handler), options);
  }
  Server& del(std::string_view pattern, Handler handler, RouteOptions options = {}) {
    return route(Method::delete_, pattern, std::move(handler), options);
  }
  Server& patch(std::string_view pattern, Handler handler, RouteOptions options = {}) {
    return route(Method::patch, pattern, std::move(handler), options);
  }

  /// Serves until a signal or stop() ends it, gracefully; writes the report; returns the exit code: 0 stopped
  /// with nothing aborted, 1 could not start (or is stopped already), 2 something was cut off. SIGTERM and
  /// SIGINT stop, a second one forces. Once. Where a handler still blocks a thread at the deadline, the
  /// process ends here, by _exit(2).
  int run();

  /// Begins the stop, from any thread, before or during run(). A second call may only shorten it.
  void stop(const StopOptions& options, std::string reason = "stop");
  void stop();

  /// Stops gracefully and waits until run() has ended; returns how the stop went. From any threads, any
  /// number of times: it is one stop with one report, and a later call may only shorten it. Before run() it
  /// ends the server at once: run() is an error from then on. An error when the server could not start, and
  /// on this server's own threads (in its handlers, also in offload()), which would wait for themselves:
  /// stop() is for those. Does not return where run() has to leave threads behind.
  [[nodiscard]] Result<DrainReport> shutdown(const StopOptions& options);
  [[nodiscard]] Result<DrainReport> shutdown();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lastcall
