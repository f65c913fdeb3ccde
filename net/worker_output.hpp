#pragma once

// Worker: what is sent, at the end of a turn. Included by worker.hpp.

#include <array>
#include <span>

#include <lastcall/net/worker.hpp>

namespace lastcall {

template <class B, class P>
void Worker<B, P>::on_sent(Conn& connection, const Event& event) {
  connection.sending_ = false;
  // From here on it is the time for a look at the client again.
  if (connection.reason_ == CloseReason::none) connection.due_ = loop_.now + kPeerCheck;
  if (account_sent(connection, event.result) && connection.sends_last_) [[unlikely]]
    io().half_close(connection.fd_);  // at once: the answer may be waiting for it, and others come first in this turn
  if (connection.listed_ != Listed::sending) connection.touch();
}

/// False when the connection broke.
template <class B, class P>
bool Worker<B, P>::account_sent(Conn& connection, int32_t result) {
  size_t total = connection.in_flight_.size();
  connection.in_flight_.release();
  if (connection.rare_ != nullptr) total += std::exchange(connection.rare_->lasting_in_flight, 0);
  if (result > 0) {
    connection.bytes_sent_ += static_cast<uint64_t>(result);
    add(loop_.counters.bytes_sent, static_cast<uint64_t>(result));
  }
  if (result >= 0 && static_cast<size_t>(result) == total) return true;
  if (connection.state_ != State::ending) end(connection, CloseReason::peer_reset);
  return false;
}

/// Whatever was written is sent first, one send behind the other: a system call displaces the code of a turn
/// from the nearest cache, so that what lies between two of them runs at the pace of the next one.
template <class B, class P>
void Worker<B, P>::settle_dirty() {
  for (auto* each = static_cast<Conn*>(loop_.dirty); each != nullptr;) {
    Conn& connection = *each;
    each = static_cast<Conn*>(connection.next_dirty_);
    if (connection.state_ == State::open && !connection.sending_ && !connection.prepared_.empty())
      static_cast<void>(send(connection));
  }
  auto* list = static_cast<Conn*>(std::exchange(loop_.dirty, nullptr));
  loop_.touched = false;
  while (list != nullptr) {
    Conn& connection = *list;
    list = static_cast<Conn*>(connection.next_dirty_);
    if (connection.listed_ == Listed::sending && !connection.sending_) [[likely]] {
      rest_again(connection);
      continue;
    }
    tell_of_room(connection);
    if (!rests(connection)) {
      settle(connection);  // stays listed inside, so that touch() there does nothing
    } else if (connection.sending_ && !connection.answers_) {
      settle_later(connection);
    } else {
      connection.listed_ = Listed::no;
      rest(connection);
    }
  }
}

/// A send that is pending ends, nearly always, where the next turn begins, and then nothing has changed: it
/// was not worth counting and arming for that long. It stays in the list, and a turn that has one does not
/// sleep for long. Once only, so that one that does not end is counted, and has its time.
template <class B, class P>
void Worker<B, P>::settle_later(Conn& connection) {
  connection.answers_ = true;
  connection.listed_ = Listed::sending;
  connection.enlist();
}

/// … and it has ended.
template <class B, class P>
void Worker<B, P>::rest_again(Conn& connection) {
  connection.listed_ = Listed::no;
  connection.protocol_.on_output_room();
  connection.answers_ = false;
  if (connection.counted_active_) {
    count(connection);
  } else {
    begin_grace(connection);
  }
  arm(connection);
}

template <class B, class P>
void Worker<B, P>::tell_of_room(Conn& connection) {
  if (connection.state_ == State::open && !connection.sending_ && !connection.has_output())
    connection.protocol_.on_output_room();
}

/// Nothing is to be done for it until its next request comes, or what it sends has left.
template <class B, class P>
bool Worker<B, P>::rests(const Conn& connection) const noexcept {
  return connection.state_ == State::open && connection.receiving_ && !connection.receive_ending_ &&
         !connection.peer_ended_ && !connection.leaving_ && !connection.input_paused_ &&
         connection.rare_ == nullptr && connection.prepared_.empty() && connection.protocol_.rests() &&
         successor_ == nullptr;
}

template <class B, class P>
void Worker<B, P>::rest(Conn& connection) {
  count(connection);
  arm(connection);
}

template <class B, class P>
[[gnu::noinline]] void Worker<B, P>::settle(Conn& connection) {
  bool more = connection.state_ == State::open && pump(connection);
  if (release_if_ended(connection)) return;
  connection.listed_ = Listed::no;
  count(connection);
  connection.leaving_ = successor_ != nullptr && may_leave(connection);
  steer_input(connection);
  if (connection.leaving_ && !connection.receiving_ && hand_over(connection)) return;
  arm(connection);
  if (more) connection.touch();
}

/// Sends what there is and lets the protocol write more; true when it had to stop before the others starve.
template <class B, class P>
bool Worker<B, P>::pump(Conn& connection) {
  for (int sends = 0; !connection.sending_; ++sends) {
    if (!connection.has_output()) connection.protocol_.on_output_room();
    if (!connection.has_output()) break;
    if (sends == kSendsPerTurn) return true;
    if (!send(connection)) return false;
  }
  if (connection.sending_ && !connection.has_output()) connection.protocol_.on_output_room();
  if (!connection.sending_ && !connection.has_output()) fulfil_close_wish(connection);
  return false;
}

/// Of a send that takes all that was prepared.
template <class B, class P>
SendHint Worker<B, P>::hint_for(const Conn& connection) const noexcept {
  const CloseWish wish = connection.protocol_.close_wish();
  if (wish == CloseWish::none) [[likely]]
    return SendHint::usual;
  const bool ends = wish == CloseWish::direct || wish == CloseWish::linger;
  return ends && !connection.has_output() ? SendHint::last : SendHint::usual;
}

/// What is lent goes along, and what the protocol lends next as far as there is room: each send may wake the
/// client, so few large ones are cheaper than many.
template <class B, class P>
size_t Worker<B, P>::take_lasting(Conn& connection, std::span<iovec> segments) {
  size_t count = 0;
  for (auto* rare = connection.rare_.get(); rare != nullptr && !rare->lasting.empty();) {
    const size_t size = std::min(rare->lasting.size(), kMaxLentPerSend - rare->lasting_in_flight);
    segments[count++] = {const_cast<char*>(rare->lasting.data()), size};
    rare->lasting.remove_prefix(size);
    rare->lasting_in_flight += size;
    if (count == segments.size() || rare->lasting_in_flight == kMaxLentPerSend) break;
    connection.protocol_.on_output_room();
    if (!connection.prepared_.empty()) break;  // goes before what may be lent behind it
  }
  return count;
}

/// False when the connection broke.
template <class B, class P>
bool Worker<B, P>::send(Conn& connection) {
  connection.in_flight_.swap(connection.prepared_);
  std::array<iovec, kMaxSendSegments> segments;
  segments[0] = {.iov_base = connection.in_flight_.data(), .iov_len = connection.in_flight_.size()};
  size_t count = connection.in_flight_.empty() ? 0 : 1;
  if (connection.rare_ != nullptr) [[unlikely]]
    count += take_lasting(connection, std::span(segments).subspan(count));
  const SendHint hint = hint_for(connection);
  connection.sends_last_ = hint == SendHint::last;
  if (connection.sends_last_ && connection.protocol_.close_wish() == CloseWish::direct) [[unlikely]]
    stop_receiving(connection);
  SendStatus status = io().send(connection.token(), connection.fd_, {segments.data(), count}, hint);
  if (status.pending) {
    connection.sending_ = true;
    // One that is forced keeps the end it was given.
    if (connection.reason_ == CloseReason::none) connection.due_ = after(loop_.now, options_.write_timeout);
    return true;
  }
  if (!account_sent(connection, status.result)) return false;
  // The answer may be waiting for its end, which the close is, where it comes with this settling.
  if (connection.sends_last_ &&
      (connection.receiving_ || connection.protocol_.close_wish() != CloseWish::direct)) [[unlikely]]
    io().half_close(connection.fd_);
  return connection.state_ == State::open;
}

}  // namespace lastcall
