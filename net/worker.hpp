#pragma once

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <lastcall/core/clock.hpp>
#include <lastcall/core/fd.hpp>
#include <lastcall/core/interrupt.hpp>
#include <lastcall/core/log.hpp>
#include <lastcall/core/reactor.hpp>
#include <lastcall/core/slot_table.hpp>
#include <lastcall/net/address.hpp>
#include <lastcall/net/connection.hpp>
#include <lastcall/net/detached.hpp>
#include <lastcall/net/protocol.hpp>
#include <lastcall/net/request_roster.hpp>
#include <lastcall/net/socket.hpp>
#include <lastcall/shutdown/control.hpp>
#include <lastcall/shutdown/drain_gate.hpp>
#include <lastcall/shutdown/loop_lag.hpp>

namespace lastcall {

struct WorkerOptions {
  uint32_t id = 0;                    ///< which reactor of the StopControl this is
  uint32_t max_connections = 10'000;  ///< of all reactors together; beyond it a connection is answered 503
  Duration write_timeout = 30s;       ///< without the peer taking a byte
  Duration linger_timeout = 2s;       ///< how long a closed connection's input is read to its end
  bool measure_lag = false;           ///< publish how late the loop is; wakes it every LoopLag::kBeat
  bool tell_peers = false;  ///< protocols learn who has connected: a system call for each connection
};

/// The connections of one reactor: accepts, reads, writes, times out, and takes part in the stop. One switch
/// on the token leads from an event to its slot; nothing here is shared with other reactors but StopControl's
/// counters. Made, run and destroyed on one thread.
template <class B, class P>
class Worker {
 public:
  Worker(const WorkerOptions& options, StopControl& control);
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  ~Worker();

  /// Must be called before the first turn; the environment outlives the worker's connections.
  void serve(typename P::Environment& environment) { environment_ = &environment; }
  /// Takes over a listening socket and starts accepting from it. `address`: which of the server's it is;
  /// there may be several sockets of one. `preface`: what its connections begin with.
  void listen(Fd socket, uint32_t address = 0, Preface preface = Preface::none);
  /// The listeners are another process's, too, that may be woken in our place and not come to accept: from
  /// here on, as long as `shared`, it is looked every kSweep who waits there. That process may also hand over
  /// connections; a stop waits for the end of that.
  void sweep_listeners(bool shared);
  /// Takes over a connection that was accepted elsewhere, whatever the limit.
  void adopt(Fd connection, Preface preface = Preface::none);
  /// … in another process, with the note that its protocol wrote there.
  void adopt(Fd connection, std::string_view note);
  /// Other options from here on (`id` and `measure_lag` stay), and the environment's are others already. From
  /// a message of the mailbox. A connection beyond a lower limit stays; who is slow to take an answer has the
  /// whole of a new write timeout.
  void reload(const WorkerOptions& options);
  /// Turns until the phase `stopped`, then ends what is left.
  void run();
  /// One turn of the loop: sleeps until something happens, acts on it, and sends what was answered.
  void turn();
  /// Adds the requests in flight of up to kListedPerTurn connections, from slot `from` on; returns where to
  /// go on in a later turn, 0 for nowhere. On its thread, between two turns or as mail.
  [[nodiscard]] uint32_t list_requests(RequestRoster& roster, uint32_t from);
  [[nodiscard]] bool stopped() const noexcept { return stopped_; }
  [[nodiscard]] Loop& loop() noexcept { return loop_; }
  [[nodiscard]] B& io() noexcept { return reactor_.io(); }
  [[nodiscard]] uint64_t open() const noexcept { return gate_.count(); }

 private:
  using Conn = Connection<P>;
  using State = typename Conn::State;
  using Listed = typename Conn::Listed;
  enum Kind : uint8_t { kMail, kBroadcast, kListener, kConnection };

  // Slots of what is not a connection come first.
  static constexpr uint32_t kMailSlot = 0;
  static constexpr uint32_t kBroadcastSlot = 1;
  static constexpr uint32_t kFirstListener = 2;
  static constexpr uint32_t kMaxListeners = 256;
  static constexpr uint32_t kFirstConnection = kFirstListener + kMaxListeners;
  static constexpr uint32_t kOverloadSlack = 256;  // connections beyond the limit that are being answered 503
  static constexpr int kSendsPerTurn = 8;  // of one connection, so that one fast reader starves nobody
  static constexpr size_t kMaxLentPerSend = 1 << 20;
  static constexpr uint32_t kListedPerTurn = 1024;  // slots, so that a look at many holds nobody up
  static constexpr Duration kSettlesWithin = 2ms;   // also whose answer is on its way, and does not get there
  static constexpr Duration kPeerCheck = 1s;        // while a handler is at work: is its client still there?
  static constexpr Duration kAcceptPause = 50ms;    // after the process ran out of descriptors
  static constexpr Duration kForceGrace = 200ms;    // for a 503 of the forcing phase to leave
  static constexpr Duration kStopGrace = 100ms;     // for last events when the loop ends
  static constexpr Duration kLookForOldest = 250ms;
  static constexpr Duration kSweep = 20ms;           // of listeners that another process has, too
  static constexpr Duration kHandOverRetry = 2ms;    // of a successor that is not quick enough
  static constexpr Duration kHandOverPatience = 1s;  // with it
  static constexpr Duration kIdleSpread =
      100ms;  // over which idle connections are closed, behind the idle grace
  static constexpr Duration kIdleLinger = 150ms;  // for a late request, behind the end of an idle connection

