#include "tests/sim/sim_backend.hpp"

#include <gtest/gtest.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <vector>

namespace lastcall {
namespace {

constexpr Token kListener{.slot = 0, .generation = 1};
constexpr Token kConnection{.slot = 1, .generation = 1};

struct Seen {
  Token token;
  int result;
  bool last;
  std::string bytes;
};

std::string text(const Event& event) {
  return {reinterpret_cast<const char*>(event.bytes.data()), event.bytes.size()};
}

std::vector<Seen> wait(SimBackend& io, Instant until = kNever) {
  std::vector<Seen> seen;
  io.wait(until, [&](const Event& event) {
    seen.push_back({event.token, event.result, event.last, text(event)});
  });
  return seen;
}

iovec segment(const std::string& bytes) {
  return {const_cast<char*>(bytes.data()), bytes.size()};
}

SendStatus send(SimBackend& io, Token token, int fd, const std::string& bytes) {
  iovec iov = segment(bytes);
  return io.send(token, fd, {&iov, 1});
}

TEST(SimClock, JumpsToUntilAndNoFurther) {
  SimNetwork network;
  SimBackend io(network);
  Instant start = io.now();
  EXPECT_TRUE(wait(io, start + 25s).empty());
  EXPECT_EQ(io.now(), start + 25s);
  EXPECT_TRUE(wait(io, start).empty());  // a time that has passed: a look without sleeping
  EXPECT_EQ(io.now(), start + 25s);
  EXPECT_EQ(io.wall(), network.options().wall_start + 25s);
}

TEST(SimClock, StandsStillWhileSomethingIsDeliverable) {
  SimNetwork network;
  SimBackend io(network);
  auto [fd, peer] = network.pair();
  io.recv_start(kConnection, fd);
  peer.write("x");
  Instant start = io.now();
  EXPECT_EQ(wait(io, start + 1s).size(), 1u);
  EXPECT_EQ(io.now(), start);
}

TEST(SimClock, RunsActionsInOrderOfTimeThenOfScheduling) {
  SimNetwork network;
  SimBackend io(network);
  std::string order;
  network.schedule_in(2s, [&] { order += 'c'; });
  network.schedule_in(1s, [&] { order += 'a'; });
  network.schedule_in(1s, [&] { order += 'b'; });
  network.schedule_in(4s, [&] { order += 'e'; });
  network.schedule_in(2s, [&] { network.schedule_in(0s, [&] { order += 'd'; }); });
  wait(io, io.now() + 3s);
  EXPECT_EQ(order, "abcd");
}

TEST(SimClock, ActionOfThePeerWakesTheSleeper) {
  SimNetwork network;
  SimBackend io(network);
  auto [fd, peer] = network.pair();
  io.recv_start(kConnection, fd);
  Instant start = io.now();
  network.schedule_in(90s, [peer]() mutable { peer.write("late"); });
  std::vector<Seen> seen = wait(io);
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].bytes, "late");
  EXPECT_EQ(io.now(), start + 90s);
}

TEST(SimClock, WaitingForEverForNothingIsADeadlock) {
  SimNetwork network({.return_on_deadlock = true});
  SimBackend io(network);
  EXPECT_TRUE(wait(io).empty());
  EXPECT_TRUE(network.deadlocked());
  network.options().return_on_deadlock = false;
  EXPECT_DEATH(wait(io), "deadlock");
}

TEST(SimClock, WaitingWithoutSleepingForEverIsALivelock) {
  SimNetwork network({.turn_limit = 100});
  SimBackend io(network);
  EXPECT_DEATH(while (true) wait(io, io.now()), "turn_limit");
}

TEST(SimAccept, TakesConnectionsInOrderWithTheLowestFreeDescriptor) {
  SimNetwork network;
  SimBackend io(network);
  int listener = network.listen();
  EXPECT_EQ(listener, SimNetwork::kFirstDescriptor);
  io.accept_start(kListener, listener);
  SimPeer first = network.connect(listener), second = network.connect(listener);
  EXPECT_EQ(network.queued(listener), 2u);
  std::vector<int> accepted;
  while (accepted.size() < 2) {
    for (Seen& seen : wait(io)) accepted.push_back(seen.result);
  }
  EXPECT_EQ(accepted, (std::vector<int>{listener + 1, listener + 2}));
  io.close(kConnection, listener + 1);
  EXPECT_TRUE(first.saw_eof());
  EXPECT_FALSE(second.saw_eof());
  SimPeer third = network.connect(listener);
  EXPECT_EQ(wait(io)[0].result, listener + 1);
  EXPECT_EQ(network.open_descriptors(), 3u);
  EXPECT_EQ(network.accepted(), 3u);
}

