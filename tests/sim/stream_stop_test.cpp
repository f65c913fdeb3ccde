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
