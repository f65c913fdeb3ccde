#include "client.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include <lastcall/core/check.hpp>
#include <lastcall/core/clock.hpp>
#include <lastcall/net/address.hpp>

namespace lastcall::load {
namespace {

constexpr const char* kEndOfStream = "end of stream";

std::string error_name(int error) {
  const char* name = ::strerrorname_np(error);
  return name == nullptr ? "errno " + std::to_string(error) : name;
}

/// The load itself is at an end of its means; the server has not been asked.
bool is_our_own(int error) {
  return error == EADDRNOTAVAIL || error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

}  // namespace

Client::Client(Context& context, uint32_t index, uint32_t key)
    : context_(context),
      key_(key),
      target_(index % static_cast<uint32_t>(context.shared.options.targets.size())),
      fresh_(index >= context.shared.options.keep_alive),
      path_(index % static_cast<uint32_t>(context.shared.requests.paths())) {}

void Client::begin(Instant intended, uint32_t count) {
  LASTCALL_CHECK(!busy());
  intended_ = intended;
  began_ = monotonic_now();
  count_ = count;
  answered_ = 0;
  bytes_sent_ = 0;
  bytes_to_send_ = 0;
  for (uint32_t i = 0; i < count; ++i) bytes_to_send_ += request_bytes(i);
  deaf_ = false;
  if (!fd_ || drop_ended_connection()) {
    connect();
  } else {
    exchange();
  }
}

/// What waits on a connection, without taking it: what real clients ask before they use one again.
Client::Kept Client::peek(std::string& reason) const {
  char byte;
  ssize_t got = ::recv(fd_.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  if (got > 0) return Kept::bytes;
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return Kept::quiet;
  reason = got == 0 ? kEndOfStream : error_name(errno);
  return Kept::ended;
}

/// True when the kept connection was of no use any more. Nothing was sent on it, so nothing is lost.
bool Client::drop_ended_connection() {
  std::string reason;
  Kept kept = peek(reason);
  if (kept == Kept::quiet) return false;
  ++context_.tally.closed_idle;
  if (kept == Kept::bytes) ++context_.tally.unsolicited;
  fd_.reset();
  return true;
}

void Client::connect() {
  const Address& target = context_.shared.options.targets[target_];
  fd_.reset(::socket(target.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd_) return refuse(errno, "socket: " + error_name(errno));
  int one = 1;
  ::setsockopt(fd_.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);  // refused for unix sockets
  const auto* address = reinterpret_cast<const sockaddr*>(&target.storage);
  // A connect that a signal interrupts goes on behind our back, like one in progress.
  if (::connect(fd_.get(), address, target.length) != 0 && errno != EINPROGRESS && errno != EINTR) {
    return refuse(errno, error_name(errno));
  }
  state_ = State::connecting;
  epoll_event entry{};
  entry.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  entry.data.u32 = key_;
  LASTCALL_CHECK(::epoll_ctl(context_.epoll, EPOLL_CTL_ADD, fd_.get(), &entry) == 0);
}

void Client::connected(uint32_t events) {
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) return refuse(error, error_name(error));
  if ((events & EPOLLOUT) == 0) return;
  ++context_.tally.connections;
  connected_at_ = monotonic_now();
  answered_on_connection_ = 0;
  mark_refused(false);
  std::string reason;
  if (peek(reason) == Kept::ended) return dropped(reason);
  exchange();
  // Whatever came before the request was reported by this edge, and no other follows.
  if (state_ == State::exchanging && (events & (EPOLLIN | EPOLLRDHUP))) receive(true);
}

void Client::exchange() {
  state_ = State::exchanging;
  reader_.start(context_.shared.options.method == "HEAD");
  send();
}

std::string_view Client::head(uint32_t number) const noexcept {
  const Requests& requests = context_.shared.requests;
  return requests.head(target_, (path_ + number) % requests.paths(), fresh_);
}

size_t Client::request_bytes(uint32_t number) const noexcept {
  return head(number).size() + context_.shared.requests.body().size();
}

/// Of how many at least a byte has left.
uint32_t Client::requests_sent() const noexcept {
  uint32_t number = 0;
  for (uint64_t before = 0; number < count_ && before < bytes_sent_; ++number)
    before += request_bytes(number);
  return number;
}

void Client::send() {
  while (bytes_sent_ < bytes_to_send_ && !deaf_) {
    std::array<iovec, 2 * kMostPipelined> pieces;
    size_t used = 0;
    uint64_t skip = bytes_sent_;
    auto add = [&](std::string_view text) {
      uint64_t skipped = std::min<uint64_t>(skip, text.size());
      skip -= skipped;
      text.remove_prefix(skipped);
      if (!text.empty()) pieces[used++] = {const_cast<char*>(text.data()), text.size()};
    };
    for (uint32_t i = 0; i < count_; ++i) {
      add(head(i));
      add(context_.shared.requests.body());
    }
    msghdr message{};
    message.msg_iov = pieces.data();
    message.msg_iovlen = used;
    ssize_t sent = ::sendmsg(fd_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) {
      bytes_sent_ += static_cast<uint64_t>(sent);
    } else if (errno == EAGAIN) {
      return;  // EPOLLOUT follows
    } else if (errno != EINTR) {
      return send_failed(errno);
    }
  }
}

void Client::send_failed(int error) {
  if (bytes_sent_ > 0) {  // an answer may have come all the same
    deaf_ = true;
    deaf_reason_ = error_name(error);
    return receive(true);
  }
  if (answered_on_connection_ == 0) {
    return dropped(error_name(error));
  }
  // It ended between the look and the send: not a byte left, and the next connection takes the request.
  ++context_.tally.closed_idle;
  state_ = State::free;
  fd_.reset();
  connect();
}

void Client::on_ready(uint32_t events) {
  switch (state_) {
    case State::free: return look_at_idle();
    case State::connecting: return connected(events);
    case State::exchanging: break;
  }
  if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
    receive((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0);
  }
  if (state_ == State::exchanging && (events & EPOLLOUT)) send();
}

/// Something happened to a connection that nothing was asked on.
void Client::look_at_idle() {
  if (fd_) static_cast<void>(drop_ended_connection());
}

/// `until_end`: this edge also tells of the end, so a short read is not all there is.
void Client::receive(bool until_end) {
  while (state_ == State::exchanging) {
    ssize_t got = ::recv(fd_.get(), context_.buffer.data(), context_.buffer.size(), MSG_DONTWAIT);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return;
    if (got < 0) return ended(error_name(errno), false);
    if (got == 0) return ended(deaf_ ? deaf_reason_ : kEndOfStream, !deaf_);
    auto size = static_cast<size_t>(got);
    context_.tally.bytes_received += size;
    take({context_.buffer.data(), size});
    if (!until_end && size < context_.buffer.size()) return;
  }
}

void Client::take(std::string_view bytes) {
  while (state_ == State::exchanging && !bytes.empty()) {
    bytes.remove_prefix(reader_.feed(bytes));
    if (reader_.malformed()) {
      note(Outcome::malformed, "not an answer of HTTP/1");
      ++answered_;
      fail_unanswered("behind a malformed answer");
      return finish(false);
    }
    if (reader_.complete()) answered();
  }
  if (state_ == State::free && !bytes.empty() && fd_) {  // more than was asked for
    ++context_.tally.unsolicited;
    fd_.reset();
  }
}

void Client::answered() {
  Duration latency = monotonic_now() - intended_;
  context_.tally.answered(reader_.status(), latency);
  if (!context_.shared.options.samples.empty()) {
    context_.tally.sample(intended_ - context_.shared.start, latency, reader_.status());
  }
  ++answered_;
  ++answered_on_connection_;
  if (reader_.closes() || fresh_) {
    uint32_t sent = requests_sent();
    if (sent > answered_) note(Outcome::turned_away, "behind Connection: close", sent - answered_);
    return finish(false);
  }
  if (answered_ == count_) return finish(bytes_sent_ == bytes_to_send_);
  reader_.start(context_.shared.options.method == "HEAD");
}

/// The connection ended while an answer was owed.
void Client::ended(const std::string& reason, bool in_order) {
  if (in_order && reader_.end_of_stream()) return answered();
  if (reader_.started()) {
    note(Outcome::truncated, reason);
    ++answered_;
  }
  fail_unanswered(reason);
  finish(false);
}

/// Everything sent of which not a byte of answer came.
void Client::fail_unanswered(const std::string& reason) {
  uint32_t sent = requests_sent();
  if (sent <= answered_) return;
  bool first = answered_on_connection_ == 0 && answered_ == 0;
  note(first ? Outcome::lost_new : Outcome::lost_reuse, reason, sent - answered_);
}

void Client::refuse(int error, const std::string& reason) {
  bool ours = is_our_own(error);
  context_.tally.failed(ours ? Outcome::unable : Outcome::refused, reason, count_);
  // A full queue of a Unix socket (EAGAIN) passes.
  if (error != 0 && error != EAGAIN && !ours) mark_refused(true);
  finish(false);
}

/// A connection that was there for a moment.
void Client::dropped(const std::string& reason) {
  note(Outcome::dropped, reason, count_);
  finish(false);
}

void Client::mark_refused(bool refused) {
  if (refused == refused_) return;
  refused_ = refused;
  if (refused) {
    context_.shared.refused.fetch_add(1, std::memory_order_relaxed);
  } else {
    context_.shared.refused.fetch_sub(1, std::memory_order_relaxed);
  }
}

void Client::note(Outcome outcome, const std::string& reason, uint64_t count) {
  context_.tally.failed(outcome, reason, count);
  Instant now = monotonic_now();
  sockaddr_storage local{};
  socklen_t size = sizeof local;
  auto* address = reinterpret_cast<sockaddr*>(&local);
  bool known = ::getsockname(fd_.get(), address, &size) == 0;
  context_.tally.example({.outcome = outcome,
                          .reason = reason,
                          .at = now - context_.shared.start,
                          .since_sent = now - began_,
                          .connection_age = now - connected_at_,
                          .answered = answered_on_connection_,
                          .local = known ? format_address(address, size) : "?"});
}

void Client::on_time(Instant now) {
  if (!busy() || now < began_ + context_.shared.options.timeout) return;
  if (state_ == State::connecting) return refuse(ETIMEDOUT, "no connection within the timeout");
  uint32_t sent = requests_sent();
  if (sent > answered_) {
    note(Outcome::stuck, reader_.started() ? "answer begun" : "no byte of answer", sent - answered_);
  }
  finish(false);
}

void Client::stop_connecting() {
  if (state_ == State::connecting) finish(false);
}

void Client::finish(bool keep) {
  if (!keep) fd_.reset();
  state_ = State::free;
  path_ = static_cast<uint32_t>((path_ + count_) % context_.shared.requests.paths());
}

}  // namespace lastcall::load