TEST(SimAccept, ClosingTheListenerResetsItsQueueAndRefusesLaterOnes) {
  SimNetwork network;
  SimBackend io(network);
  int listener = network.listen();
  SimPeer queued = network.connect(listener);
  io.close(kListener, listener);
  EXPECT_TRUE(queued.saw_reset());
  EXPECT_TRUE(network.connect(listener).saw_reset());
  EXPECT_EQ(network.resets(), 2u);
  EXPECT_EQ(network.open_descriptors(), 0u);
}

TEST(SimAccept, InjectedErrorEndsTheSubscriptionAndKeepsTheConnection) {
  SimNetwork network({.accept_error = 1});
  SimBackend io(network);
  int listener = network.listen();
  io.accept_start(kListener, listener);
  SimPeer peer = network.connect(listener);
  std::vector<Seen> seen = wait(io);
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].result, -EMFILE);
  EXPECT_TRUE(seen[0].last);
  EXPECT_GE(io.accept_now(kListener, listener), 0);
  EXPECT_EQ(io.accept_now(kListener, listener), -EAGAIN);
}

TEST(SimReceive, TornReadsDeliverEveryByteInOrder) {
  SimNetwork network({.seed = 7, .torn_read = 1});
  SimBackend io(network);
  auto [fd, peer] = network.pair();
  io.recv_start(kConnection, fd);
  std::string sent(5000, '\0'), received;
  for (size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<char>('a' + i % 26);
  peer.write(sent);
  int events = 0;
  for (; received.size() < sent.size(); ++events) received += wait(io)[0].bytes;
  EXPECT_EQ(received, sent);
  EXPECT_GT(events, 2);
}

TEST(SimReceive, InjectedErrorResetsBothEnds) {
  SimNetwork network({.recv_error = 1});
  SimBackend io(network);
  auto [fd, peer] = network.pair();
  io.recv_start(kConnection, fd);
  peer.write("lost");
  std::vector<Seen> seen = wait(io);
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].result, -ECONNRESET);
  EXPECT_TRUE(seen[0].last);
  EXPECT_TRUE(peer.saw_reset());
  EXPECT_EQ(send(io, kConnection, fd, "x").result, -EPIPE);
}

TEST(SimReceive, WhatWasQueuedBeforeAResetIsReceivedFirst) {
  SimNetwork network;
  SimBackend io(network);
  auto [fd, peer] = network.pair();
  peer.write("last words");
  peer.reset();
  io.recv_start(kConnection, fd);
  EXPECT_EQ(wait(io)[0].bytes, "last words");
  EXPECT_EQ(wait(io)[0].result, -ECONNRESET);
}

TEST(SimStop, PauseInlineEndsAtOnce) {
  SimNetwork network(SimOptions::epoll_like());
  SimBackend io(network);
  auto [fd, peer] = network.pair();
  io.recv_start(kConnection, fd);
  peer.write("queued");
  EXPECT_TRUE(io.recv_pause(kConnection, fd));
  EXPECT_EQ(io.in_flight(), 0u);
  EXPECT_TRUE(wait(io, io.now() + 1s).empty());
  EXPECT_EQ(io.unread(fd), 6);
}

TEST(SimStop, PauseByEventMayDeliverBytesAndThenEndsOnce) {
  bool with_bytes = false, without = false;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SimNetwork network(SimOptions::uring_like(seed));
    SimBackend io(network);
    auto [fd, peer] = network.pair();
    io.recv_start(kConnection, fd);
    peer.write("queued");
    ASSERT_FALSE(io.recv_pause(kConnection, fd));
    std::string received;
    std::vector<Seen> seen;
    do {
      seen = wait(io);
      received += seen[0].bytes;
    } while (!seen[0].last);
    EXPECT_EQ(seen[0].result, -ECANCELED);
    EXPECT_EQ(io.in_flight(), 0u);
    (received.empty() ? without : with_bytes) = true;
  }
  EXPECT_TRUE(with_bytes && without);
}

