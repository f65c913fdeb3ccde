#pragma once

#include <deque>
#include <latch>
#include <thread>
#include <vector>

#include <lastcall/core/error.hpp>
#include <lastcall/http/background.hpp>
#include <lastcall/http/reactor_thread.hpp>
#include <lastcall/net/listener.hpp>
#include <lastcall/shutdown/runner.hpp>

namespace lastcall {

struct Admission;
struct ServerOptions;

/// Whether the calling thread is one of that server's own, and which reactor's (-1: another one's).
[[nodiscard]] bool is_thread_of(const void* server) noexcept;
[[nodiscard]] int reactor_here(const void* server) noexcept;
/// The calling thread works for that server from here on.
void work_for(const void* server) noexcept;

/// The reactors' threads of one run, with all they refer to.
class ReactorThreads {
 public:
  ReactorThreads(const void* server, const ServerOptions& options, Admission& admission, uint32_t count,
                 uint32_t max_connections);
  ReactorThreads(const ReactorThreads&) = delete;
  ReactorThreads& operator=(const ReactorThreads&) = delete;
  ~ReactorThreads();

  /// Before start(): each publishes how late its loop is, whatever the options say.
  void measure_lag() noexcept { measure_lag_ = true; }
  /// Serves from the groups' sockets, with `later` from listen() on; on an error nothing is left running.
  [[nodiscard]] Result<void> start(const Router& router, const std::vector<Route>& routes,
                                   std::vector<ListenerGroup>& groups, BackgroundTasks& background,
                                   bool uring, bool later);
  void listen();
  /// Another process has the listeners, too; or not any more.
  void sweep_listeners(bool shared);
  /// Gives a connection to one of the reactors. One thread at a time, before release().
  void adopt(Fd connection, std::string note);
  /// Each reactor takes what may change of the options at its next turn. From any thread, before release().
  void reload(const ServerOptions& options, uint32_t max_connections);
  /// After the stop: lets the pool end, then joins the threads. False when a handler still blocks a thread of
  /// the pool at the deadline: then this object must live for ever.
  [[nodiscard]] bool release(Instant deadline);
  /// Of a reactor that is stuck, so that its listeners are still open: who waits there is told to go
  /// elsewhere. `for_good`: the process lives on, and nobody is to wait there again.
  [[nodiscard]] std::vector<QueuedConnection> end_queue(uint32_t reactor, bool for_good);

  [[nodiscard]] StopControl& control() noexcept { return control_; }
  /// One a reactor, there as long as this object.
  [[nodiscard]] std::deque<RequestDesk>& desks() noexcept { return desks_; }
  [[nodiscard]] const OffloadPool& pool() const noexcept { return pool_; }

 private:
  void prepare(const Router& router, const std::vector<Route>& routes, std::vector<ListenerGroup>& groups,
               BackgroundTasks& background, bool later);
  void join();

  const void* server_;
  const ServerOptions& options_;
  StopControl control_;
  SessionOptions session_;
  OffloadPool pool_;
  std::latch teardown_;
  std::deque<RequestDesk> desks_;
  std::deque<ReactorSetup> setups_;
  std::vector<std::thread> threads_;
  uint32_t max_connections_;
  uint32_t next_to_adopt_ = 0;
  bool teardown_open_ = true;
  bool measure_lag_ = false;
};

}  // namespace lastcall
