#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

#include <lastcall/core/check.hpp>
#include <lastcall/http/memory_connection.hpp>
#include <lastcall/http/memory_reactor.hpp>

namespace lastcall {
namespace {
constexpr size_t kReceiveBytes = 16 * 1024;  // most of one receive event
}

MemoryConnection::MemoryConnection(MemoryReactor& reactor) : reactor_(reactor), link_(reactor.loop()) {
  session_.emplace(reactor.environment(), link_);
  reactor.add(*this);
}

MemoryConnection::~MemoryConnection() {
  if (session_) end(CloseWish::none, CloseReason::peer_reset);
  reactor_.remove(*this);
}

void MemoryConnection::receive(std::string_view bytes) {
  LASTCALL_CHECK(!peer_ended_);
  if (!session_) return;
  unread_.append(bytes);
  reactor_.settle();
}

void MemoryConnection::end_of_stream() {
  if (!session_) return;
  reactor_.settle();
  if (!session_) return;
  LASTCALL_CHECK(unread_.empty());
  peer_ended_ = true;
  session_->on_end_of_stream();
  reactor_.settle();
}

void MemoryConnection::vanish() {
  if (session_) end(CloseWish::none, CloseReason::peer_reset);
}

std::string MemoryConnection::take(size_t most) {
  std::string taken = sent_.substr(0, most);
  sent_.erase(0, taken.size());
  if (session_) reactor_.settle();
  while (session_ && taken.size() < most && !sent_.empty()) {
    size_t more = std::min(sent_.size(), most - taken.size());
    taken.append(sent_, 0, more);
    sent_.erase(0, more);
    reactor_.settle();
  }
  if (taken.size() < most) taken.append(std::exchange(sent_, {}));
  return taken;
}

/// One look at it; true when it asks for another one.
bool MemoryConnection::settle_once() {
  if (!session_) return false;
  link_.settled();
  deliver();
  if (session_) send();
  return session_ && (link_.dirty() || (!unread_.empty() && !link_.input_paused()));
}

void MemoryConnection::deliver() {
  size_t at = 0;
  while (session_ && at < unread_.size() && !link_.input_paused()) {
    size_t size = std::min({unread_.size() - at, kReceiveBytes, piece_bytes_});
    auto lent = std::make_unique<char[]>(size);
    std::memcpy(lent.get(), unread_.data() + at, size);
    at += size;
    session_->on_bytes({lent.get(), size});
    most_prepared_ = std::max(most_prepared_, link_.output().size());
    send();
  }
  unread_.erase(0, at);
}

/// Worker::pump().
void MemoryConnection::send() {
  for (bool moved = true; std::exchange(moved, false);) {
    if (link_.output().empty()) session_->on_output_room();
    most_prepared_ = std::max(most_prepared_, link_.output().size());
    Buffer& in_flight = link_.in_flight();
    if (in_flight.empty()) in_flight.swap(link_.output());
    if (size_t room = window_bytes_ - std::min(window_bytes_, sent_.size()); room > 0 && !in_flight.empty()) {
      size_t bytes = std::min(room, in_flight.size());
      sent_.append(in_flight.view().substr(0, bytes));
      link_.sent(bytes);
      moved = true;
    }
  }
  fulfil_wish();
}

void MemoryConnection::fulfil_wish() {
  CloseWish wish = session_->close_wish();
  if (!(link_.in_flight().empty() && link_.output().empty())) return;
  if (wish != CloseWish::none) {
    end(wish, session_->close_reason());
  } else if (peer_ended_ && !session_->active()) {
    end(wish, CloseReason::peer_closed);
  }
}

void MemoryConnection::end(CloseWish wish, CloseReason reason) {
  wish_ = wish;
  reason_ = reason;
  session_->on_close();
  session_.reset();
  link_.output().release();
  link_.in_flight().release();
}

void MemoryConnection::on_due() {
  if (!session_ || session_->deadline() > reactor_.loop().now) return;
  bool unsent = !link_.in_flight().empty() || !link_.output().empty();
  if (unsent || session_->active()) {
    session_->on_deadline();
    LASTCALL_CHECK(session_->deadline() > reactor_.loop().now);
    reactor_.settle();
  } else {
    end(CloseWish::linger, CloseReason::idle_timeout);
  }
}

}  // namespace lastcall