TEST(SimSend, FillsTheWindowAndGoesOnAsThePeerTakes) {
  SimNetwork network({.window_bytes = 4});
  SimBackend io(network);
  auto [fd, peer] = network.pair();
  std::string bytes = "0123456789";
  EXPECT_TRUE(send(io, kConnection, fd, bytes).pending);
  EXPECT_TRUE(wait(io, io.now() + 1s).empty());
  uint64_t progress = io.progress(fd);
  EXPECT_EQ(peer.take(3), "012");
  EXPECT_NE(io.progress(fd), progress);
  EXPECT_TRUE(wait(io, io.now() + 1s).empty());
  EXPECT_EQ(peer.read_all(), "3456");
  std::vector<Seen> seen = wait(io);
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].result, 10);
  EXPECT_EQ(peer.read_all(), "789");
}

TEST(SimSend, PendingReadsTheMemoryLate) {
  SimNetwork network(SimOptions::uring_like());
  SimBackend io(network);
  auto [fd, peer] = network.pair();
  std::string bytes = "too early";
  EXPECT_TRUE(send(io, kConnection, fd, bytes).pending);
  bytes.replace(0, 9, "just late");
  EXPECT_EQ(wait(io)[0].result, 9);
  EXPECT_EQ(peer.read_all(), "just late");
}

TEST(SimSend, AbortEndsABlockedSendWithItsPartialCount) {
  SimNetwork network({.window_bytes = 4});
  SimBackend io(network);
  auto [fd, peer] = network.pair();
  io.recv_start(kConnection, fd);
  EXPECT_TRUE(send(io, kConnection, fd, "0123456789").pending);
  io.abort(fd);
  std::vector<Seen> seen = wait(io);
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_EQ(seen[0].result, 4);
  EXPECT_EQ(seen[1].result, 0);
  io.close(kConnection, fd);
  EXPECT_EQ(peer.read_all(), "0123");
  EXPECT_TRUE(peer.saw_eof());
}

TEST(SimClose, WithUnreadInputResetsThePeerAndDestroysTheResponse) {
  SimNetwork network;
  SimBackend io(network);
  auto [fd, peer] = network.pair();
  peer.write("never read");
  EXPECT_EQ(send(io, kConnection, fd, "response").result, 8);
  io.close(kConnection, fd);
  EXPECT_TRUE(peer.saw_reset());
  EXPECT_EQ(peer.read_all(), "");
}

TEST(SimClose, DataAfterItResetsThePeer) {
  SimNetwork network;
  SimBackend io(network);
  auto [fd, peer] = network.pair();
  EXPECT_EQ(send(io, kConnection, fd, "response").result, 8);
  io.close(kConnection, fd);
  EXPECT_FALSE(peer.saw_eof());  // not before the bytes are taken
  EXPECT_FALSE(peer.saw_reset());
  peer.write("too late");
  EXPECT_TRUE(peer.saw_reset());
  EXPECT_EQ(peer.read_all(), "");
}

TEST(SimClose, LingeringKeepsTheResponse) {
  SimNetwork network;
  SimBackend io(network);
  auto [fd, peer] = network.pair();
  io.recv_start(kConnection, fd);
  EXPECT_EQ(send(io, kConnection, fd, "response").result, 8);
  io.half_close(fd);
  peer.write("more of the body");
  peer.half_close();
  EXPECT_EQ(wait(io)[0].bytes, "more of the body");
  EXPECT_EQ(wait(io)[0].result, 0);
  io.close(kConnection, fd);
  EXPECT_EQ(peer.read_all(), "response");
  EXPECT_TRUE(peer.saw_eof());
  EXPECT_FALSE(peer.saw_reset());
}

TEST(SimClose, SendingToAClosedPeerSucceedsOnceThenBreaks) {
  SimNetwork network;
  SimBackend io(network);
  auto [fd, peer] = network.pair();
  peer.close();
  EXPECT_EQ(send(io, kConnection, fd, "a").result, 1);
  EXPECT_EQ(send(io, kConnection, fd, "b").result, -EPIPE);
}

