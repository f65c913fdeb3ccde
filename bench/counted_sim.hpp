#pragma once

#include <valgrind/callgrind.h>

#include <span>

#include "tests/sim/sim_backend.hpp"

namespace lastcall::bench {

/// Which instructions callgrind counts: those between begin() and end() that are not between pause() and
/// resume(). Without valgrind all of it does nothing. Not inline: what the calls themselves cost has their
/// name, and is taken off by it.
class Counting {
 public:
  [[gnu::noinline]] static void begin() noexcept {
    on_ = true;
    CALLGRIND_TOGGLE_COLLECT;
  }
  [[gnu::noinline]] static void end() noexcept {
    CALLGRIND_TOGGLE_COLLECT;
    on_ = false;
  }
  [[gnu::noinline]] static void pause() noexcept {
    if (on_) CALLGRIND_TOGGLE_COLLECT;
  }
  [[gnu::noinline]] static void resume() noexcept {
    if (on_) CALLGRIND_TOGGLE_COLLECT;
  }

 private:
  static inline bool on_ = false;
};

/// SimBackend as a kernel that costs nothing: what it does is not counted, what its sink does is.
class CountedSim {
 public:
  static constexpr const char* kName = "sim";

  [[nodiscard]] Instant now() const noexcept { return now_; }  // cached, as in the real ones
  [[nodiscard]] Duration wall() const noexcept {
    Uncounted here;
    return sim_.wall();
  }
  void accept_start(Token token, int fd) {
    Uncounted here;
    sim_.accept_start(token, fd);
  }
  bool accept_stop(Token token, int fd) {
    Uncounted here;
    return sim_.accept_stop(token, fd);
  }
  int accept_now(Token token, int fd) {
    Uncounted here;
    return sim_.accept_now(token, fd);
  }
  void recv_start(Token token, int fd) {
    Uncounted here;
    sim_.recv_start(token, fd);
  }
  bool recv_pause(Token token, int fd) {
    Uncounted here;
    return sim_.recv_pause(token, fd);
  }
  SendStatus send(Token token, int fd, std::span<const iovec> segments, SendHint hint) {
    Uncounted here;
    return sim_.send(token, fd, segments, hint);
  }
  void watch_start(Token token, int fd) {
    Uncounted here;
    sim_.watch_start(token, fd);
  }
  void watch_stop(Token token, int fd) {
    Uncounted here;
    sim_.watch_stop(token, fd);
  }
  void half_close(int fd) {
    Uncounted here;
    sim_.half_close(fd);
  }
  void abort(int fd) {
    Uncounted here;
    sim_.abort(fd);
  }
  void close(Token token, int fd) {
    Uncounted here;
    sim_.close(token, fd);
  }
  void release(Token token, int fd) {
    Uncounted here;
    sim_.release(token, fd);
  }
  [[nodiscard]] int unread(int fd) const {
    Uncounted here;
    return sim_.unread(fd);
  }
  [[nodiscard]] uint64_t progress(int fd) const {
    Uncounted here;
    return sim_.progress(fd);
  }
  template <class Sink>
  void wait(Instant until, Sink&& sink) {
    Uncounted here;
    sim_.wait(until, [&](const Event& event) {
      now_ = sim_.now();
      Counting::resume();
      sink(event);
      Counting::pause();
    });
    now_ = sim_.now();
  }

 private:
  struct Uncounted {
    Uncounted() noexcept { Counting::pause(); }
    Uncounted(const Uncounted&) = delete;
    Uncounted& operator=(const Uncounted&) = delete;
    ~Uncounted() { Counting::resume(); }
  };

  SimBackend sim_;
  Instant now_ = sim_.now();
};

static_assert(IoBackend<CountedSim>);

}  // namespace lastcall::bench
