#include <sys/socket.h>

#include <string>
#include <utility>

#include <lastcall/core/thread.hpp>
#include <lastcall/http/admission.hpp>
#include <lastcall/http/reactor_threads.hpp>
#include <lastcall/http/server.hpp>
#include <lastcall/http/server_run.hpp>
#include <lastcall/net/listen_queue.hpp>

namespace lastcall {
namespace {

constexpr std::string_view kStuckAnswer =
    "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n";

thread_local const void* working_for = nullptr;
thread_local int reactor_number = -1;

}  // namespace

bool is_thread_of(const void* server) noexcept {
  return working_for == server;
}

int reactor_here(const void* server) noexcept {
  return working_for == server ? reactor_number : -1;
}

void work_for(const void* server) noexcept {
  working_for = server;
}

ReactorThreads::ReactorThreads(const void* server, const ServerOptions& options, Admission& admission,
                               uint32_t count, uint32_t max_connections)
    : server_(server),
      options_(options),
      control_(count),
      session_(session_options(options)),
      pool_(options.offload_threads, options.offload_queue, [server] { work_for(server); }),
      teardown_(1),
      desks_(count),
      max_connections_(max_connections) {
  session_.admission = &admission;
}

ReactorThreads::~ReactorThreads() {
  join();
}

void ReactorThreads::join() {
  if (std::exchange(teardown_open_, false)) teardown_.count_down();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void ReactorThreads::prepare(const Router& router, const std::vector<Route>& routes,
                             std::vector<ListenerGroup>& groups, BackgroundTasks& background, bool later) {
  for (uint32_t i = 0; i < control_.reactors(); ++i) {
    ReactorSetup& setup =
        setups_.emplace_back(ReactorSetup{.worker = {.id = i,
                                                     .max_connections = max_connections_,
                                                     .write_timeout = options_.write_timeout,
                                                     .measure_lag = measure_lag_ || !options_.admin.empty(),
                                                     .tell_peers = session_.admission->wants_peers()},
                                          .thread_name = "reactor-" + std::to_string(i),
                                          .control = control_,
                                          .session = session_,
                                          .router = router,
                                          .routes = routes,
                                          .pool = pool_,
                                          .server_name = options_.server_name,
                                          .cancel = background.cancel_token(),
                                          .pin = options_.pin,
                                          .sockets = {},
                                          .strays = {},
                                          .started = {},
                                          .teardown = teardown_,
                                          .desk = &desks_[i]});
    setup.listens_later = later;
    for (uint32_t address = 0; address < groups.size(); ++address) {
      for (Fd& socket : groups[address].take(i)) {
        setup.listening.push_back(socket.get());
        setup.sockets.push_back(
            {.fd = std::move(socket), .address = address, .preface = groups[address].preface()});
      }
    }
  }
  for (ListenerGroup& group : groups) {
    for (Fd& stray : group.take_strays())
      setups_.front().strays.emplace_back(std::move(stray), group.preface());
  }
}

Result<void> ReactorThreads::start(const Router& router, const std::vector<Route>& routes,
                                   std::vector<ListenerGroup>& groups, BackgroundTasks& background,
                                   bool uring, bool later) {
  prepare(router, routes, groups, background, later);
  std::vector<std::future<Result<void>>> started;
  for (ReactorSetup& setup : setups_) started.push_back(setup.started.get_future());
  for (ReactorSetup& setup : setups_) {
    threads_.emplace_back([&setup, uring, server = server_] {
      work_for(server);
      reactor_number = static_cast<int>(setup.worker.id);
      uring ? run_reactor_on_io_uring(setup) : run_reactor_on_epoll(setup);
    });
  }
  Result<void> result;
  for (auto& future : started) {
    if (Result<void> one = future.get(); !one && result) result = one;
  }
  if (!result) {
    control_.enter(Phase::stopped, {}, "start failed");
    join();
    return result;
  }
  for (ReactorSetup& setup : setups_) background.add_reactor(setup.tasks);
  return result;
}

void ReactorThreads::reload(const ServerOptions& options, uint32_t max_connections) {
  const SessionOptions session = session_options(options);
  for (ReactorSetup& setup : setups_) {
    WorkerOptions worker = setup.worker;
    worker.max_connections = max_connections;
    worker.write_timeout = options.write_timeout;
    setup.reload(worker, session);
  }
}

void ReactorThreads::listen() {
  for (ReactorSetup& setup : setups_) setup.listen();
}

void ReactorThreads::sweep_listeners(bool shared) {
  for (ReactorSetup& setup : setups_) setup.sweep(shared);
}

void ReactorThreads::adopt(Fd connection, std::string note) {
  setups_[next_to_adopt_++ % setups_.size()].adopt(std::move(connection), std::move(note));
}

bool ReactorThreads::release(Instant deadline) {
  pool_.close();
  if (!pool_.join_until(deadline)) return false;
  join();
  return true;
}

std::vector<QueuedConnection> ReactorThreads::end_queue(uint32_t reactor, bool for_good) {
  std::vector<QueuedConnection> queued;
  for (const int listener : setups_[reactor].listening) {
    end_listen_queue(listener, kStuckAnswer, queued);
    if (for_good) ::shutdown(listener, SHUT_RD);
  }
  return queued;
}

}  // namespace lastcall
