#pragma once

#include <cstdarg>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <lastcall/http/session.hpp>
#include <lastcall/net/worker.hpp>

#include "tests/sim/simulation.hpp"
#include "tests/sim/world_backend.hpp"
#include "tests/sim/world_plan.hpp"
#include "tests/sim/world_runner.hpp"

namespace lastcall::test {

class Client;

/// One connection as the world sees it, from both ends.
struct Flow {
  enum class State : uint8_t { queued, open, closed };
  size_t id = 0;
  Client* client = nullptr;
  State state = State::queued;
  uint32_t reactor = 0;      // whose listener it came to
  bool said_close = false;   // an answer with Connection: close has been given to the kernel
  bool ended = false;        // the server ended its side, or both
  bool idle_end = false;     // … because nothing was going on
  bool broken = false;       // by the network
  bool aborted = false;      // by the server, in the middle
  bool looked_at = false;    // the last thing that was asked is what is unread
  bool overloaded = false;   // answered 503, over the connection limit
  bool over_unread = false;  // closed with bytes in its socket, when it had lingered long enough
  bool late_seen = false;    // bytes came behind the idle end
  bool had_answer = false;
  Instant active_at{};    // when bytes last went either way
  Instant received_at{};  // … from the client
  Instant ended_at{};
  size_t received = 0;           // bytes that the reactor has got
  size_t heard = 0;              // … before it was told to cut off everybody
  size_t received_before = 0;    // … when its turn began
  size_t received_at_send = 0;   // … when the turn began that sent last
  size_t received_at_close = 0;  // … when the turn began in which close was said, at the earliest
  uint64_t send_ended = 0;       // the turn in which a send ended that was pending
};

/// One reactor: the real worker, when it turns next, and what the ledger says that its counters must be.
struct ReactorState {
  struct Counts {
    uint64_t accepted = 0, idle_closed = 0, completed = 0, aborted = 0, late_requests = 0;
    [[nodiscard]] uint64_t ended() const { return idle_closed + completed + aborted; }
  };

  uint32_t id = 0;
  std::optional<Worker<WorldBackend, Session>> worker;
  std::optional<SessionEnvironment> environment;
  std::set<int> listeners;  // open ones
  Instant stalled_until{};
  Instant wake_at{};
  uint64_t turns = 0;
  bool turning = false;  // it is on the stack
  bool worked = false;   // its last turn had something to do
  bool forced = false;   // it has been told to cut off everybody
  bool leaving = false;  // in run(), behind the loop
  bool left = false;
  bool tampered = false;  // by a deliberate bug
  uint64_t accepted = 0;  // connections that it was given
  uint64_t closed = 0;    // … and that it closed
  uint64_t late = 0;      // … on which bytes came behind an idle end
  Counts before;
  Phase acknowledged = Phase::running;
  uint64_t accepted_at_acknowledgement = 0;
};

/// A whole server on one thread: reactors, runner and clients take turns as the seed has it, the clock moves
/// when nobody can. What must hold is checked after every turn; the first violation ends the run.
class World {
 public:
  World(uint64_t seed, Bug bug, std::function<void(std::string_view)> trace);
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  ~World();

  [[nodiscard]] static World& current();  ///< the newest on this thread
  [[nodiscard]] SimulationResult run();
  /// A world in which something is broken cannot be taken apart in order.
  [[nodiscard]] bool ok() const noexcept { return !failed_; }
  void print_last_lines() const;

  // The others' turns.
  bool step(Instant limit);  ///< one round; false when `limit` was reached, or nothing can come
  void interlude(const ReactorState& from);            ///< maybe: somebody runs in the middle of a turn
  void provoke(const Flow& flow, double probability);  ///< maybe: its client sends its next request just now
  void hog(Duration duration);                         ///< the running handler does not return for so long
  void stall_reactors(const char* why);  ///< a phase was entered: some reactors are slow to see it
  [[nodiscard]] bool over() const noexcept { return failed_ || exited_; }
  [[nodiscard]] bool failed() const noexcept { return failed_; }
  void exit(const char* how);  ///< the process is gone

