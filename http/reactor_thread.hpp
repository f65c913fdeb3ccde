#pragma once

#include <atomic>
#include <functional>
#include <future>
#include <latch>
#include <string>
#include <utility>
#include <vector>

#include <lastcall/core/error.hpp>
#include <lastcall/core/fd.hpp>
#include <lastcall/http/exchange.hpp>
#include <lastcall/http/reactor_tasks.hpp>
#include <lastcall/http/request_survey.hpp>
#include <lastcall/net/worker.hpp>

namespace lastcall {

struct ListeningSocket {
  Fd fd;
  uint32_t address = 0;             ///< which of the server's
  Preface preface = Preface::none;  ///< what its connections begin with
};

/// What the thread of one reactor is given, and what it tells back.
struct ReactorSetup {
  WorkerOptions worker;
  std::string thread_name;
  StopControl& control;
  const SessionOptions& session;
  const Router& router;
  const std::vector<Route>& routes;
  OffloadPool& pool;
  const std::string& server_name;
  std::stop_token cancel{};  ///< of background tasks
  bool pin = false;
  std::vector<ListeningSocket> sockets;
  std::vector<int> listening{};                ///< what `sockets` holds until the thread takes them
  std::vector<std::pair<Fd, Preface>> strays;  ///< connections that were accepted already
  ReactorTasks* tasks = nullptr;               ///< set by the thread before `started`, as the next
  /// Takes `sockets` and `strays` of this setup, where that was put off; and a connection of another process.
  /// From any thread, as long as the reactor's has not been joined.
  std::function<void()> listen{};
  std::function<void(Fd, std::string note)> adopt{};
  std::function<void(bool)> sweep{};  ///< Worker::sweep_listeners()
  bool listens_later = false;         ///< when `listen` is called
  /// Other options from the reactor's next turn on: set by the thread before `started`, for any thread, as
  /// long as the reactor has not left.
  std::function<void(const WorkerOptions&, const SessionOptions&)> reload{};
  std::promise<Result<void>> started;  ///< set once: it accepts, or why it cannot
  std::latch& teardown;                ///< the worker pool has let go of every handler: memory may be freed
  RequestDesk* desk = nullptr;         ///< where its requests can be asked for; none: nowhere
};

/// The body of a reactor's thread on each backend: the only places where a backend meets HTTP.
void run_reactor_on_epoll(ReactorSetup& setup);
void run_reactor_on_io_uring(ReactorSetup& setup);

}  // namespace lastcall
