#pragma once

#include <climits>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lastcall/core/time.hpp>

namespace lastcall {

/// How the simulated kernel behaves. Chances are between 0 and 1, drawn from one generator seeded with
/// `seed`: the same seed and the same calls give the same run.
struct SimOptions {
  uint64_t seed = 1;
  double torn_read = 0;  ///< a receive event carries only a random first part of what is queued
  double pending_send =
      0;                 ///< a send that would fit at once is pending all the same, as io_uring's always are
  double torn_send = 0;  ///< a pending send moves only a random part of what would fit before it goes on
  double stop_by_event =
      0;  ///< recv_pause and accept_stop end by a last event (false) and not at once (true)
  double late_events =
      0;  ///< each time before such a last event: something already queued is delivered first
  double accept_error = 0;  ///< an accept ends with -EMFILE; the connection stays queued
  double recv_error = 0;    ///< a receive ends with -ECONNRESET; input is lost, and the peer sees a reset
  bool shuffle = false;     ///< events of one turn come in random order, otherwise by descriptor
  size_t max_read_bytes = 16384;         ///< most bytes of one receive event
  size_t window_bytes = SIZE_MAX;        ///< window of new peers, see SimPeer::set_window
  int descriptor_limit = INT_MAX;        ///< accepting gives -EMFILE when so many descriptors are open
  uint32_t turn_limit = 1'000'000;       ///< waits at one and the same instant before it counts as a livelock
  bool return_on_deadlock = false;       ///< wait(kNever) with nothing to come returns; otherwise CHECK fails
  Duration wall_start = 1'767'225'600s;  ///< wall clock when the network is made: 2026-01-01 00:00 UTC

  /// Sends inline, stops at once: what EpollBackend does when nothing goes wrong.
  [[nodiscard]] static SimOptions epoll_like(uint64_t seed = 1);
  /// Every send pending, stops by event, late completions: what UringBackend does.
  [[nodiscard]] static SimOptions uring_like(uint64_t seed = 1);
  /// A mixture of both with torn reads, torn sends and shuffled events, without errors.
  [[nodiscard]] static SimOptions chaotic(uint64_t seed);
};

/// Uniform numbers, the same on every platform (SplitMix64).
class SimRandom {
 public:
  explicit SimRandom(uint64_t seed) noexcept : state_(seed) {}
  [[nodiscard]] uint64_t next() noexcept;
  [[nodiscard]] size_t below(size_t limit) noexcept { return static_cast<size_t>(next() % limit); }
  [[nodiscard]] bool chance(double probability) noexcept;

 private:
  uint64_t state_;
};

class SimNetwork;

/// Both ends of one simulated TCP connection. Internal to SimNetwork and SimPeer.
struct SimConnection : std::enable_shared_from_this<SimConnection> {
  SimNetwork* network = nullptr;
  size_t id = 0;              // how many connections there were before it
  std::string input;          // sent by the peer, not yet received by the server
  std::string output;         // sent by the server, not yet taken by the peer
  size_t window_bytes = 0;    // most bytes `output` holds
  uint64_t moved = 0;         // bytes that ever entered `output` or left it for the peer
  int error = 0;              // errno that the server's next call reports, once
  bool dead = false;          // a reset was exchanged
  bool input_ended = false;   // the peer sent FIN
  bool output_ended = false;  // the server sent FIN
  bool read_shut = false;     // the server called shutdown(RDWR)
  bool server_closed = false;
  bool peer_closed = false;
  bool peer_reset = false;  // the peer saw RST
  bool wake_queued = false;
  std::function<void()> on_readable;
};

/// The far end of a connection, in the hands of the test. A handle: copies name the same connection. What a
/// peer does takes effect at once, in simulated time. Must not be used after its SimNetwork is gone.
class SimPeer {
 public:
  SimPeer() = default;
  explicit SimPeer(std::shared_ptr<SimConnection> connection) : connection_(std::move(connection)) {}

  /// Sends bytes. To a descriptor that was closed or aborted: they are answered with a reset. After
  /// saw_reset() they vanish. Not after half_close() or close().
  void write(std::string_view bytes);
  void half_close();  ///< FIN: the server receives end of stream after what was written
  void close();  ///< FIN, or RST if bytes are untaken; what the server sends from now on is answered with RST
  void reset();  ///< RST: the server receives what is queued, then -ECONNRESET

  std::string take(size_t max_bytes);  ///< takes up to max_bytes of what has arrived, and so opens the window
  std::string read_all();              ///< takes everything that has arrived since the last call
  /// Arrived bytes that this peer holds untaken before the server's sends block: the socket buffers of both
  /// ends and the TCP window in one number. 0 blocks at once.
  void set_window(size_t bytes);
  /// Called (from SimBackend::wait, never from inside another call) when bytes, end of stream or a reset
  /// arrive.
  void on_readable(std::function<void()> callback);

  [[nodiscard]] size_t id() const;       ///< see SimNetwork::id()
  [[nodiscard]] size_t untaken() const;  ///< bytes that have arrived and were not taken
  [[nodiscard]] bool saw_eof() const;  ///< the server ended its stream, and everything before that was taken
  [[nodiscard]] bool saw_reset() const;  ///< the connection was reset or refused; untaken bytes are lost then
  [[nodiscard]] explicit operator bool() const noexcept { return connection_ != nullptr; }

