#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <lastcall/core/log.hpp>
#include <lastcall/http/session.hpp>
#include <lastcall/net/worker.hpp>

#include "tests/sim/sim_backend.hpp"
#include "tests/support/answers.hpp"
#include "tests/support/session_routes.hpp"

namespace lastcall::test {

/// One reactor as it serves, on the simulated network under the simulated clock: a Worker with Sessions, the
/// routes of the session tests and those it is given, a StopControl. The phases of the stop are the test's to
/// enter.
class SimServer {
 public:
  explicit SimServer(const SimOptions& sim, const WorkerOptions& options = {},
                     const SessionOptions& session = {}, std::vector<Route> posts = {})
      : network(sim), session_(session) {
    log_configure(LogFormat::text, LogLevel::off);
    auto add = [this](Method method, std::string_view pattern, Handler handler, RouteOptions route) {
      auto number = static_cast<uint32_t>(table_.size());
      LASTCALL_CHECK(router_.add(method, pattern, number).has_value());
      table_.push_back({.pattern = std::string(pattern), .handler = std::move(handler), .options = route});
    };
    add_routes(add);
    for (Route& route : posts) add(Method::post, route.pattern, std::move(route.handler), route.options);
    worker_.emplace(options, control);
    environment_.emplace(worker_->loop(), session_, router_, table_, pool_, "lastcall");
    worker_->serve(*environment_);
    listener = network.listen();
    worker_->listen(Fd(listener));
  }
  /// Ends what is left as the reactor's thread does; nothing may be lent or open after it.
  ~SimServer() {
    if (!worker_) return;
    shut_down();
  }

  [[nodiscard]] SimPeer connect() { return network.connect(listener); }
  /// The reactor is held up: time passes for everybody else.
  void stall(Duration duration) {
    for (Instant until = network.now() + duration; network.now() < until; network.run_due())
      static_cast<void>(network.advance(until));
  }
  void run_for(Duration duration) { run_until(network.now() + duration); }
  void run_until(Instant when) {
    network.schedule(when, [this] { wake(); });
    while (network.now() < when && !worker_->stopped()) worker_->turn();
    settle();
  }
  /// One turn, that does not sleep.
  void turn() {
    wake();
    worker_->turn();
  }
  /// Turns until all that can happen now has happened.
  void settle() {
    for (int i = 0; i < kSettleTurns && !worker_->stopped(); ++i) turn();
  }
  /// The runner enters a phase; the worker learns of it in its next turn.
  void enter(Phase phase, Duration idle_grace = 1s, std::string why = "deadline") {
    control.enter(phase, {.announce = 0s, .idle_grace = idle_grace, .deadline = 25s, .force_margin = 500ms},
                  std::move(why));
  }
  void announce(Duration announce) {
    control.enter(Phase::announcing,
                  {.announce = announce, .idle_grace = 1s, .deadline = 25s, .force_margin = 500ms}, "test");
    settle();
  }
  [[nodiscard]] bool acknowledged(Phase phase) { return control.acknowledged(0) >= phase; }

  /// As the reactor's thread takes other options.
  void reload(const WorkerOptions& options, const SessionOptions& session) {
    worker_->loop().mailbox.post([this, options, session] {
      environment_->reload(session);
      worker_->reload(options);
    });
    settle();
  }

  /// What the reactor's thread does once its loop is left.
  void shut_down() {
    if (control.phase() < Phase::draining) enter(Phase::draining);
    settle();
    if (control.phase() < Phase::forcing) enter(Phase::forcing);
    settle();
    enter(Phase::stopped);
    worker_->run();
    EXPECT_TRUE(acknowledged(Phase::stopped));
    environment_.reset();
    EXPECT_EQ(worker_->open(), 0u);
    EXPECT_EQ(worker_->loop().buffers.lent(), 0u);
    EXPECT_EQ(network.open_descriptors(), 0u);
    EXPECT_EQ(worker_->loop().timers.size(), 0u);
    worker_.reset();
  }

  /// Bytes in use by buffers.
  [[nodiscard]] size_t lent() { return worker_->loop().buffers.lent(); }
  /// Sends that were said to be their connection's last.
  [[nodiscard]] size_t last_sends() { return worker_->io().last_sends(); }
  void share(bool shared) { worker_->sweep_listeners(shared); }
  /// As of another process.
  void adopt(int fd, std::string_view note) { worker_->adopt(Fd(fd), note); }
  [[nodiscard]] OffloadPool& pool() noexcept { return pool_; }
  [[nodiscard]] const ReactorCounters& counters() { return control.counters(0); }
  [[nodiscard]] uint64_t ended() {
    return counters().idle_closed + counters().completed + counters().handed_over + counters().aborted;
  }
  /// Every connection is counted once: open or ended in one way.
  void expect_balance() { EXPECT_EQ(counters().accepted, ended() + counters().active + counters().idle); }

  static constexpr int kSettleTurns = 40;  // under torn input and output

  SimNetwork network;
  StopControl control{1};
  int listener = -1;

 private:
  void wake() {
    worker_->loop().mailbox.post([] {});
  }

  SessionOptions session_;
  Router router_;
  std::vector<Route> table_;
  OffloadPool pool_{1, 1};
  std::optional<Worker<SimBackend, Session>> worker_;
  std::optional<SessionEnvironment> environment_;
};

}  // namespace lastcall::test
