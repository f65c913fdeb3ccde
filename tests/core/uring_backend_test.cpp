// What only io_uring has: buffers that run out, queues that fill up, requests that outlive their ring.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <lastcall/core/fd.hpp>
#include <lastcall/core/probe.hpp>
#include <lastcall/core/uring_backend.hpp>

#include "tests/contract/kernel_probe.hpp"

namespace lastcall {
namespace {

constexpr Duration kPatience = 5s;

/// Pairs of connected sockets: `ours` is the backend's, by slot, `theirs` the test's.
struct Pairs {
  explicit Pairs(uint32_t count, int flags = 0) {
    for (uint32_t i = 0; i < count; ++i) {
      int fds[2];
      EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0, fds), 0);
      ours.emplace_back(fds[0]);
      theirs.emplace_back(fds[1]);
    }
  }
  std::vector<Fd> ours;
  std::vector<Fd> theirs;
};

Token token_of(uint32_t slot) {
  return {.slot = slot, .generation = 1, .kind = 9};
}

struct Collector {
  explicit Collector(size_t count) : bytes(count), sent(count), ends(count) {}
  void operator()(const Event& event) {
    uint32_t slot = event.token.slot;
    EXPECT_EQ(event.token.kind, 9);
    if (event.token.op == Op::recv) {
      bytes[slot].append(reinterpret_cast<const char*>(event.bytes.data()), event.bytes.size());
      total += event.bytes.size();
      if (event.last) ends[slot] += 1;
    } else {
      EXPECT_TRUE(event.last);
      sent[slot] = event.result;
      ++sends;
    }
  }
  std::vector<std::string> bytes;
  std::vector<int32_t> sent;
  std::vector<int> ends;
  size_t total = 0;
  size_t sends = 0;
};

template <class Done>
void run_until(UringBackend& io, Collector& seen, Done&& done) {
  const Instant end = monotonic_now() + kPatience;
  while (!done()) {
    ASSERT_LT(io.now(), end) << "nothing more happens";
    io.wait(Instant{}, seen);  // without sleeping: some conditions change between events
  }
}

