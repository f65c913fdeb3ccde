#pragma once

#include <lastcall/core/buffer.hpp>
#include <lastcall/core/io_backend.hpp>
#include <lastcall/core/mailbox.hpp>
#include <lastcall/core/timer_wheel.hpp>

namespace lastcall {

/// One thread's loop: a backend, its timers, its memory, and the mailbox through which others reach it. Knows
/// no protocol; made, turned and destroyed on its own thread (post to its mailbox from any).
template <IoBackend B>
class Reactor {
 public:
  /// `mail`: the token under which the backend watches the mailbox; its slot is the reactor's from here on.
  explicit Reactor(Token mail) : timers_(backend_.now()), mail_(mail) {
    backend_.watch_start(mail_, mailbox_.wake_fd());
  }
  Reactor(const Reactor&) = delete;
  Reactor& operator=(const Reactor&) = delete;
  ~Reactor() { backend_.watch_stop(mail_, mailbox_.wake_fd()); }

  /// One turn: sleeps until an event, a timer or `until`; then events to sink(const Event&), messages of the
  /// mailbox, and due timers to fire(Timer&), in this order.
  template <class Sink, class Fire>
  void turn(Instant until, Sink&& sink, Fire&& fire) {
    Instant due = timers_.next_due();
    bool has_mail = false;
    backend_.wait(due < until ? due : until, [&](const Event& event) {
      if (event.token.slot == mail_.slot) {
        has_mail = true;
      } else {
        sink(event);
      }
    });
    if (has_mail) mailbox_.run_all();
    timers_.advance(backend_.now(), fire);
  }

  [[nodiscard]] B& io() noexcept { return backend_; }
  [[nodiscard]] TimerWheel& timers() noexcept { return timers_; }
  [[nodiscard]] Mailbox& mailbox() noexcept { return mailbox_; }
  [[nodiscard]] BufferPool& buffers() noexcept { return buffers_; }

 private:
  B backend_;
  TimerWheel timers_;
  Mailbox mailbox_;
  BufferPool buffers_;
  Token mail_;
};

}  // namespace lastcall
