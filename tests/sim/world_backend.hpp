#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include <lastcall/core/io_backend.hpp>

#include "tests/sim/sim_backend.hpp"

namespace lastcall::test {

class World;
struct Flow;
struct ReactorState;

/// The IoBackend of one reactor of a World: a SimBackend that never sleeps (the world decides who turns and
/// when the clock moves) and that sees every call and every event on its way. It keeps a ledger of the
/// operations and of the connections, against which the world's invariants are held, makes faults, and
/// commits the deliberate bugs.
class WorldBackend {
 public:
  static constexpr const char* kName = "world";

  WorldBackend();  ///< for the reactor that World::current() is making
  WorldBackend(const WorldBackend&) = delete;
  WorldBackend& operator=(const WorldBackend&) = delete;

  [[nodiscard]] Instant now() const noexcept {
    return now_;
  }  ///< of this turn, as a kernel's backend caches it
  [[nodiscard]] Duration wall() const noexcept { return inner_.wall(); }

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
  void release(Token token, int fd) { inner_.release(token, fd); }
  [[nodiscard]] int unread(int fd);
  [[nodiscard]] uint64_t progress(int fd) const;

  /// Delivers what is there and returns; the world learns until when the reactor would have slept.
  template <class Sink>
  void wait(Instant until, Sink&& sink) {
    run(until, [&sink](const Event& event) { sink(event); });
  }

  [[nodiscard]] size_t unended() const;  ///< receives and sends that run

 private:
  using Sink = std::function<void(const Event&)>;
  struct Running {  // an operation that has not ended
    Token token;
    int fd = -1;
    bool stopping = false;
    bool lost = false;       // lost_last: it has ended, and nobody was told
    int withheld_bytes = 0;  // short_send: what was never sent, and is said to have been
  };
  using Key = std::pair<uint32_t, Op>;

  void run(Instant until, const Sink& sink);
  void poll(const Sink& sink);
  void on_event(const Event& event, const Sink& sink);
  [[nodiscard]] bool swallow(const Event& event);
  [[nodiscard]] bool lose(const Event& event);
  void deliver(Event event, const Sink& sink);
  void note_accepted(int fd, bool late);
  void note_received(const Running& running, const Event& event);
  void note_send(Flow& flow, int fd, std::span<const iovec> segments);
  void check_idle_end(Flow& flow, int fd);
  void begin(Op op, Token token, int fd);
  void finish(Op op, Token token);
  [[nodiscard]] Running* find(Op op, Token token);
  [[nodiscard]] Flow& flow(int fd);

  World& world_;
  ReactorState& reactor_;
  SimBackend inner_;
  Instant now_;
  size_t delivered_ = 0;  // in this wait
  int broadcast_ = -1;    // what the second watch is of
  std::map<Key, Running> running_;
  std::vector<std::pair<Token, int>> refused_;  // receives that could not be registered: their last events
};

static_assert(IoBackend<WorldBackend>);

}  // namespace lastcall::test
