#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <string_view>

#include <lastcall/core/buffer.hpp>
#include <lastcall/core/mailbox.hpp>
#include <lastcall/core/time.hpp>
#include <lastcall/core/timer_wheel.hpp>
#include <lastcall/net/close_reason.hpp>
#include <lastcall/net/turn_away_log.hpp>
#include <lastcall/shutdown/reactor_counters.hpp>

namespace lastcall {

class Link;

/// What a reactor lends to the protocols on it, whichever its backend. Owner thread only, but for the
/// mailbox.
struct Loop {
  TimerWheel& timers;
  Mailbox& mailbox;
  BufferPool& buffers;
  ReactorCounters& counters;
  Instant now{};                    ///< of this turn
  Duration wall{};                  ///< since 1970 UTC, refreshed at least once a second of traffic
  bool draining = false;            ///< answers say Connection: close from here on …
  bool handing_over = false;        ///< … but not where idle connections live on in another process
  Instant announce_began = kNever;  ///< announcing: a share of the answers says it, that rises from none …
  Instant announce_ends = kNever;   ///< … to all
  std::stop_source drain{};         ///< a stop is requested on it when draining begins
  /// Connections to look at before the next wait, or behind it whose answers are on their way.
  Link* dirty = nullptr;
  bool touched = false;  ///< some of them before it
  TurnAwayLog turned_away{counters.turned_away};
};

/// Timers in a reactor's wheel: whose they are.
enum class TimerKind : uint16_t { connection, listener, worker, beat, task };

/// A timer of a waiting coroutine: fires a plain function on the reactor's thread.
struct TaskTimer : Timer {
  explicit TaskTimer(void (*f)(TaskTimer&)) : fire(f) { kind = static_cast<uint16_t>(TimerKind::task); }
  void (*fire)(TaskTimer&);
};

/// What a protocol sees of its connection: where its output goes and how to ask for attention. No I/O happens
/// inside these calls; the worker acts on them at the end of the turn.
class Link {
 public:
  Link(Loop& loop) : loop_(&loop), prepared_(loop.buffers), in_flight_(loop.buffers) {}  // NOLINT: converts
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  [[nodiscard]] Loop& loop() noexcept { return *loop_; }
  /// Bytes to send next; append, then touch().
  [[nodiscard]] Buffer& output() noexcept { return prepared_; }
  /// Bytes to send behind output() without copying them: they stay as they are for as long as the server
  /// runs. Nothing may be appended to output() until on_output_room(). False: these are to be appended, too.
  [[nodiscard]] bool lend(std::string_view lasting) {
    if (!lends_ || lasting.size() < kLeastLent) return false;
    rare().lasting = lasting;
    return true;
  }
  [[nodiscard]] bool has_output() const noexcept {
    return !prepared_.empty() || (rare_ != nullptr && !rare_->lasting.empty());
  }
  /// Asks the worker to look at this connection before it sleeps: output, pauses, closing.
  void touch() noexcept {
    if (listed_ == Listed::touched) return;
    if (listed_ == Listed::no) enlist();
    listed_ = Listed::touched;
    loop_->touched = true;
  }
  /// Reading stops (advisory: what was on its way still comes) or goes on, after touch().
  void pause_input(bool pause) noexcept { input_paused_ = pause; }
  [[nodiscard]] bool input_paused() const noexcept { return input_paused_; }
  [[nodiscard]] int fd() const noexcept { return fd_; }
  /// Bytes that were handed to the kernel in this connection's life.
  [[nodiscard]] uint64_t bytes_sent() const noexcept { return bytes_sent_; }
  /// … and those that are yet to be.
  [[nodiscard]] uint64_t bytes_written() const noexcept {
    const size_t lasting = rare_ != nullptr ? rare_->lasting_in_flight + rare_->lasting.size() : 0;
    return bytes_sent_ + in_flight_.size() + prepared_.size() + lasting;
  }

 protected:
  /// What few connections ever need.
  struct Rare {
    std::string_view lasting;      // to be sent behind what is prepared
    size_t lasting_in_flight = 0;  // bytes, behind in_flight_
    uint64_t progress = 0;         // what the peer had taken when the write timeout was last looked at
    Instant overdue = kNever;  // the protocol's deadline that has passed: not before what was here is read
    size_t unheard = 0;        // … bytes, of what was unread then
  };
  static constexpr size_t kLeastLent = 16 * 1024;  // less is copied sooner than it is told of

  /// In the loop's list of those to be looked at.
  enum class Listed : uint8_t {
    no,
    sending,  ///< since its answer is on its way: nothing else has happened to it
    touched,
  };
  void enlist() noexcept {
    next_dirty_ = loop_->dirty;
    loop_->dirty = this;
  }

  ~Link() = default;
  Rare& rare() {
    if (rare_ == nullptr) rare_ = std::make_unique<Rare>();
    return *rare_;
  }

  Loop* loop_;
  Link* next_dirty_ = nullptr;
  Buffer prepared_;
  Buffer in_flight_;  // lent to the kernel by a send
  uint64_t bytes_sent_ = 0;
  std::unique_ptr<Rare> rare_;
  int fd_ = -1;
  Listed listed_ = Listed::no;
  bool input_paused_ = false;
  bool lends_ = false;  // whoever sends for it can do so without copying
};

/// How a protocol wants its connection to end, once its output is out.
enum class CloseWish : uint8_t {
  none,    ///< stay open
  direct,  ///< nothing more can come: close at once
  linger,  ///< more input may be on its way: end our side, read to the peer's end, then close
  reset,   ///< as linger, but no end in order: it would be taken for the end of what is only a part
  detach,  ///< no end: somebody else goes on with the descriptor
};

}  // namespace lastcall
