#pragma once

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <lastcall/core/fd.hpp>
#include <lastcall/core/io_backend.hpp>

#include "tests/sim/sim_network.hpp"

namespace lastcall {

/// IoBackend over a SimNetwork. See io_backend.hpp for what the calls mean; what is special here:
///
/// wait()   runs the network's actions whose time has come and delivers what is deliverable. If nothing is,
/// it jumps
///          the clock to the next action or to `until`, whichever is first, and goes on until something was
///          delivered or `until` is reached. Waiting for ever with nothing to come fails a CHECK: a deadlock
///          (see SimOptions::return_on_deadlock).
/// send()   inline when SimOptions say so and the window has room for all of it. A pending send reads the
/// caller's
///          memory inside wait(), as late as it can: memory freed too early is found by AddressSanitizer.
/// recv     lends memory of exactly the event's size, overwritten and freed when the sink returns.
/// watch    takes real eventfds, seen through an epoll of its own, and any other number for
/// SimNetwork::signal().
///
/// Misuse fails a CHECK: closing with an operation in flight, two sends or receives in flight, half_close
/// under a send, more than kMaxSendSegments, a descriptor that is not open, one slot for two descriptors, the
/// wrong generation, accept_now under a subscription, wait() inside the sink.
class SimBackend {
 public:
  static constexpr const char* kName = "sim";

  SimBackend() : SimBackend(SimNetwork::current()) {}
  explicit SimBackend(SimNetwork& network) : network_(&network) {}
  SimBackend(const SimBackend&) = delete;
  SimBackend& operator=(const SimBackend&) = delete;

  [[nodiscard]] Instant now() const noexcept { return network_->now(); }
  [[nodiscard]] Duration wall() const noexcept { return network_->wall(); }

  void accept_start(Token token, int fd);
  bool accept_stop(Token token, int fd);
  int accept_now(Token token, int fd);
  void recv_start(Token token, int fd);
  bool recv_pause(Token token, int fd);
  SendStatus send(Token token, int fd, std::span<const iovec> segments, SendHint hint = SendHint::usual);
  void watch_start(Token token, int fd);
  void watch_stop(Token token, int fd);
  void half_close(int fd);
  void abort(int fd);
  void close(Token token, int fd);
  void release(Token token, int fd);
  [[nodiscard]] int unread(int fd) const { return network_->unread(fd); }
  [[nodiscard]] uint64_t progress(int fd) const { return network_->progress(fd); }

  template <class Sink>
  void wait(Instant until, Sink&& sink) {
    run(until, [&sink](const Event& event) { sink(event); });
  }

  [[nodiscard]] size_t last_sends() const noexcept { return last_sends_; }  ///< that were hinted to be it
  [[nodiscard]] size_t in_flight()
      const noexcept;  ///< started operations that have not ended, watches included

 private:
  using Sink = std::function<void(const Event&)>;
  enum class Outcome { idle, moved, delivered };

  struct Subscription {
    Token token;
    bool stopping = false;  // by recv_pause or accept_stop; its last event is to come
  };
  struct Send {
    Token token;
    std::array<iovec, kMaxSendSegments> segments{};
    size_t size = 0;  // bytes in all
    size_t done = 0;
    bool last = false;                            // by its hint
    [[nodiscard]] std::string_view rest() const;  // of the segment that is being sent
  };
  struct Descriptor {
    uint32_t slot = 0;
    uint16_t generation = 0;
    std::optional<Subscription> accept, recv;
    std::optional<Send> send;
    bool ended = false;     // our side: half_close() or abort()
    bool owes_end = false;  // its last send has ended, and half_close() or close() has to come before the next wait
    [[nodiscard]] bool busy() const { return accept || recv || send; }
  };
  struct Watch {
    Token token;
    int fd;
    bool fired = false;
  };

  void run(Instant until, const Sink& sink);
  Outcome turn(const Sink& sink);
  Outcome poll(int fd, Op op, Token token, const Sink& sink);
  Outcome poll_accept(int fd, const Sink& sink);
  Outcome poll_recv(int fd, const Sink& sink);
  Outcome poll_send(int fd, const Sink& sink);
  Outcome poll_watch(Token token, const Sink& sink);
  void collect_eventfds();

  Descriptor& bind(Token token, int fd);
  Descriptor* find(int fd);
  bool stop(std::optional<Subscription>& subscription, Token token);
  bool chance(double SimOptions::*probability);
  void on_whole(Descriptor& descriptor, const Send& send) noexcept;

  SimNetwork* network_;
  std::map<int, Descriptor> descriptors_;  // by number: the same order in every run
  std::map<uint32_t, int> slots_;          // who has a slot
  std::map<uint32_t, Watch> watches_;      // by slot
  Fd eventfds_;                            // an epoll of the real ones; made when there is one
  size_t last_sends_ = 0;
  bool waiting_ = false;
};

static_assert(IoBackend<SimBackend>);

}  // namespace lastcall