  struct Listener {
    Token token;
    Fd socket;
    uint32_t address = 0;
    Timer retry;
    Preface preface = Preface::none;
    bool accepting = false;
    bool stopping = false;
  };

  // worker_io.hpp: events, closing
  void on_event(const Event& event);
  void on_other_event(Token token, int32_t result, bool last);
  void on_timer(Timer& timer);
  void on_receive(Conn& connection, const Event& event);
  void on_receive_end(Conn& connection, int32_t result);
  void fulfil_close_wish(Conn& connection);
  void linger(Conn& connection, CloseReason reason);
  void end(Conn& connection, CloseReason reason);
  [[nodiscard]] bool release_if_ended(Conn& connection);
  void stop_receiving(Conn& connection);
  void detach(Conn& connection);
  void steer_input(Conn& connection);
  void count(Conn& connection);

  // worker_output.hpp: what is sent
  void on_sent(Conn& connection, const Event& event);
  bool account_sent(Conn& connection, int32_t result);
  void settle_dirty();
  void settle_later(Conn& connection);
  void rest_again(Conn& connection);
  void tell_of_room(Conn& connection);
  [[nodiscard]] bool rests(const Conn& connection) const noexcept;
  void rest(Conn& connection);
  void settle(Conn& connection);
  [[nodiscard]] bool pump(Conn& connection);
  [[nodiscard]] SendHint hint_for(const Conn& connection) const noexcept;
  [[nodiscard]] size_t take_lasting(Conn& connection, std::span<iovec> segments);
  [[nodiscard]] bool send(Conn& connection);

  // worker_due.hpp: what is due when
  [[nodiscard]] Instant due(Conn& connection);
  void arm(Conn& connection);
  void on_due(Conn& connection);
  void close_idle(Conn& connection);
  void check_peer(Conn& connection);
  [[nodiscard]] bool is_unheard(Conn& connection);
  void arm_beat();
  void beat();

  // worker_accept.hpp: listeners and new connections
  void on_accept(Listener& listener, const Event& event);
  void pause_accepting(Listener& listener, int code);
  void sweep(Listener& listener);
  [[nodiscard]] bool over_limit() const noexcept;
  void open_connection(int fd, Preface preface, bool adopted = false,
                       std::optional<std::string_view> note = {});

  // worker_stop.hpp: the phases
  void on_phase();
  void begin_drain();
  void publish_oldest();
  [[nodiscard]] static Duration share(const Conn& connection, Duration spread) noexcept;
  [[nodiscard]] Instant grace_end(const Conn& connection) const noexcept;
  void begin_grace(Conn& connection) const noexcept;
  void close_listeners();
  void finish_listener(Listener& listener);
  void acknowledge_if_closed();
  void force();
  void force(Conn& connection);
  [[nodiscard]] bool report(Conn& connection, bool unread);
  [[nodiscard]] bool tell(const Conn& connection, bool unread, Instant now, UnansweredSink& sink);
  static void tell_held(RollCall& call) noexcept;
  void tell_if_empty();
  [[nodiscard]] bool is_closing_listeners() const noexcept;
  void end_all();

  // worker_handover.hpp: connections that live on in another process
  [[nodiscard]] bool may_leave(const Conn& connection) const noexcept;
  [[nodiscard]] bool hand_over(Conn& connection);
  void abandon_hand_over();

  static void add(std::atomic<uint64_t>& counter, uint64_t delta) noexcept { add_to(counter, delta); }
  void touch_now() noexcept;

  WorkerOptions options_;
  StopControl& control_;
  Reactor<B> reactor_;
  Loop loop_;
  typename P::Environment* environment_ = nullptr;
  SlotTable<Conn> connections_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  DrainGate gate_;
  DetachedSet detached_;
  Timer look_for_oldest_;
  Timer beat_;
  LoopLag lag_;
  Instant wall_due_{};
  Instant log_due_{};  // next time that running out of descriptors is worth a line
  ConnectionTaker* successor_ = nullptr;
  Instant abandon_at_ = kNever;  // the handing over, where it does not go on
  Phase phase_ = Phase::running;
  inline static thread_local Worker* here_ = nullptr;  // that runs on this thread
  bool stopped_ = false;
  bool sweeping_ = false;
  bool told_empty_ = false;
  bool closing_listeners_ = false;
};

}  // namespace lastcall

#include <lastcall/net/worker_accept.hpp>    // IWYU pragma: export
#include <lastcall/net/worker_due.hpp>       // IWYU pragma: export
#include <lastcall/net/worker_handover.hpp>  // IWYU pragma: export
#include <lastcall/net/worker_io.hpp>        // IWYU pragma: export
#include <lastcall/net/worker_list.hpp>      // IWYU pragma: export
#include <lastcall/net/worker_output.hpp>    // IWYU pragma: export
#include <lastcall/net/worker_stop.hpp>      // IWYU pragma: export
