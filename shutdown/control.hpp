#pragma once

#include <pthread.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include <lastcall/core/fd.hpp>
#include <lastcall/core/time.hpp>
#include <lastcall/shutdown/aborted_exchange.hpp>
#include <lastcall/shutdown/phase.hpp>
#include <lastcall/shutdown/reactor_counters.hpp>
#include <lastcall/shutdown/roll_call.hpp>
#include <lastcall/shutdown/stop_options.hpp>

namespace lastcall {

/// Whoever goes on with connections that this process need not end: its successor.
class ConnectionTaker {
 public:
  enum class Answer : uint8_t {
    taken,    ///< the descriptor is the taker's
    not_now,  ///< ask again in a moment
    never,    ///< there is nobody any more
  };
  /// An idle connection, with nothing in flight in either direction but what is in its socket, and what its
  /// protocol has to say of it there. From any reactor's thread; returns at once.
  [[nodiscard]] virtual Answer take(int fd, std::string_view note) noexcept = 0;

 protected:
  ~ConnectionTaker() = default;
};

/// The meeting point of the runner (one thread) and the reactors. The runner publishes a phase and writes one
/// eventfd that every reactor watches; a reactor acknowledges the phase, and tells when its last connection
/// is gone.
class StopControl {
 public:
  /// Of cut-off requests one by one: a report must be written in the time that is left. The rest is counted.
  static constexpr uint64_t kMostListed = 10'000;

  /// Creates the two eventfds; throws std::system_error when the process has no descriptors left.
  explicit StopControl(uint32_t reactors);

  // The runner's side.
  void enter(Phase phase, const StopOptions& options, std::string why);
  [[nodiscard]] int wake_fd() const noexcept {
    return wake_.get();
  }  ///< readable after acknowledge() or wake_runner()
  void clear_wake() noexcept;
  [[nodiscard]] Phase acknowledged(uint32_t reactor) const noexcept {
    return acks_[reactor].phase.load(std::memory_order_acquire);
  }
  [[nodiscard]] std::vector<AbortedExchange> take_aborted();
  /// How many requests report_aborted() was told of beyond kMostListed.
  [[nodiscard]] uint64_t unlisted() const;
  /// Before draining: reactors accept on in that phase, until release_listeners(). Forcing releases them,
  /// too.
  void hold_listeners() noexcept { held_.store(true, std::memory_order_release); }
  void release_listeners() noexcept;  ///< any thread
  /// Before draining: these listeners (bit i: the i-th address) live on elsewhere, so draining neither serves
  /// their queues nor keeps anybody away from them, and idle connections go to `taker`, which outlives the
  /// reactors.
  void hand_over(ConnectionTaker& taker, uint64_t listeners) noexcept;
  /// Interrupts a reactor that is stuck in a handler and has it tell what it holds. False when it does not
  /// come to that within `patience`, or is not in a handler.
  [[nodiscard]] bool call_roll(uint32_t reactor, RollCall& call, Duration patience);

  // A reactor's side.
  [[nodiscard]] int broadcast_fd() const noexcept { return broadcast_.get(); }  ///< watch it; never read it
  [[nodiscard]] Phase phase() const noexcept { return phase_.load(std::memory_order_acquire); }
  [[nodiscard]] Duration idle_grace() const noexcept {
    return Duration(idle_grace_.load(std::memory_order_relaxed));
  }
  [[nodiscard]] Duration announce() const noexcept {
    return Duration(announce_.load(std::memory_order_relaxed));
  }
  [[nodiscard]] bool listeners_held() const noexcept { return held_.load(std::memory_order_acquire); }
  [[nodiscard]] ConnectionTaker* successor() const noexcept {
    return successor_.load(std::memory_order_acquire);
  }  ///< nullptr: none
  [[nodiscard]] bool is_handed_over(uint32_t listener) const noexcept {
    return (handed_over_.load(std::memory_order_acquire) >> listener & 1) != 0;
  }
  [[nodiscard]] std::string why() const;  ///< reason of the forcing phase
  /// draining: the listeners are closed. forcing: everything is cut and reported. stopped: the loop is left.
  void acknowledge(uint32_t reactor, Phase phase) noexcept;
  void report_aborted(AbortedExchange exchange);
  void report_unlisted(uint64_t requests);
  /// `tell` answers a roll call for the reactor on the calling thread, in a signal handler on that thread.
  void be_called_by(uint32_t reactor, void (*tell)(RollCall&) noexcept);
  /// Wakes the runner to look at the counters: call it when a count of open connections reaches zero.
  void wake_runner() noexcept;

  // Anyone's side.
  /// A stop has been asked for: told at once, before its first phase is entered.
  void note_request() noexcept { requested_.store(true, std::memory_order_release); }
  /// When the stop must be over, kNever before one is asked for; it only comes nearer.
  void note_deadline(Instant deadline) noexcept {
    deadline_ns_.store(deadline.time_since_epoch().count(), std::memory_order_relaxed);
  }
  [[nodiscard]] Instant deadline() const noexcept {
    return Instant(Duration(deadline_ns_.load(std::memory_order_relaxed)));
  }
  /// Requested when the next phase is entered. Who calls its callbacks is the runner: they return at once.
  [[nodiscard]] std::stop_token next_phase() const;
  [[nodiscard]] bool stop_requested() const noexcept { return requested_.load(std::memory_order_acquire); }
  [[nodiscard]] uint32_t reactors() const noexcept { return reactors_; }
  [[nodiscard]] ReactorCounters& counters(uint32_t reactor) noexcept { return counters_[reactor]; }
  [[nodiscard]] const ReactorCounters& counters(uint32_t reactor) const noexcept {
    return counters_[reactor];
  }

 private:
  struct alignas(64) Ack {
    std::atomic<Phase> phase{Phase::running};
  };

  uint32_t reactors_;
  std::unique_ptr<ReactorCounters[]> counters_;
  std::unique_ptr<Ack[]> acks_;
  std::atomic<Phase> phase_{Phase::running};
  std::atomic<int64_t> idle_grace_{0};
  std::atomic<int64_t> announce_{0};
  std::atomic<int64_t> deadline_ns_{kNever.time_since_epoch().count()};
  std::atomic<bool> held_{false};
  std::atomic<bool> requested_{false};
  std::atomic<ConnectionTaker*> successor_{nullptr};
  std::atomic<uint64_t> handed_over_{0};
  Fd broadcast_;
  Fd wake_;
  mutable std::mutex mutex_;  // guards what follows; never taken while serving
  std::string why_;
  std::stop_source next_phase_;
  std::vector<AbortedExchange> aborted_;
  uint64_t listed_ = 0;
  uint64_t unlisted_ = 0;
  struct Called {
    pthread_t thread{};
    void (*tell)(RollCall&) noexcept = nullptr;
  };
  std::vector<Called> called_;
};

/// Reports the requests of one connection as cut off by the forcing phase.
class AbortedReport final : public UnansweredSink {
 public:
  AbortedReport(StopControl& control, std::string peer, uint64_t bytes_sent)
      : control_(control), peer_(std::move(peer)), why_(control.why()), bytes_sent_(bytes_sent) {}
  void add(const UnansweredRequest& request) override;
  [[nodiscard]] bool may_allocate() const noexcept override { return true; }

 private:
  StopControl& control_;
  std::string peer_;
  std::string why_;
  uint64_t bytes_sent_;
};

}  // namespace lastcall