TEST(SimPeerTest, ReactsToBytesFromInsideWait) {
  SimNetwork network;
  SimBackend io(network);
  auto [fd, peer] = network.pair();
  io.recv_start(kConnection, fd);
  peer.on_readable([peer]() mutable {
    if (std::string got = peer.read_all(); !got.empty()) peer.write("got " + got);
  });
  EXPECT_EQ(send(io, kConnection, fd, "ping").result, 4);
  EXPECT_EQ(io.unread(fd), 0);  // nothing happens outside wait
  EXPECT_EQ(wait(io)[0].bytes, "got ping");
}

TEST(SimWatch, FiresForSignalsAndForRealEventfds) {
  SimNetwork network;
  SimBackend io(network);
  Fd real(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  constexpr int kMadeUp = 77;
  Token signalled{.slot = 5, .generation = 1}, written{.slot = 6, .generation = 1};
  io.watch_start(signalled, kMadeUp);
  io.watch_start(written, real.get());
  network.schedule_in(1s, [&] { network.signal(kMadeUp); });
  network.schedule_in(2s, [&] { ::eventfd_write(real.get(), 1); });
  network.schedule_in(3s, [&] { ::eventfd_write(real.get(), 1); });
  for (uint32_t slot : {5u, 6u, 6u}) {
    std::vector<Seen> seen = wait(io);
    ASSERT_EQ(seen.size(), 1u);
    EXPECT_EQ(seen[0].token.slot, slot);
    EXPECT_FALSE(seen[0].last);
  }
  io.watch_stop(signalled, kMadeUp);
  network.signal(kMadeUp);
  EXPECT_TRUE(wait(io, io.now() + 1s).empty());
}

/// A fixed exchange under chaos; returns everything that could be seen of it.
std::string chaotic_run(uint64_t seed) {
  SimNetwork network(SimOptions::chaotic(seed));
  SimBackend io(network);
  std::string log;
  std::vector<std::pair<int, SimPeer>> ends;
  for (uint32_t i = 0; i < 8; ++i) {
    ends.push_back(network.pair());
    io.recv_start({.slot = i, .generation = 1}, ends[i].first);
    ends[i].second.write(std::string(50, static_cast<char>('a' + i)));
    ends[i].second.half_close();
  }
  for (size_t ended = 0; ended < ends.size();) {
    for (Seen& seen : wait(io)) {
      log += std::to_string(seen.token.slot) + ":" + std::to_string(seen.result) + " ";
      ended += seen.last;
    }
  }
  return log;
}

TEST(SimSeed, DecidesTheRun) {
  EXPECT_EQ(chaotic_run(1), chaotic_run(1));
  EXPECT_NE(chaotic_run(1), chaotic_run(2));
}

TEST(SimMisuse, IsFound) {
  SimNetwork network({.pending_send = 1});
  SimBackend io(network);
  auto [fd, peer] = network.pair();
  auto [other, other_peer] = network.pair();
  std::string bytes = "x";
  io.recv_start(kConnection, fd);
  EXPECT_DEATH(io.recv_start(kConnection, fd), "CHECK");
  EXPECT_DEATH(io.close(kConnection, fd), "busy");
  EXPECT_DEATH(io.recv_start(kConnection, other), "CHECK");
  EXPECT_DEATH(io.recv_start({.slot = 1, .generation = 2}, fd), "generation");
  EXPECT_TRUE(send(io, kConnection, fd, bytes).pending);
  EXPECT_DEATH((void)send(io, kConnection, fd, bytes), "send");
  EXPECT_DEATH(io.half_close(fd), "send");
  EXPECT_DEATH(io.wait(kNever, [&](const Event&) { wait(io); }), "waiting");
  wait(io);
  EXPECT_TRUE(io.recv_pause(kConnection, fd));
  io.close(kConnection, fd);
  EXPECT_DEATH(io.close(kConnection, fd), "CHECK");
  EXPECT_DEATH((void)io.unread(fd), "CHECK");
}

}  // namespace
}  // namespace lastcall
