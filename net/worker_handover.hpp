#pragma once

// Worker: idle connections go on in the process that replaces this one. Included by worker.hpp.

#include <lastcall/net/worker.hpp>

namespace lastcall {

/// Between two requests, or before the first: nothing of it is here but the descriptor.
template <class B, class P>
bool Worker<B, P>::may_leave(const Conn& connection) const noexcept {
  return connection.state_ == State::open && !connection.counted_active_ && !connection.refused_ &&
         !connection.peer_ended_ && !connection.input_paused_ && connection.reason_ == CloseReason::none &&
         connection.protocol_.close_wish() == CloseWish::none && connection.protocol_.may_leave();
}

/// Nothing is received here any more, so what comes from now on waits in the socket, for whoever has it.
/// True: it is gone, and so is its slot.
template <class B, class P>
bool Worker<B, P>::hand_over(Conn& connection) {
  io().release(connection.token(), connection.fd_);
  switch (successor_->take(connection.fd_, connection.protocol_.leaving_note())) {
    case ConnectionTaker::Answer::taken: break;
    case ConnectionTaker::Answer::not_now:
      if (loop_.now >= abandon_at_) {
        abandon_hand_over();
      } else {
        connection.due_ = loop_.now + kHandOverRetry;
      }
      return false;
    case ConnectionTaker::Answer::never: abandon_hand_over(); return false;
  }
  add(loop_.counters.handed_over, 1);
  add(loop_.counters.idle, uint64_t(-1));
  loop_.timers.cancel(connection.timer_);
  connection.protocol_.on_close();
  connections_.release(connection);
  static_cast<void>(gate_.leave());
  abandon_at_ = loop_.now + kHandOverPatience;
  return true;
}

/// The successor is gone, or does not go on, or the stop has no more time: the rest ends here as in any stop.
template <class B, class P>
void Worker<B, P>::abandon_hand_over() {
  if (std::exchange(successor_, nullptr) == nullptr) return;
  loop_.handing_over = false;
  connections_.for_each([this](Conn& connection) {
    connection.leaving_ = false;
    begin_grace(connection);
    connection.touch();
  });
}

}  // namespace lastcall
