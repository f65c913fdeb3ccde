// Connections that have left HTTP, in the stop: who is waited for, what is counted. On the simulated clock.

#include "tests/sim/server.hpp"

namespace lastcall::test {
namespace {

struct Behaviour {
  const char* name;
  SimOptions (*options)(uint64_t seed);
};

class StreamStopTest : public ::testing::TestWithParam<Behaviour> {
 protected:
  [[nodiscard]] static SimOptions sim(uint64_t seed = 1) { return GetParam().options(seed); }
};

INSTANTIATE_TEST_SUITE_P(Behaviours, StreamStopTest,
                         ::testing::Values(Behaviour{"Epoll", &SimOptions::epoll_like},
                                           Behaviour{"Uring", &SimOptions::uring_like},
                                           Behaviour{"Torn", &SimOptions::chaotic}),
                         [](const auto& behaviour) { return behaviour.param.name; });

TEST_P(StreamStopTest, TheStopWaitsForIt) {
  SimServer server(sim());
  SimPeer peer = server.connect();
  peer.write(get("/plaintext") + get("/hijack") + "raw");
  server.settle();
  EXPECT_TRUE(peer.read_all().ends_with("Hello, World!raw"));
  EXPECT_EQ(server.counters().active, 1u);
  server.enter(Phase::draining);
  server.run_for(20s);
  peer.write("still");
  server.settle();
  EXPECT_EQ(peer.read_all(), "still");
  EXPECT_EQ(server.counters().active, 1u);
  peer.half_close();
  server.settle();
  EXPECT_TRUE(peer.saw_eof());
  EXPECT_EQ(server.counters().active, 0u);
  EXPECT_EQ(server.counters().completed, 1u);
  EXPECT_EQ(server.network.resets(), 0u);
  server.expect_balance();
}

TEST_P(StreamStopTest, TheForceNamesItOnce) {
  SimServer server(sim());
  SimPeer peer = server.connect();
  peer.write(get("/hijack") + "raw");
  server.enter(Phase::draining);
  server.run_for(2s);
  server.enter(Phase::forcing);
  server.run_for(1s);
  EXPECT_EQ(peer.read_all(), "raw");
  EXPECT_TRUE(peer.saw_eof());
  EXPECT_FALSE(peer.saw_reset());
  EXPECT_EQ(server.counters().aborted, 1u);
  const std::vector<AbortedExchange> aborted = server.control.take_aborted();
  ASSERT_EQ(aborted.size(), 1u);
  EXPECT_EQ(aborted[0].state, "hijacked");
  EXPECT_EQ(aborted[0].method, "GET");
  EXPECT_EQ(aborted[0].target, "/hijack");
  EXPECT_GE(aborted[0].age_ms, 2000);
  EXPECT_EQ(aborted[0].bytes_sent, 3u);
  server.expect_balance();
}

TEST_P(StreamStopTest, OneThatOptedOutIsNotWaitedFor) {
  SimServer server(sim());
  SimPeer peer = server.connect();
  peer.write(get("/hijack?leave=1") + "raw");
  server.settle();
  EXPECT_EQ(peer.read_all(), "raw");
  server.enter(Phase::draining);
  server.settle();
  EXPECT_TRUE(peer.saw_eof());
  EXPECT_EQ(server.counters().active, 0u);
  peer.close();
  server.settle();
  EXPECT_EQ(server.counters().completed, 1u);
  server.enter(Phase::forcing);
  server.settle();
  EXPECT_TRUE(server.control.take_aborted().empty());
  EXPECT_EQ(server.network.resets(), 0u);
  server.expect_balance();
}

TEST_P(StreamStopTest, APeerThatTakesNothingIsCutOffAtTheWriteTimeout) {
  SimServer server(sim(), {.write_timeout = 5s});
  SimPeer peer = server.connect();
  peer.set_window(0);
  peer.write(get("/hijack") + "raw");
  server.run_for(20s);
  EXPECT_EQ(server.counters().aborted, 1u);
  server.expect_balance();
}

TEST_P(StreamStopTest, APeerThatVanishesIsCountedOnce) {
  SimServer server(sim());
  SimPeer peer = server.connect();
  peer.write(get("/hijack") + "raw");
  server.settle();
  peer.reset();
  server.settle();
  EXPECT_EQ(server.counters().completed, 1u);
  EXPECT_EQ(server.counters().active, 0u);
  server.expect_balance();
}

/// A simulated descriptor is not the kernel's: who holds it cannot close it, so the test does.
void close_given_away(SimServer& server) {
  for (int fd = SimNetwork::kFirstDescriptor; fd < SimNetwork::kFirstDescriptor + 8; ++fd) {
    if (fd != server.listener && server.network.is_open(fd)) server.network.close(fd);
  }
}

TEST_P(StreamStopTest, ADetachedOneIsActiveUntilItIsOver) {
  SimServer server(sim());
  SimPeer peer = server.connect();
  peer.write(get("/detach?n=5&ms=10000") + "unread");
  server.settle();
  EXPECT_EQ(peer.read_all(), "xxxxx");
  EXPECT_FALSE(peer.saw_eof());
  EXPECT_EQ(server.counters().active, 2u);  // and its handler
  server.enter(Phase::draining);
  server.run_for(9s);
  EXPECT_EQ(server.counters().active, 2u);
  EXPECT_EQ(server.ended(), 0u);
  server.run_for(2s);
  EXPECT_EQ(server.counters().active, 0u);
  EXPECT_EQ(server.counters().completed, 1u);
  server.expect_balance();
  close_given_away(server);
}

TEST_P(StreamStopTest, ItIsDetachedWhenAllItWroteHasLeft) {
  SimServer server(sim());
  SimPeer peer = server.connect();
  peer.set_window(1000);
  peer.write(get("/detach?n=50000&ms=1000"));
  server.run_for(10s);
  EXPECT_EQ(server.counters().active, 1u);  // not yet: nobody holds it
  peer.set_window(1'000'000);
  std::string all = peer.read_all();
  server.run_for(500ms);
  all += peer.read_all();
  EXPECT_EQ(all.size(), 50'000u);
  EXPECT_EQ(server.counters().active, 2u);
  server.run_for(1s);
  EXPECT_EQ(server.counters().completed, 1u);
  server.expect_balance();
  close_given_away(server);
}

TEST_P(StreamStopTest, APeerThatGoesBeforeItIsDetachedIsNotGivenAway) {
  SimServer server(sim());
  SimPeer peer = server.connect();
  peer.set_window(1000);
  peer.write(get("/detach?n=50000&ms=1000"));
  server.settle();
  peer.reset();
  server.settle();
  EXPECT_EQ(server.counters().active, 0u);
  EXPECT_EQ(server.counters().completed, 1u);
  server.expect_balance();
}

TEST_P(StreamStopTest, TheForceComesBeforeItIsDetached) {
  SimServer server(sim());
  SimPeer peer = server.connect();
  peer.set_window(1000);
  peer.write(get("/detach?n=50000&ms=1000"));
  server.settle();
  server.enter(Phase::draining);
  server.settle();
  server.enter(Phase::forcing);
  server.run_for(1s);
  EXPECT_EQ(server.counters().active, 0u);
  EXPECT_EQ(server.counters().aborted, 1u);
  EXPECT_EQ(server.control.take_aborted().size(), 1u);
  server.expect_balance();
}

TEST_P(StreamStopTest, ADetachedOneIsForced) {
  SimServer server(sim());
  SimPeer peer = server.connect();
  peer.write(get("/detach?ms=10000"));
  server.settle();
  server.enter(Phase::draining);
  server.settle();
  server.enter(Phase::forcing);
  server.settle();
  const std::vector<AbortedExchange> aborted = server.control.take_aborted();
  ASSERT_EQ(aborted.size(), 1u);
  EXPECT_EQ(aborted[0].state, "hijacked");
  EXPECT_EQ(aborted[0].target, "/detach?ms=10000");
  EXPECT_EQ(server.counters().active, 0u);  // its handler was told, and has let go
  EXPECT_EQ(server.counters().aborted, 1u);
  server.expect_balance();
  close_given_away(server);
}

TEST_P(StreamStopTest, ManyInAnyStateAreCountedOnce) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    SimServer server(sim(seed));
    std::vector<SimPeer> peers;
    for (size_t i = 0; i < 40; ++i) {
      peers.push_back(server.connect());
      peers.back().write(get(i % 5 == 4 ? "/hijack?leave=1" : "/hijack") + std::string(i * 1000, 'x'));
      if (i % 3 == 0) server.turn();
    }
    for (size_t i = 0; i < 40; i += 4) peers[i].half_close();
    for (size_t i = 1; i < 40; i += 8) peers[i].reset();
    server.enter(Phase::draining);
    server.turn();
    for (size_t i = 2; i < 40; i += 8) peers[i].close();
    server.run_for(500ms);
    server.enter(Phase::forcing);
    server.run_for(3s);
    EXPECT_EQ(server.counters().accepted, 40u);
    EXPECT_EQ(server.ended(), 40u);
    EXPECT_EQ(server.control.take_aborted().size(), server.counters().aborted);
    server.expect_balance();
  }
}

}  // namespace
}  // namespace lastcall::test
