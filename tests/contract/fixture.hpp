#pragma once

#include <gtest/gtest.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/contract/harness.hpp"

namespace lastcall::contract {

/// A descriptor of the backend under test and the token it goes by.
struct Named {
  Token token;
  int fd = -1;
};

/// What has been started on a descriptor and what became of it.
struct State {
  Named named;
  bool accepting = false, receiving = false, sending = false, watching = false;
  bool accept_stopping = false;  // its last event is to come
  bool is_eventfd = false;
  std::string received;
  std::vector<int> accepted;
  int fired = 0;  // events of a watch
  std::optional<int> accept_end, recv_end, send_end;
  [[nodiscard]] bool idle() const { return !accepting && !receiving && !sending; }
};

/// Drives one backend and holds every event against the laws: only started operations have events, each ends
/// once, tokens come back as they were given, and byte counts agree with bytes. What is still open at the end
/// of a test is stopped, aborted, waited for and closed, and no descriptor may be left.
template <class H>
class Contract : public testing::Test {
 protected:
  using Peer = typename H::Peer;
  static constexpr uint8_t kKind = 42;

  void SetUp() override {
    if (std::optional<std::string> why = H::refusal()) GTEST_SKIP() << *why;
    descriptors_before_ = count_descriptors();
    harness_.emplace();
  }

  void TearDown() override {
    if (!harness_) return;
    finish_all();
    EXPECT_EQ(harness_->open_descriptors(), 0u);
    harness_.reset();
    EXPECT_EQ(count_descriptors(), descriptors_before_);
  }

  H& harness() { return *harness_; }
  typename H::Backend& io() { return harness_->io(); }

  // --- what a caller of the backend does

  Named adopt(int fd) { return adopt(fd, Token{.slot = next_slot_++, .generation = 1, .kind = kKind}); }
  Named adopt(int fd, Token token) {
    std::erase(unadopted_, fd);
    State& state = states_[key(token)] = State();
    state.named = {token, fd};
    return {token, fd};
  }
  Named listen() { return adopt(harness_->listen()); }
  std::pair<Named, Peer> pair() {
    auto [fd, peer] = harness_->pair();
    return {adopt(fd), std::move(peer)};
  }

