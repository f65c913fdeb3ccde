#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include <lastcall/net/address.hpp>
#include <lastcall/net/detached.hpp>

namespace lastcall {

void DetachedConnection::be_over(bool close_it) {
  std::lock_guard lock(mutex);
  if (close_it) fd.reset();
  DetachedSet* const told = std::exchange(set, nullptr);
  if (told == nullptr) return;
  // The set is there as long as the mailbox runs; whom this does not reach any more end() counts.
  told->loop_.mailbox.post([told, self = shared_from_this()] { told->on_over(*self); });
}

std::shared_ptr<DetachedConnection> DetachedSet::add(int fd, uint64_t bytes_sent) {
  auto member = std::make_shared<DetachedConnection>();
  members_.push_back(member);
  // One backend has its sockets block, another has not: the holder finds them the same.
  ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
  member->fd = Fd(fd);
  member->set = this;
  member->drain = loop_.drain.get_token();
  member->peer = peer_address(fd);
  member->began = loop_.now;
  member->bytes_sent = bytes_sent;
  return member;
}

void DetachedSet::count_out(bool aborted) noexcept {
  auto add = [](std::atomic<uint64_t>& counter, uint64_t delta) {
    counter.store(counter.load(std::memory_order_relaxed) + delta, std::memory_order_relaxed);
  };
  add(aborted ? loop_.counters.aborted : loop_.counters.completed, 1);
  add(loop_.counters.active, uint64_t(-1));
}

void DetachedSet::on_over(const DetachedConnection& member) noexcept {
  const auto at = std::ranges::find(members_, &member, [](const auto& one) { return one.get(); });
  if (at == members_.end()) return;
  count_out(member.forced);
  members_.erase(at);
}

void DetachedSet::force() {
  const auto members = members_;  // a callback of a token may do anything
  for (const auto& member : members) {
    {
      std::lock_guard lock(member->mutex);
      if (member->set == nullptr || member->forced) continue;  // over: the mail says so, or is on its way
      member->forced = true;
      ::shutdown(member->fd.get(), SHUT_RDWR);
    }
    control_.report_aborted({.peer = member->peer,
                             .method = member->method,
                             .target = member->target,
                             .state = "hijacked",
                             .age_ms = to_ms(loop_.now - member->began),
                             .bytes_sent = member->bytes_sent,
                             .why = control_.why()});
    member->stop.request_stop();  // not under the lock: a callback may end it
  }
}

void DetachedSet::end() noexcept {
  for (const auto& member : std::exchange(members_, {})) {
    std::lock_guard lock(member->mutex);
    const bool held = std::exchange(member->set, nullptr) != nullptr;
    count_out(held || member->forced);
  }
}

}  // namespace lastcall
