#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include <lastcall/http/exchange.hpp>
#include <lastcall/http/memory_connection.hpp>

namespace lastcall {

/// A reactor without descriptors or a clock of its own: sessions on connections in memory, under a clock that
/// its owner moves. What depends on the order of events comes in the same order each time. All of it belongs
/// to one thread; connections end before it does.
class MemoryReactor {
 public:
  /// All that is given is referred to. Work of handlers that `pool` keeps back (a pool without threads) runs
  /// in run_work(), here.
  MemoryReactor(const SessionOptions& options, const Router& router, const std::vector<Route>& routes,
                OffloadPool& pool, std::string_view server);
  MemoryReactor(const MemoryReactor&) = delete;
  MemoryReactor& operator=(const MemoryReactor&) = delete;
  ~MemoryReactor();

  /// The end of a turn: input is handed over, output sent, until nobody asks for more. No time passes.
  void settle();
  /// One task of the pool, and what was posted to the mailbox; false when there was nothing.
  bool run_work();
  /// Time passes: work, timers and deadlines on the way come in their order.
  void advance(Duration duration);
  /// The next of what advance() would do up to `end`, or nothing but time passing until then; false when
  /// there is no more to do.
  bool turn(Instant end);
  /// When something comes that a request may wait for: a timer, or the time-out of a connection at work.
  [[nodiscard]] Instant next_wakeup() const noexcept;

  void drain();  ///< the stop begins
  void force();  ///< … and ends, for the connections there are

  [[nodiscard]] Loop& loop() noexcept { return loop_; }
  [[nodiscard]] SessionEnvironment& environment() noexcept { return *environment_; }
  /// Handlers that outlived their connections.
  [[nodiscard]] uint64_t outliving() const noexcept { return counters_.active.load(); }
  [[nodiscard]] size_t lent() const noexcept { return buffers_.lent(); }
  /// A handler, or something else of the reactor's, is on the stack.
  [[nodiscard]] bool busy() const noexcept { return busy_; }

  /// Turns at one instant before they begin to take time, as turns do: 1 ms, 2 ms, 3 ms, …, so that a handler
  /// that yields without end cannot stop the clock, and meets every limit soon.
  static constexpr int kMostTurnsAnInstant = 1000;

 private:
  friend class MemoryConnection;
  void add(MemoryConnection& connection) { connections_.push_back(&connection); }
  void remove(MemoryConnection& connection) noexcept { std::erase(connections_, &connection); }
  void move_to(Instant then) noexcept;
  [[nodiscard]] Instant next_due() const noexcept;

  TimerWheel timers_{Instant{}};
  Mailbox mailbox_;
  BufferPool buffers_;
  ReactorCounters counters_;
  Loop loop_{.timers = timers_, .mailbox = mailbox_, .buffers = buffers_, .counters = counters_};
  OffloadPool& pool_;
  std::vector<MemoryConnection*> connections_;
  int turns_here_ = 0;  // without time passing of itself
  bool busy_ = false;
  std::optional<SessionEnvironment> environment_;  // the first to go: it ends handlers, which use the rest
};

}  // namespace lastcall
