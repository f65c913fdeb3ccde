#pragma once

#include <optional>
#include <system_error>
#include <utility>

#include <lastcall/core/thread.hpp>
#include <lastcall/http/reactor_thread.hpp>
#include <lastcall/http/session.hpp>

namespace lastcall {

template <class B>
void run_reactor(ReactorSetup& setup) {
  set_thread_name(setup.thread_name);
  std::optional<Worker<B, Session>> worker;
  std::optional<SessionEnvironment> environment;
  std::optional<ReactorTasks> tasks;
  try {
    if (setup.pin) {
      if (Result<void> pinned = pin_thread(setup.worker.id); !pinned) {
        setup.started.set_value(std::unexpected(pinned.error()));
        return;
      }
    }
    worker.emplace(setup.worker, setup.control);
    environment.emplace(worker->loop(), setup.session, setup.router, setup.routes, setup.pool,
                        setup.server_name);
    worker->serve(*environment);
    tasks.emplace(worker->loop(), setup.pool, setup.cancel, setup.control);
    setup.tasks = &*tasks;
    setup.reload = [&worker, &environment](const WorkerOptions& options, const SessionOptions& session) {
      worker->loop().mailbox.post([&worker, &environment, options, session] {
        environment->reload(session);
        worker->reload(options);
      });
    };
    for (Fd& socket : setup.sockets) worker->listen(std::move(socket));
    for (Fd& stray : setup.strays) worker->adopt(std::move(stray));
  } catch (const std::system_error& error) {
    setup.started.set_value(
        system_error("start reactor: " + std::string(error.what()), error.code().value()));
    return;
  }
  setup.started.set_value({});
  worker->run();
  tasks->close();
  setup.teardown.wait();
  worker->loop().mailbox.run_all();  // what the worker pool finished last
  tasks.reset();                     // coroutines before the timers and buffers they use
  environment.reset();
}

}  // namespace lastcall