void write_all(const Fd& fd, std::string_view bytes) {
  ASSERT_EQ(::send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
}

TEST(UringBackend, FewBuffersServeManyConnections) {
  constexpr uint32_t kCount = 100;
  UringBackend io({.buffers = 2, .buffer_bytes = 64});
  Pairs pairs(kCount);
  Collector seen(kCount);
  for (uint32_t i = 0; i < kCount; ++i) io.recv_start(token_of(i), pairs.ours[i].get());
  for (int round = 0; round < 3; ++round) {
    for (uint32_t i = 0; i < kCount; ++i)
      write_all(pairs.theirs[i], std::string(200, static_cast<char>('a' + i % 26)));
    run_until(io, seen,
              [&] { return seen.total == size_t{kCount} * 200 * (static_cast<size_t>(round) + 1); });
  }
  for (uint32_t i = 0; i < kCount; ++i) {
    EXPECT_EQ(seen.bytes[i], std::string(600, static_cast<char>('a' + i % 26)));
    EXPECT_EQ(seen.ends[i], 0);
  }
  for (Fd& fd : pairs.theirs) fd.reset();
  run_until(io, seen, [&] { return std::ranges::count(seen.ends, 1) == kCount; });
}

TEST(UringBackend, WhatFillsManyBuffersComesInOrder) {
  constexpr size_t kBufferBytes = 64;
  UringBackend io({.buffers = 16, .buffer_bytes = kBufferBytes});
  Pairs pairs(2);
  Collector seen(2);
  for (uint32_t i = 0; i < 2; ++i) io.recv_start(token_of(i), pairs.ours[i].get());
  std::string expected[2];
  for (size_t round = 1; round <= 60; ++round) {
    for (uint32_t i = 0; i < 2; ++i) {
      std::string piece(round * 37 % 900 + 1, static_cast<char>('a' + (round + i) % 26));
      piece.back() = '.';
      write_all(pairs.theirs[i], piece);
      expected[i] += piece;
    }
    run_until(io, seen, [&] { return seen.total == expected[0].size() + expected[1].size(); });
  }
  EXPECT_EQ(seen.bytes[0], expected[0]);
  EXPECT_EQ(seen.bytes[1], expected[1]);
}

TEST(UringBackend, AStarvedReceiveCanBePaused) {
  UringBackend io({.buffers = 1, .buffer_bytes = 16});
  Pairs pairs(3);
  Collector seen(3);
  for (uint32_t i = 0; i < 3; ++i) io.recv_start(token_of(i), pairs.ours[i].get());
  for (uint32_t i = 0; i < 3; ++i) write_all(pairs.theirs[i], std::string(100, 'x'));
  // In the sink of any event some others are starved, armed or ending: each may be paused there, once.
  std::vector<bool> paused(3), over(3);
  const Instant end = monotonic_now() + kPatience;
  while (std::ranges::count(over, true) < 3 && io.now() < end) {
    io.wait(end, [&](const Event& event) {
      if (event.last) over[event.token.slot] = true;
      for (uint32_t i = 0; i < 3; ++i) {
        if (paused[i]) continue;
        paused[i] = true;
        if (io.recv_pause(token_of(i), pairs.ours[i].get())) over[i] = true;
      }
    });
  }
  EXPECT_EQ(over, (std::vector<bool>{true, true, true}));
  for (uint32_t i = 0; i < 3; ++i) io.recv_start(token_of(i), pairs.ours[i].get());
  for (Fd& fd : pairs.theirs) fd.reset();
  run_until(io, seen, [&] { return seen.ends == std::vector<int>{1, 1, 1}; });
}

TEST(UringBackend, FullQueuesOnlySubmitEarlier) {
  constexpr uint32_t kCount = 50;
  UringBackend io({.buffers = 64, .submissions = 2, .completions = 4});
  Pairs pairs(kCount);
  Collector seen(kCount);
  std::string message = "forty-two";
  for (uint32_t i = 0; i < kCount; ++i) {
    io.recv_start(token_of(i), pairs.ours[i].get());
    iovec iov{message.data(), message.size()};
    ASSERT_TRUE(io.send(token_of(i), pairs.ours[i].get(), {&iov, 1}).pending);
    write_all(pairs.theirs[i], message);
  }
  run_until(io, seen, [&] { return seen.sends == kCount && seen.total == kCount * message.size(); });
  for (int round = 0; round < 5; ++round) {  // multishots were lost to the overflow, and must have come back
    for (uint32_t i = 0; i < kCount; ++i) write_all(pairs.theirs[i], message);
    run_until(io, seen,
              [&] { return seen.total == kCount * message.size() * (static_cast<size_t>(round) + 2); });
  }
  for (uint32_t i = 0; i < kCount; ++i) EXPECT_EQ(seen.sent[i], static_cast<int32_t>(message.size()));
}

/// A backend that gathers whatever the traffic, and connections on it.
class UringGathering : public testing::Test {
 protected:
  static constexpr uint32_t kCount = 64;

  void SetUp() override {
    if (Result<void> probed = probe_uring(); !probed) GTEST_SKIP() << probed.error().message;
    contract::Ring ring;
    std::optional<contract::Completion> tick = contract::start_ticks(ring);
    ASSERT_TRUE(tick);
    if (tick->result == -EINVAL) GTEST_SKIP() << contract::kNoTicks;
  }
  void start(uint32_t gather) {
    io.emplace(UringOptions{.gather = gather});
    pairs.emplace(kCount);
    for (uint32_t i = 0; i < kCount; ++i) io->recv_start(token_of(i), pairs->ours[i].get());
    if (gather != 0) wait_until([this] { return io->gathers(); });
  }
  template <class Done>
  void wait_until(Done&& done) {
    while (!done() && io->now() < end) io->wait(end, seen);
    ASSERT_TRUE(done());
  }
  void write(uint32_t slot) {
    write_all(pairs->theirs[slot], "x");
    ++written;
  }
  void write_and_wait(uint32_t slot) {
    write(slot);
    wait_until([this] { return seen.total == written; });
  }
  void send(uint32_t slot) {
    iovec iov{answer.data(), answer.size()};
    ASSERT_TRUE(io->send(token_of(slot), pairs->ours[slot].get(), {&iov, 1}).pending);
  }
  void spin(Duration duration) {
    for (const Instant over = monotonic_now() + duration; monotonic_now() < over;) {
    }
  }
  std::string answer = "answer";
  std::optional<UringBackend> io;
  std::optional<Pairs> pairs;
  Collector seen{kCount};
  size_t written = 0;
  const Instant end = monotonic_now() + 4 * kPatience;
};

TEST_F(UringGathering, HoldsNobodyUpForLong) {
  start(100);  // more than there ever are
  const uint64_t before = io->waits_in_vain();
  const Instant began = monotonic_now();
  for (uint32_t i = 0; i < 20; ++i) write_and_wait(i);
  EXPECT_GE(io->waits_in_vain(), before + 20);
  EXPECT_LT(monotonic_now() - began, 500ms);  // a millisecond each
}

/// A tick that came before the wait began does not end it; the next one does.
TEST_F(UringGathering, NeedsNoTickAtTheRightMoment) {
  start(100);
  for (uint32_t i = 0; i < 10; ++i) {
    spin(2500us);
    write_and_wait(i);
  }
}

TEST_F(UringGathering, EndsWithTheEventsThatItIsFor) {
  start(2);
  const uint64_t before = io->waits_in_vain();
  for (int round = 0; round < 200; ++round) {
    for (const uint32_t slot : {0u, 1u}) {
      write(slot);
      send(slot);
    }
    wait_until([this] { return seen.total == written && seen.sends == written; });
  }
  EXPECT_EQ(io->waits_in_vain(), before);
}

/// That a send has ended is no event to wait for others with.
TEST_F(UringGathering, CountsNoSends) {
  start(3);
  const uint64_t before = io->waits_in_vain();
  for (size_t round = 1; round <= 10; ++round) {
    for (const uint32_t slot : {0u, 1u, 2u}) send(slot);
    write_and_wait(3);
    wait_until([&] { return seen.sends == 3 * round; });
  }
  EXPECT_GE(io->waits_in_vain(), before + 10);
}

TEST_F(UringGathering, IsNotForWhoCannotSleepThatLong) {
  start(100);
  const uint64_t before = io->waits_in_vain();
  for (int i = 0; i < 1000; ++i) io->wait(Instant{}, seen);
  for (int i = 0; i < 20; ++i) io->wait(monotonic_now() + 500us, seen);
  EXPECT_EQ(io->waits_in_vain(), before);
}

TEST_F(UringGathering, IsHeldUpByNoSendThatDoesNotEnd) {
  answer.assign(4 << 20, 'b');  // and nobody reads it
  start(2);
  send(0);
  for (uint32_t i = 0; i < 10; ++i) write_and_wait(i);
  EXPECT_EQ(seen.sends, 0u);
}

TEST_F(UringGathering, HearsABell) {
  start(100);
  Fd bell(::eventfd(0, EFD_CLOEXEC));
  io->watch_start(token_of(kCount), bell.get());
  uint64_t one = 1;
  ASSERT_EQ(::write(bell.get(), &one, sizeof one), 8);
  bool rung = false;
  while (!rung && io->now() < end)
    io->wait(end, [&](const Event& event) { rung |= event.token.op == Op::watch; });
  EXPECT_TRUE(rung);
  io->watch_stop(token_of(kCount), bell.get());
}

/// Of itself, where there is much traffic on many connections; silence ends it, and the ticks; and again.
TEST_F(UringGathering, ComesAndGoesWithTheTraffic) {
  start(0);
  for (int time = 0; time < 3; ++time) {
    while (!io->gathers() && io->now() < end) {
      for (uint32_t i = 0; i < kCount; ++i) write(i);
      wait_until([this] { return seen.total == written; });
    }
    ASSERT_TRUE(io->gathers());
    // It takes a tick to see that nothing comes, and one to remove them.
    const Instant later = monotonic_now() + 30ms;
    int turns = 0;
    for (; io->now() < later; ++turns) io->wait(later, seen);
    EXPECT_LT(turns, 10);
    EXPECT_FALSE(io->gathers());
    write_and_wait(0);
  }
}

TEST(UringBackend, NonBlockingSocketsAreHealed) {
  UringBackend io;
  Pairs pairs(1, SOCK_NONBLOCK);
  Collector seen(1);
  io.recv_start(token_of(0), pairs.ours[0].get());
  std::string large(4 << 20, 'n');
  iovec iov{large.data(), large.size()};
  ASSERT_TRUE(io.send(token_of(0), pairs.ours[0].get(), {&iov, 1}).pending);
  for (int i = 0; i < 10; ++i) io.wait(Instant{}, seen);
  EXPECT_EQ(seen.ends[0], 0);
  write_all(pairs.theirs[0], "late");
  std::string got(large.size(), 0);
  size_t read = 0;
  run_until(io, seen, [&] {
    for (ssize_t n; (n = ::recv(pairs.theirs[0].get(), got.data() + read, got.size() - read, 0)) > 0;) {
      read += static_cast<size_t>(n);
    }
    return seen.sends == 1 && read == large.size();
  });
  EXPECT_TRUE(got == large);
  EXPECT_EQ(seen.bytes[0], "late");
  EXPECT_EQ(seen.sent[0], static_cast<int32_t>(large.size()));
}

TEST(UringBackend, AWatchStartedAgainUnderTheSameNameHearsOnlyItself) {
  UringBackend io;
  Fd bell(::eventfd(0, EFD_CLOEXEC));
  int rings = 0;
  auto sink = [&](const Event&) { ++rings; };
  for (int round = 0; round < 300; ++round) {  // more than the epochs of a slot
    io.watch_start(token_of(0), bell.get());
    if (round % 3 == 0) io.wait(Instant{}, sink);
    io.watch_stop(token_of(0), bell.get());
  }
  io.watch_start(token_of(0), bell.get());
  for (int i = 0; i < 5; ++i) io.wait(Instant{}, sink);
  rings = 0;
  uint64_t one = 1;
  ASSERT_EQ(::write(bell.get(), &one, sizeof one), 8);
  for (int i = 0; i < 5; ++i) io.wait(Instant{}, sink);
  EXPECT_EQ(rings, 1);
}

TEST(UringBackend, DestructionEndsWhatIsInFlight) {
  Pairs pairs(20);
  std::string large(8 << 20, 'd');
  {
    UringBackend io;
    for (uint32_t i = 0; i < 20; ++i) {
      io.recv_start(token_of(i), pairs.ours[i].get());
      iovec iov{large.data(), large.size()};
      ASSERT_TRUE(io.send(token_of(i), pairs.ours[i].get(), {&iov, 1}).pending);
      if (i == 10) io.wait(Instant{}, [](const Event&) {});
    }
  }
  // Nobody reads any more: bytes stay in the socket, and the peer sees no more than what was queued.
  for (uint32_t i = 0; i < 20; ++i) {
    write_all(pairs.theirs[i], "still here");
    char back[10];
    EXPECT_EQ(::recv(pairs.ours[i].get(), back, sizeof back, MSG_DONTWAIT), 10);
    EXPECT_EQ(::shutdown(pairs.ours[i].get(), SHUT_RDWR), 0);
    std::string rest(large.size(), 0);
    EXPECT_LT(::recv(pairs.theirs[i].get(), rest.data(), rest.size(), MSG_WAITALL),
              static_cast<ssize_t>(large.size()));
  }
}

TEST(UringBackend, QueuedClosesHappenBeforeDestruction) {
  Pairs pairs(1);
  {
    UringBackend io;
    Collector seen(1);
    io.recv_start(token_of(0), pairs.ours[0].get());
    io.abort(pairs.ours[0].get());
    run_until(io, seen, [&] { return seen.ends[0] == 1; });
    io.close(token_of(0), pairs.ours[0].get());
  }
  EXPECT_EQ(::fcntl(pairs.ours[0].release(), F_GETFD), -1);
}

}  // namespace
}  // namespace lastcall
