#pragma once

#include <optional>
#include <system_error>
#include <utility>

#include <lastcall/core/thread.hpp>
#include <lastcall/http/reactor_thread.hpp>
#include <lastcall/http/session.hpp>

namespace lastcall {

/// On the reactor's thread.
template <class B>
void take_sockets(Worker<B, Session>& worker, ReactorSetup& setup) {
  for (ListeningSocket& socket : setup.sockets)
    worker.listen(std::move(socket.fd), socket.address, socket.preface);
  for (auto& [stray, preface] : setup.strays) worker.adopt(std::move(stray), preface);
}

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
    Mailbox& mailbox = worker->loop().mailbox;
    setup.listen = [&worker = *worker, &mailbox, &setup] {
      mailbox.post([&worker, &setup] { take_sockets(worker, setup); });
    };
    setup.adopt = [&worker = *worker, &mailbox](Fd connection, std::string note) {
      mailbox.post([&worker, taken = std::move(connection), note = std::move(note)]() mutable {
        worker.adopt(std::move(taken), note);
      });
    };
    setup.sweep = [&worker = *worker, &mailbox](bool shared) {
      mailbox.post([&worker, shared] { worker.sweep_listeners(shared); });
    };
    if (!setup.listens_later) take_sockets(*worker, setup);
  } catch (const std::system_error& error) {
    setup.started.set_value(
        system_error("start reactor: " + std::string(error.what()), error.code().value()));
    return;
  }
  if (setup.desk != nullptr) {
    setup.desk->open(worker->loop().mailbox, [&worker](RequestRoster& roster, uint32_t from) {
      return worker->list_requests(roster, from);
    });
  }
  setup.started.set_value({});
  worker->run();
  if (setup.desk != nullptr) setup.desk->close();
  tasks->close();
  setup.teardown.wait();
  worker->loop().mailbox.run_all();  // what the worker pool finished last
  tasks.reset();                     // coroutines before the timers and buffers they use
  environment.reset();
}

}  // namespace lastcall