  // What everybody knows.
  [[nodiscard]] Bug bug() const noexcept { return bug_; }
  [[nodiscard]] bool commit(
      Bug bug);  ///< true once, at an instant that the seed chooses, if that is the bug of the run
  [[nodiscard]] const WorldPlan& plan() const noexcept { return plan_; }
  [[nodiscard]] Instant now() const noexcept { return network_.now(); }
  [[nodiscard]] Duration elapsed() const noexcept { return network_.now() - start_; }
  [[nodiscard]] Instant start() const noexcept { return start_; }
  [[nodiscard]] SimNetwork& network() noexcept { return network_; }
  [[nodiscard]] SimRandom& random() noexcept { return random_; }
  [[nodiscard]] bool chance(double probability) { return random_.chance(probability); }
  [[nodiscard]] StopControl& control() noexcept { return control_; }
  [[nodiscard]] WorldRunner& runner() noexcept { return runner_; }
  [[nodiscard]] ReactorState& making() { return *reactors_.back(); }
  [[nodiscard]] Flow& flow(size_t id) { return flows_.at(id); }
  void saw(Seen what, uint64_t times = 1) { tally_[static_cast<size_t>(what)] += times; }
  void schedule(Duration delay, std::function<void()> action);  ///< dropped once the process is gone

  // The way in.
  void arrive(Client& client, bool again);  ///< a SYN
  void close_gate();                        ///< what Gate does just before the drain
  void listener_closed(ReactorState& reactor, int fd, size_t queued);
  void note_queue_error(int fd, bool error) { queue_errors_[fd] = error; }

  // What must hold.
  __attribute__((format(printf, 2, 3))) void trace(const char* format, ...);
  __attribute__((format(printf, 3, 4))) void fail(const char* invariant, const char* format, ...);
  [[nodiscard]] bool reported(const std::string& target) const { return runner_.reported().contains(target); }
  [[nodiscard]] std::string reported_state(const std::string& target) const {
    return reported(target) ? runner_.reported().at(target) : "";
  }
  [[nodiscard]] bool take_unnamed_report();  ///< an entry of the report that names no request
  [[nodiscard]] bool gone_with_reactor(const Flow& flow) const;  ///< nobody could serve it any more
  [[nodiscard]] bool closed_over_queue(uint32_t reactor) const { return over_queue_.contains(reactor); }
  [[nodiscard]] Instant idle_end_at() const;  ///< when the idle grace of the stop ends, or will

 private:
  friend class WorldRunner;

  void make_reactors();
  void add_world_routes();
  void schedule_everything();
  void turn(ReactorState& reactor);
  [[nodiscard]] bool round();
  [[nodiscard]] Instant next_instant() const;
  void hold(Duration duration, const char* why);
  void maybe_stall(ReactorState& reactor);
  void look_at_gate(Instant began, int clean);
  void handshake(Client& client, uint32_t reactor, int listener, bool while_parked);
  void break_a_connection();
  void write_line(std::string_view line);

  // world_judge.cpp
  void check(ReactorState& reactor);
  void check_counters(ReactorState& reactor, const ReactorState::Counts& now);
  void check_acknowledgement(ReactorState& reactor);
  void tamper(ReactorState& reactor);
  void judge_end();
  void judge_reactor(ReactorState& reactor);
  void judge_report();
  void take_apart();

  uint64_t seed_;
  Bug bug_;
  std::function<void(std::string_view)> sink_;
  WorldPlan plan_;
  SimRandom random_;
  SimNetwork network_;
  Instant start_;
  StopControl control_;
  OffloadPool pool_{1, 1};
  Router router_;
  std::vector<Route> routes_;
  std::deque<Flow> flows_;  // by id
  std::vector<std::unique_ptr<Client>> clients_;
  std::vector<std::unique_ptr<ReactorState>> reactors_;
  WorldRunner runner_;
  std::vector<ReactorState*> stack_;  // who is in a turn, innermost last
  std::map<int, bool> queue_errors_;  // the last accept_now of a listener failed
  std::set<uint32_t> over_queue_;     // reactors that closed a listener over its queue because they had to
  std::vector<std::string> last_lines_;
  uint64_t lines_ = 0;
  uint64_t hash_ = 14695981039346656037u;
  Tally tally_{};
  uint64_t unnamed_taken_ = 0;
  uint64_t bug_countdown_;
  uint64_t rounds_here_ = 0;
  size_t handshakes_ = 0;  // under way
  bool parked_ = false;
  bool gate_timed_out_ = false;
  bool exited_ = false;
  bool failed_ = false;
  bool leaked_ = false;
  std::optional<Buffer> leak_;
  std::string invariant_, detail_;
  World* older_;
};

}  // namespace lastcall::test