 private:
  SimConnection& end() const;
  std::shared_ptr<SimConnection> connection_;
};

/// An in-memory network, its kernel and its clock, for one SimBackend and the peers of the test; one thread.
///
/// The clock stands still while code runs and jumps when the backend sleeps, so a drain of 25 s takes
/// microseconds and no test depends on the machine's speed. Descriptors are ints from kFirstDescriptor up,
/// lowest free first, as in a real process: a stale number soon names someone else's connection.
///
/// Follows Linux: closing a socket with unread input, and data that arrives after close or abort, reset the
/// peer; closing a listener resets its queue; input queued before an abort or a peer's reset is still
/// received. Harsher in one point: a reset always destroys what the peer has not yet taken, which real
/// networks do now and then.
///
/// The lower half (accept, receive, transmit, ...) is what the backend calls: system calls with negated
/// errno.
class SimNetwork {
 public:
  static constexpr int kFirstDescriptor = 1'000'000;

  explicit SimNetwork(SimOptions options = {});
  ~SimNetwork();
  SimNetwork(const SimNetwork&) = delete;
  SimNetwork& operator=(const SimNetwork&) = delete;

  /// The newest network alive on this thread, for backends that are default-constructed; CHECK fails without
  /// one.
  [[nodiscard]] static SimNetwork& current();

  [[nodiscard]] int listen();  ///< a listening descriptor; the backend under test closes it
  [[nodiscard]] SimPeer connect(
      int listener);  ///< in the accept queue at once; saw_reset() if `listener` is closed
  [[nodiscard]] std::pair<int, SimPeer> pair();  ///< a connected descriptor that needs no accepting

  /// Runs `action` inside wait() when the clock reaches `when` (at the next wait() if that has passed), in
  /// order of time, then of scheduling. It may use peers and this network; the code under test is reached by
  /// signal() or by a write to an eventfd it watches, as from another thread.
  void schedule(Instant when, std::function<void()> action);
  void schedule_in(Duration delay, std::function<void()> action) {
    schedule(after(now_, delay), std::move(action));
  }
  void signal(int fd);  ///< fires watches of `fd` as a write to an eventfd would

  [[nodiscard]] Instant now() const noexcept { return now_; }
  [[nodiscard]] Duration wall() const noexcept { return options_.wall_start + (now_ - kStart); }
  [[nodiscard]] SimOptions& options() noexcept { return options_; }
  [[nodiscard]] SimRandom& random() noexcept { return random_; }

  [[nodiscard]] size_t open_descriptors() const noexcept { return listeners_.size() + sockets_.size(); }
  [[nodiscard]] size_t queued(int listener) const;  ///< connections waiting to be accepted
  [[nodiscard]] uint64_t accepted() const noexcept { return accepted_; }
  [[nodiscard]] uint64_t sends() const noexcept { return sends_; }    ///< that the server began
  [[nodiscard]] uint64_t resets() const noexcept { return resets_; }  ///< peers that were reset or refused
  [[nodiscard]] bool deadlocked() const noexcept { return deadlocked_; }

  void count_send() noexcept { ++sends_; }
  int accept(int listener);                      ///< descriptor, -EAGAIN, -EMFILE
  int receive(int fd, std::span<char> into);     ///< bytes, 0 at end of stream, -EAGAIN, -ECONNRESET
  int transmit(int fd, std::string_view bytes);  ///< bytes, -EAGAIN with a full window, -EPIPE, -ECONNRESET
  void shutdown_write(int fd);
  void shutdown_both(int fd);
  void close(int fd);
  void break_connection(int fd);  ///< both ends see a reset; input is lost
  [[nodiscard]] int unread(int fd) const;
  [[nodiscard]] uint64_t progress(int fd) const;
  [[nodiscard]] bool is_open(int fd) const noexcept;
  [[nodiscard]] size_t id(int fd) const;   ///< of the connection: how many were made before it
  [[nodiscard]] bool take_signal(int fd);  ///< true once after signal(fd)

  void run_due();  ///< runs the actions whose time has come
  /// Jumps to the next action or to `until`, whichever is first; false when `until` was reached.
  bool advance(Instant until);

 private:
  friend class SimPeer;
  static constexpr Instant kStart = Instant(1h);
  using Listener = std::deque<std::shared_ptr<SimConnection>>;

  [[nodiscard]] int lowest_free();
  [[nodiscard]] std::shared_ptr<SimConnection> make_connection();
  [[nodiscard]] SimConnection& socket(int fd) const;  // CHECK fails with what would be EBADF
  void reset_peer(SimConnection& connection);
  void wake(SimConnection& connection);

  SimOptions options_;
  SimRandom random_;
  Instant now_ = kStart;
  std::multimap<Instant, std::function<void()>> actions_;
  std::map<int, Listener> listeners_;
  std::map<int, std::shared_ptr<SimConnection>> sockets_;
  std::map<int, bool> signals_;
  std::vector<std::weak_ptr<SimConnection>> connections_;  // all ever made
  int lowest_free_ = kFirstDescriptor;                     // no descriptor below it is free
  uint64_t accepted_ = 0;
  uint64_t sends_ = 0;
  uint64_t resets_ = 0;
  uint32_t turns_here_ = 0;
  bool deadlocked_ = false;
  SimNetwork* older_ = nullptr;
};

}  // namespace lastcall