  Named make_eventfd() {
    eventfds_.emplace_back(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    Named named = adopt(eventfds_.back().get());
    state(named).is_eventfd = true;
    return named;
  }

  void accept_start(Named named) {
    state(named).accepting = true;
    state(named).accept_end.reset();
    io().accept_start(named.token, named.fd);
  }
  bool accept_stop(Named named) {
    bool ended = io().accept_stop(named.token, named.fd);
    (ended ? state(named).accepting : state(named).accept_stopping) = !ended;
    return ended;
  }
  /// As accept_stop, and waits for the last event.
  void accept_stop_and_wait(Named named) {
    if (!accept_stop(named)) {
      EXPECT_TRUE(run_until([&] { return !state(named).accepting; }));
    }
  }
  int accept_now(Named named) {
    int fd = io().accept_now(named.token, named.fd);
    if (fd >= 0) unadopted_.push_back(fd);
    return fd;
  }
  void recv_start(Named named) {
    state(named).receiving = true;
    state(named).recv_end.reset();
    io().recv_start(named.token, named.fd);
  }
  bool recv_pause(Named named) {
    bool ended = io().recv_pause(named.token, named.fd);
    if (ended) state(named).receiving = false;
    return ended;
  }
  void recv_pause_and_wait(Named named) {
    if (!recv_pause(named)) {
      EXPECT_TRUE(run_until([&] { return !state(named).receiving; }));
    }
  }
  /// The segments' memory must live until send_end; the iovecs are gone at once.
  SendStatus send(Named named, std::initializer_list<std::string_view> segments,
                  SendHint hint = SendHint::usual) {
    std::vector<iovec> iov;
    for (std::string_view segment : segments)
      iov.push_back({const_cast<char*>(segment.data()), segment.size()});
    State& sender = state(named);
    sender.sending = true;
    sender.send_end.reset();
    SendStatus status = io().send(named.token, named.fd, iov, hint);
    if (!status.pending) {
      sender.sending = false;
      sender.send_end = status.result;
    }
    std::ranges::fill(iov, iovec{.iov_base = nullptr, .iov_len = SIZE_MAX});
    return status;
  }
  void send_and_wait(Named named, std::initializer_list<std::string_view> segments,
                     SendHint hint = SendHint::usual) {
    if (send(named, segments, hint).pending) {
      EXPECT_TRUE(run_until([&] { return !state(named).sending; }));
    }
  }
  void watch_start(Named named) {
    state(named).watching = true;
    io().watch_start(named.token, named.fd);
  }
  void watch_stop(Named named) {
    state(named).watching = false;
    io().watch_stop(named.token, named.fd);
  }
  void close(Named named) {
    io().close(named.token, named.fd);
    states_.erase(key(named.token));
  }
  void release(Named named) {
    io().release(named.token, named.fd);
    states_.erase(key(named.token));
  }
  /// Ends what is in flight, then closes: a connection's way out when its peer is of no interest.
  void abort_and_close(Named named) {
    if (!state(named).idle()) {
      io().abort(named.fd);
      EXPECT_TRUE(run_until([&] { return state(named).idle(); }));
    }
    close(named);
  }

  // --- waiting and looking

  State& state(Named named) { return states_.at(key(named.token)); }
  Named named(Token token) { return states_.at(key(token)).named; }

  /// One wait of at most `sleep`.
  void turn(Duration sleep = 5ms) { wait(after(io().now(), sleep)); }
  void wait(Instant until) {
    io().wait(until, [this](const Event& event) { check(event); });
  }
  /// Turns until `done` is true; false if it is not within a limit that only a broken backend reaches.
  template <class Done>
  [[nodiscard]] bool run_until(Done done) {
    Instant limit = io().now() + 20s;
    while (!done()) {
      if (io().now() >= limit) return false;
      turn();
    }
    return true;
  }
  /// A few turns, for what must not happen. However ready a descriptor is, a wait must not return again and
  /// again without an event.
  void settle() {
    Instant until = io().now() + 20ms;
    int before = events_;
    int idle_waits = 0;
    while (io().now() < until) {
      wait(until);
      if (std::exchange(before, events_) == events_) ++idle_waits;
    }
    EXPECT_LT(idle_waits, 20) << "busy waiting";
  }

  /// Also called for each event, inside the sink.
  std::function<void(const Event&)> on_event_;
  int events_ = 0;

 private:
  static uint64_t key(Token token) { return uint64_t{token.slot} << 16 | token.generation; }

  void check(const Event& event) {
    ++events_;
    auto found = states_.find(key(event.token));
    if (found == states_.end()) {
      ADD_FAILURE() << "event for slot " << event.token.slot << " generation " << event.token.generation
                    << ", which is closed";
      return;
    }
    State& state = found->second;
    EXPECT_EQ(event.token, with_op(state.named.token, event.token.op));
    switch (event.token.op) {
      case Op::accept: on_accept(event, state); break;
      case Op::recv: on_recv(event, state); break;
      case Op::send: on_send(event, state); break;
      case Op::watch: on_watch(event, state); break;
      case Op::none: ADD_FAILURE() << "event without an operation"; break;
    }
    if (on_event_) on_event_(event);
  }
  void on_accept(const Event& event, State& state) {
    EXPECT_TRUE(state.accepting);
    EXPECT_TRUE(event.bytes.empty());
    if (event.result >= 0) {
      state.accepted.push_back(event.result);
      unadopted_.push_back(event.result);
    }
    EXPECT_TRUE(event.result >= 0 || event.last)
        << "error " << -event.result << " that is not the last event";
    if (event.last) {
      state.accepting = state.accept_stopping = false;
      state.accept_end = event.result;
    }
  }
  void on_recv(const Event& event, State& state) {
    EXPECT_TRUE(state.receiving);
    EXPECT_EQ(event.bytes.size(), static_cast<size_t>(std::max(event.result, 0)));
    EXPECT_NE(event.result, -EINTR);
    EXPECT_NE(event.result, -EAGAIN);
    EXPECT_NE(event.result, -ENOBUFS);
    EXPECT_TRUE(event.result > 0 || event.last);
    state.received.append(reinterpret_cast<const char*>(event.bytes.data()), event.bytes.size());
    if (event.last) {
      state.receiving = false;
      state.recv_end = event.result;
    }
  }
  void on_send(const Event& event, State& state) {
    EXPECT_TRUE(state.sending);
    EXPECT_TRUE(event.last);
    EXPECT_TRUE(event.bytes.empty());
    state.sending = false;
    state.send_end = event.result;
  }
  void on_watch(const Event& event, State& state) {
    EXPECT_TRUE(state.watching);
    EXPECT_EQ(event.result, 1);
    EXPECT_FALSE(event.last);
    ++state.fired;
  }

  void finish_all() {
    on_event_ = nullptr;
    for (auto& [key, state] : states_) {
      if (state.accepting && !state.accept_stopping) accept_stop(state.named);
      if (state.receiving || state.sending) io().abort(state.named.fd);
      if (state.watching) watch_stop(state.named);
    }
    EXPECT_TRUE(run_until(
        [&] { return std::ranges::all_of(states_, [](auto& entry) { return entry.second.idle(); }); }));
    while (!unadopted_.empty()) adopt(unadopted_.back());
    std::erase_if(states_, [](auto& entry) { return entry.second.is_eventfd; });
    while (!states_.empty()) close(states_.begin()->second.named);
    turn();  // a close may be queued
    eventfds_.clear();
  }

  size_t descriptors_before_ = 0;
  std::optional<H> harness_;
  std::map<uint64_t, State> states_;
  std::vector<int> unadopted_;  // accepted, and not yet under a token of their own
  std::vector<Fd> eventfds_;
  uint32_t next_slot_ = 0;
};

using Backends = testing::Types<RealHarness<EpollBackend, Tcp>, RealHarness<EpollBackend, Unix>,
                                RealHarness<UringBackend, Tcp>, RealHarness<UringBackend, Unix>,
                                RealHarness<GatheringUring, Tcp>, SimHarness<SimOptions::epoll_like>,
                                SimHarness<SimOptions::uring_like>, SimHarness<SimOptions::chaotic>>;

struct BackendNames {
  template <class H>
  static std::string GetName(int index) {
    static constexpr const char* kNames[] = {"epoll",          "epoll_unix",         "io_uring",
                                             "io_uring_unix",  "io_uring_gathering", "sim",
                                             "sim_uring_like", "sim_chaotic"};
    return kNames[index];
  }
};

/// Bytes in which any slip of position shows.
[[nodiscard]] inline std::string pattern(size_t size, uint64_t seed = 1) {
  SimRandom random(seed);
  std::string bytes(size, '\0');
  for (size_t at = 0; at < size; at += sizeof(uint64_t)) {
    uint64_t next = random.next();
    std::memcpy(&bytes[at], &next, std::min(sizeof next, size - at));
  }
  return bytes;
}

}  // namespace lastcall::contract
