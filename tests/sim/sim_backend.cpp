#include "tests/sim/sim_backend.hpp"

#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string_view>

#include <lastcall/core/check.hpp>

namespace lastcall {

// --- bookkeeping

SimBackend::Descriptor* SimBackend::find(int fd) {
  auto found = descriptors_.find(fd);
  return found == descriptors_.end() ? nullptr : &found->second;
}

/// The state of `fd`, which belongs to the token's slot from its first operation until close().
SimBackend::Descriptor& SimBackend::bind(Token token, int fd) {
  LASTCALL_CHECK(network_->is_open(fd) && !watches_.contains(token.slot));
  auto [owner, new_slot] = slots_.try_emplace(token.slot, fd);
  LASTCALL_CHECK(owner->second == fd);  // one slot names one descriptor at a time
  auto [found, new_fd] = descriptors_.try_emplace(fd);
  Descriptor& descriptor = found->second;
  if (new_fd) {
    descriptor.slot = token.slot;
    descriptor.generation = token.generation;
  }
  LASTCALL_CHECK(descriptor.slot == token.slot && descriptor.generation == token.generation);
  return descriptor;
}

bool SimBackend::chance(double SimOptions::*probability) {
  return network_->random().chance(network_->options().*probability);
}

bool SimBackend::stop(std::optional<Subscription>& subscription, Token token) {
  LASTCALL_CHECK(subscription && !subscription->stopping);
  LASTCALL_CHECK(subscription->token.slot == token.slot &&
                 subscription->token.generation == token.generation);
  if (chance(&SimOptions::stop_by_event)) {
    subscription->stopping = true;
    return false;
  }
  subscription.reset();
  return true;
}

size_t SimBackend::in_flight() const noexcept {
  size_t count = watches_.size();
  for (auto& [fd, descriptor] : descriptors_) {
    count += size_t{descriptor.accept.has_value()} + size_t{descriptor.recv.has_value()} +
             size_t{descriptor.send.has_value()};
  }
  return count;
}

// --- the calls

void SimBackend::accept_start(Token token, int fd) {
  Descriptor& descriptor = bind(token, fd);
  LASTCALL_CHECK(!descriptor.accept);
  descriptor.accept = Subscription{with_op(token, Op::accept)};
}

bool SimBackend::accept_stop(Token token, int fd) {
  return stop(bind(token, fd).accept, token);
}

int SimBackend::accept_now(Token token, int fd) {
  bind(token, fd);
  return network_->accept(fd);
}

void SimBackend::recv_start(Token token, int fd) {
  Descriptor& descriptor = bind(token, fd);
  LASTCALL_CHECK(!descriptor.recv);
  descriptor.recv = Subscription{with_op(token, Op::recv)};
}

bool SimBackend::recv_pause(Token token, int fd) {
  return stop(bind(token, fd).recv, token);
}

SendStatus SimBackend::send(Token token, int fd, std::span<const iovec> segments, SendHint hint) {
  Descriptor& descriptor = bind(token, fd);
  LASTCALL_CHECK(!descriptor.send);
  network_->count_send();
  LASTCALL_CHECK(!segments.empty() && segments.size() <= kMaxSendSegments);
  Send send{.token = with_op(token, Op::send), .last = hint == SendHint::last};
  if (send.last) ++last_sends_;
  std::ranges::copy(segments, send.segments.begin());
  for (const iovec& segment : segments) send.size += segment.iov_len;
  if (chance(&SimOptions::pending_send)) {
    descriptor.send = send;
    return {.result = 0, .pending = true};
  }
  while (send.done < send.size) {
    int result = network_->transmit(fd, send.rest());
    if (result == -EAGAIN) {
      descriptor.send = send;
      return {.result = 0, .pending = true};
    }
    if (result < 0)
      return {.result = send.done != 0 ? static_cast<int>(send.done) : result, .pending = false};
    send.done += static_cast<size_t>(result);
  }
  on_whole(descriptor, send);
  return {.result = static_cast<int>(send.done), .pending = false};
}

/// A kernel may keep the bytes of a last send until the end comes.
void SimBackend::on_whole(Descriptor& descriptor, const Send& send) noexcept {
  descriptor.owes_end = send.last && !descriptor.ended;
}

std::string_view SimBackend::Send::rest() const {
  size_t skip = done;
  for (const iovec& segment : segments) {
    if (skip < segment.iov_len)
      return {static_cast<const char*>(segment.iov_base) + skip, segment.iov_len - skip};
    skip -= segment.iov_len;
  }
  return {};
}

void SimBackend::watch_start(Token token, int fd) {
  bool added = watches_.try_emplace(token.slot, Watch{with_op(token, Op::watch), fd}).second;
  LASTCALL_CHECK(added && !slots_.contains(token.slot));
  if (!eventfds_) eventfds_.reset(::epoll_create1(EPOLL_CLOEXEC));
  epoll_event event{.events = EPOLLIN | EPOLLET, .data = {.u32 = token.slot}};
  ::epoll_ctl(eventfds_.get(), EPOLL_CTL_ADD, fd, &event);  // EBADF: a made-up number, fired by signal()
}

void SimBackend::watch_stop(Token token, int fd) {
  auto found = watches_.find(token.slot);
  LASTCALL_CHECK(found != watches_.end() && found->second.fd == fd);
  ::epoll_ctl(eventfds_.get(), EPOLL_CTL_DEL, fd, nullptr);
  watches_.erase(found);
}

void SimBackend::half_close(int fd) {
  Descriptor* descriptor = find(fd);
  LASTCALL_CHECK(descriptor == nullptr || !descriptor->send);  // would cut the send short
  if (descriptor != nullptr) {
    descriptor->ended = true;
    descriptor->owes_end = false;
  }
  network_->shutdown_write(fd);
}

void SimBackend::abort(int fd) {
  if (Descriptor* descriptor = find(fd)) {
    descriptor->ended = true;
    descriptor->owes_end = false;
  }
  network_->shutdown_both(fd);
}

void SimBackend::close(Token token, int fd) {
  if (Descriptor* descriptor = find(fd)) descriptor->owes_end = false;
  release(token, fd);
  network_->close(fd);
}

void SimBackend::release(Token token, int fd) {
  if (Descriptor* descriptor = find(fd)) {
    LASTCALL_CHECK(descriptor->slot == token.slot && descriptor->generation == token.generation);
    LASTCALL_CHECK(!descriptor->busy());  // operations must have ended before
    LASTCALL_CHECK(!descriptor->owes_end);
    slots_.erase(descriptor->slot);
    descriptors_.erase(fd);
  }
}

// --- waiting

void SimBackend::run(Instant until, const Sink& sink) {
  LASTCALL_CHECK(!std::exchange(waiting_, true));
  for (const auto& [fd, descriptor] : descriptors_) LASTCALL_CHECK(!descriptor.owes_end);
  while (true) {
    network_->run_due();
    Outcome outcome = turn(sink);
    if (outcome == Outcome::delivered) break;
    if (outcome == Outcome::idle && !network_->advance(until)) break;
  }
  waiting_ = false;
}

SimBackend::Outcome SimBackend::turn(const Sink& sink) {
  struct Candidate {
    int fd;
    Op op;
    Token token;
  };
  collect_eventfds();
  std::vector<Candidate> candidates;
  for (auto& [slot, watch] : watches_) {
    if (network_->take_signal(watch.fd)) watch.fired = true;
    if (watch.fired) candidates.push_back({watch.fd, Op::watch, watch.token});
  }
  for (auto& [fd, descriptor] : descriptors_) {
    if (descriptor.accept) candidates.push_back({fd, Op::accept, descriptor.accept->token});
    if (descriptor.send) candidates.push_back({fd, Op::send, descriptor.send->token});
    if (descriptor.recv) candidates.push_back({fd, Op::recv, descriptor.recv->token});
  }
  if (network_->options().shuffle) {
    for (size_t left = candidates.size(); left > 1; --left) {
      std::swap(candidates[left - 1], candidates[network_->random().below(left)]);
    }
  }
  Outcome best = Outcome::idle;
  for (const Candidate& candidate : candidates) {
    best = std::max(best, poll(candidate.fd, candidate.op, candidate.token, sink));
  }
  return best;
}

/// Goes on with one operation if it is still the one that the turn began with: the sink may have ended it,
/// closed its descriptor and started another on the same numbers.
SimBackend::Outcome SimBackend::poll(int fd, Op op, Token token, const Sink& sink) {
  if (op == Op::watch) return poll_watch(token, sink);
  Descriptor* descriptor = find(fd);
  if (descriptor == nullptr) return Outcome::idle;
  if (op == Op::accept && descriptor->accept && descriptor->accept->token == token)
    return poll_accept(fd, sink);
  if (op == Op::recv && descriptor->recv && descriptor->recv->token == token) return poll_recv(fd, sink);
  if (op == Op::send && descriptor->send && descriptor->send->token == token) return poll_send(fd, sink);
  return Outcome::idle;
}

SimBackend::Outcome SimBackend::poll_accept(int fd, const Sink& sink) {
  std::optional<Subscription>& accept = descriptors_.at(fd).accept;
  Token token = accept->token;
  int result = -EAGAIN;
  if (!accept->stopping || chance(&SimOptions::late_events)) {
    bool fail = network_->queued(fd) != 0 && chance(&SimOptions::accept_error);
    result = fail ? -EMFILE : network_->accept(fd);
  }
  if (result == -EAGAIN) {
    if (!accept->stopping) return Outcome::idle;
    result = -ECANCELED;
  }
  if (result < 0) accept.reset();
  sink(Event{.token = token, .result = result, .last = result < 0, .bytes = {}});
  return Outcome::delivered;
}

SimBackend::Outcome SimBackend::poll_recv(int fd, const Sink& sink) {
  std::optional<Subscription>& recv = descriptors_.at(fd).recv;
  Token token = recv->token;
  int result = -EAGAIN;
  std::unique_ptr<char[]> bytes;
  if (!recv->stopping || chance(&SimOptions::late_events)) {
    size_t queued = static_cast<size_t>(network_->unread(fd));
    if (queued != 0 && chance(&SimOptions::recv_error)) {
      network_->break_connection(fd);
      queued = 0;
    }
    size_t size = std::min(queued, network_->options().max_read_bytes);
    if (size > 1 && chance(&SimOptions::torn_read)) size = 1 + network_->random().below(size);
    bytes = std::make_unique<char[]>(size);
    result = network_->receive(fd, {bytes.get(), size});
  }
  if (result == -EAGAIN) {
    if (!recv->stopping) return Outcome::idle;
    result = -ECANCELED;
  }
  if (result <= 0) recv.reset();
  size_t size = result > 0 ? static_cast<size_t>(result) : 0;
  sink(Event{.token = token,
             .result = result,
             .last = result <= 0,
             .bytes = std::as_bytes(std::span<const char>(bytes.get(), size))});
  if (size != 0) std::memset(bytes.get(), 0xdd, size);  // the loan is over
  return Outcome::delivered;
}

SimBackend::Outcome SimBackend::poll_send(int fd, const Sink& sink) {
  Send& send = *descriptors_.at(fd).send;
  Token token = send.token;
  int result = 0;
  size_t before = send.done;
  while (send.done < send.size) {
    std::string_view part = send.rest();
    bool torn = part.size() > 1 && chance(&SimOptions::torn_send);
    if (torn) part = part.substr(0, 1 + network_->random().below(part.size()));
    result = network_->transmit(fd, part);
    if (result < 0) break;
    send.done += static_cast<size_t>(result);
    if (torn && send.done < send.size) return Outcome::moved;
  }
  if (result == -EAGAIN) return send.done == before ? Outcome::idle : Outcome::moved;
  if (result >= 0 || send.done != 0) result = static_cast<int>(send.done);
  Descriptor& descriptor = descriptors_.at(fd);
  if (send.done == send.size) on_whole(descriptor, send);
  descriptor.send.reset();
  sink(Event{.token = token, .result = result, .last = true, .bytes = {}});
  return Outcome::delivered;
}

SimBackend::Outcome SimBackend::poll_watch(Token token, const Sink& sink) {
  auto found = watches_.find(token.slot);
  if (found == watches_.end() || found->second.token != token) return Outcome::idle;
  found->second.fired = false;
  sink(Event{.token = token, .result = 1, .last = false, .bytes = {}});
  return Outcome::delivered;
}

/// Edge-triggered: each write to an eventfd is seen once although nobody reads it.
void SimBackend::collect_eventfds() {
  if (!eventfds_) return;
  std::array<epoll_event, 16> events;
  int count = 0;
  while ((count = ::epoll_wait(eventfds_.get(), events.data(), static_cast<int>(events.size()), 0)) > 0) {
    for (int i = 0; i < count; ++i) {
      if (auto found = watches_.find(events[static_cast<size_t>(i)].data.u32); found != watches_.end()) {
        found->second.fired = true;
      }
    }
  }
}

}  // namespace lastcall
