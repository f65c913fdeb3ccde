#pragma once

#include <csignal>
#include <map>
#include <string>
#include <vector>

#include <lastcall/shutdown/control.hpp>
#include <lastcall/shutdown/coordinator.hpp>

namespace lastcall::test {

class World;

/// What Runner does (runner.cpp), one look at a time and under the world's clock: feeds the real Coordinator
/// from the StopControl, and does what comes out. Between any two of its looks a reactor may run, as between
/// two threads.
class WorldRunner {
 public:
  WorldRunner(World& world, StopControl& control, const StopOptions& stop);

  void signal(int number);
  void request_stop(const StopOptions& options, std::string reason);
  void task_began() { ++tasks_; }
  void task_ended(bool failed);

  [[nodiscard]] bool ready() const;         ///< it has a reason to run now
  [[nodiscard]] Instant next_wake() const;  ///< when it has one, if nothing happens
  bool step();  ///< false when it was not its turn: it is running already, or slow
  [[nodiscard]] bool finished() const noexcept { return coordinator_.finished(); }
  void after_the_end();  ///< more signals and requests, which must have no effect

  [[nodiscard]] const Coordinator& coordinator() const noexcept { return coordinator_; }
  [[nodiscard]] const std::map<std::string, std::string>& reported() const noexcept { return reported_; }
  [[nodiscard]] const std::vector<AbortedExchange>& aborted() const noexcept { return aborted_; }
  [[nodiscard]] const std::vector<uint32_t>& stuck() const noexcept { return stuck_; }
  [[nodiscard]] bool is_stuck(uint32_t reactor) const;
  [[nodiscard]] uint64_t unnamed() const noexcept { return unnamed_; }
  [[nodiscard]] int exit_code() const noexcept { return exit_code_; }
  [[nodiscard]] uint64_t tasks() const noexcept { return tasks_; }
  [[nodiscard]] bool task_failed() const noexcept { return task_failed_; }
  [[nodiscard]] Instant drain_at() const noexcept { return drain_at_; }  ///< kNever before

 private:
  struct Request {
    StopOptions options;
    std::string reason;
  };

  void take_signals();
  void take_requests();
  void look_at_reactors();
  [[nodiscard]] uint64_t open_connections(uint32_t reactor);
  [[nodiscard]] bool take_aborted();
  void feed(std::span<const Coordinator::Input> inputs);
  void feed_one(const Coordinator::Input& input) { feed({&input, 1}); }
  void act(const Coordinator::Enter& entered);
  void act(const Coordinator::Progress&) {}
  void act(const Coordinator::Silent& silent);
  void act(const Coordinator::Finish& finish);
  void expect_end(const StopOptions& options, bool forced);
  void pause();

  World& world_;
  StopControl& control_;
  StopOptions stop_;
  Coordinator coordinator_;
  std::vector<int> signals_;
  std::vector<Request> requests_;
  int stop_signals_ = 0;
  uint64_t tasks_ = 0;
  bool task_failed_ = false;
  bool running_ = false;
  Instant slow_until_{};
  bool slowed_ = false;  // for the wake-up at hand
  Phase phase_ = Phase::running;
  Instant end_at_ = kNever;  // by the contract, worked out apart from the coordinator
  Duration widest_margin_{};
  Instant drain_at_ = kNever;
  std::vector<AbortedExchange> aborted_;
  std::map<std::string, std::string> reported_;  // state by target
  uint64_t unnamed_ = 0;
  std::vector<uint32_t> stuck_;
  int exit_code_ = 0;
};

}  // namespace lastcall::test
