// Idle connections that go on in another process: which, when, and what becomes of them when it fails. On the
// simulated clock.

#include <gmock/gmock.h>

#include "tests/sim/server.hpp"

namespace lastcall::test {
namespace {

using ::testing::SizeIs;

/// The process that takes over: keeps the descriptors.
class Taker final : public ConnectionTaker {
 public:
  explicit Taker(SimNetwork& network) : network_(network) {}
  ~Taker() { close_all(); }

  Answer take(int fd, std::string_view /*note*/) noexcept override {
    ++asked;
    if (answer == Answer::taken) taken.push_back(fd);
    return answer;
  }
  std::string read(size_t which) {
    char bytes[4096];
    const int got = network_.receive(taken[which], bytes);
    return got > 0 ? std::string(bytes, static_cast<size_t>(got)) : "";
  }
  void close_all() {
    for (const int fd : taken) network_.close(fd);
    taken.clear();
  }

  Answer answer = Answer::taken;
  std::vector<int> taken;
  int asked = 0;

 private:
  SimNetwork& network_;
};

struct Behaviour {
  const char* name;
  SimOptions (*options)(uint64_t seed);
};

class HandOver : public ::testing::TestWithParam<Behaviour> {
 protected:
  HandOver() : server(GetParam().options(1)), taker(server.network) {}
  ~HandOver() override {
    taker.close_all();
    server.expect_balance();
  }

  void begin(uint64_t listeners = 1, Duration idle_grace = 1s) {
    server.control.hand_over(taker, listeners);
    server.enter(Phase::draining, idle_grace, "upgrade");
  }
  [[nodiscard]] SimPeer served_once() {
    SimPeer peer = server.connect();
    peer.write(get("/plaintext"));
    server.run_for(1ms);
    EXPECT_EQ(parse_answer(peer.read_all()).status, 200);
    return peer;
  }

  SimServer server;
  Taker taker;
};

INSTANTIATE_TEST_SUITE_P(Behaviours, HandOver,
                         ::testing::Values(Behaviour{"Epoll", &SimOptions::epoll_like},
                                           Behaviour{"Uring", &SimOptions::uring_like},
                                           Behaviour{"Torn", &SimOptions::chaotic}),
                         [](const auto& behaviour) { return behaviour.param.name; });

TEST_P(HandOver, IdleAndSilentConnectionsLeaveAtOnce) {
  SimPeer idle = served_once();
  SimPeer silent = server.connect();
  server.settle();
  begin();
  server.settle();
  EXPECT_THAT(taker.taken, SizeIs(2));
  EXPECT_EQ(server.counters().handed_over, 2u);
  EXPECT_EQ(server.counters().idle, 0u);
  EXPECT_FALSE(idle.saw_eof() || idle.saw_reset() || silent.saw_eof() || silent.saw_reset());
  idle.write("more");
  EXPECT_EQ(taker.read(0) + taker.read(1), "more") << "nobody but the taker reads here any more";
}

TEST_P(HandOver, RequestIsAnsweredFirstAndItsConnectionStaysOpen) {
  SimPeer peer = served_once();
  begin();
  peer.write(get("/plaintext"));  // before the reactor knows of the stop
  server.settle();
  const std::string answered = peer.read_all();
  if (!answered.empty()) {  // or the taker has the request
    EXPECT_EQ(parse_answer(answered).status, 200);
    EXPECT_FALSE(parse_answer(answered).closes());
  } else {
    ASSERT_THAT(taker.taken, SizeIs(1));
    EXPECT_EQ(taker.read(0), get("/plaintext"));
  }
  EXPECT_THAT(taker.taken, SizeIs(1));
  EXPECT_FALSE(peer.saw_eof() || peer.saw_reset());
}

// Whatever the moment at which bytes come, they are read by exactly one of the two.
TEST_P(HandOver, NoByteIsLostAtAnyMoment) {
  for (int turns = 0; turns < 12; ++turns) {
    SimServer one(GetParam().options(static_cast<uint64_t>(turns) + 7));
    Taker successor(one.network);
    SimPeer peer = one.connect();
    one.settle();
    one.control.hand_over(successor, 1);
    one.enter(Phase::draining, 1s, "upgrade");
    for (int i = 0; i < turns; ++i) one.turn();
    const std::string request = get("/plaintext");
    peer.write(request.substr(0, 9));
    one.turn();
    peer.write(request.substr(9));
    one.settle();
    ASSERT_THAT(successor.taken, SizeIs(1)) << turns;
    std::string read;
    for (std::string more; !(more = successor.read(0)).empty();) read += more;
    const std::string answer = peer.read_all();
    if (answer.empty()) {
      ASSERT_EQ(read, request) << turns;
    } else {
      ASSERT_EQ(read, "") << turns;
      ASSERT_EQ(parse_answer(answer).status, 200) << turns;
      ASSERT_FALSE(parse_answer(answer).closes()) << turns;
    }
    ASSERT_FALSE(peer.saw_eof() || peer.saw_reset()) << turns;
    successor.close_all();
  }
}

TEST_P(HandOver, HalfAHeadStays) {
  SimPeer peer = server.connect();
  peer.write("GET /plain");
  server.settle();
  begin();
  server.settle();
  EXPECT_THAT(taker.taken, SizeIs(0));
  peer.write("text HTTP/1.1\r\nHost: test\r\n\r\n");
  server.settle();
  const Answer answer = parse_answer(peer.read_all());
  EXPECT_EQ(answer.status, 200);
  EXPECT_FALSE(answer.closes());
  EXPECT_THAT(taker.taken, SizeIs(1));
}

TEST_P(HandOver, WhoLeavesOfItselfIsNotHandedOver) {
  SimPeer peer = server.connect();
  peer.write(get("/plaintext", "Connection: close\r\n"));
  SimPeer gone = served_once();
  gone.half_close();
  begin();
  server.run_for(10ms);
  peer.close();
  gone.close();
  server.run_for(3s);
  EXPECT_THAT(taker.taken, SizeIs(0));
  EXPECT_EQ(server.counters().handed_over, 0u);
}

TEST_P(HandOver, IsAskedAgainSoonWhenTheTakerIsNotQuickEnough) {
  SimPeer peer = served_once();
  taker.answer = ConnectionTaker::Answer::not_now;
  begin();
  server.run_for(20ms);
  EXPECT_GE(taker.asked, 5);
  EXPECT_LE(taker.asked, 40);
  EXPECT_FALSE(peer.saw_eof());
  taker.answer = ConnectionTaker::Answer::taken;
  server.run_for(3ms);
  EXPECT_THAT(taker.taken, SizeIs(1));
}

TEST_P(HandOver, TakerThatIsGoneLeavesItToTheIdleGrace) {
  SimPeer idle = served_once();
  SimPeer asks = served_once();
  taker.answer = ConnectionTaker::Answer::never;
  begin(1, 100ms);
  server.run_for(50ms);
  EXPECT_EQ(taker.asked, 1) << "the others need not ask";
  asks.write(get("/plaintext"));
  server.run_for(10ms);
  const Answer answer = parse_answer(asks.read_all());
  EXPECT_EQ(answer.status, 200);
  EXPECT_TRUE(answer.closes()) << "as in any stop";
  EXPECT_FALSE(idle.saw_eof());
  server.run_for(200ms);
  EXPECT_TRUE(idle.saw_eof());
  EXPECT_FALSE(idle.saw_reset());
  EXPECT_EQ(server.counters().handed_over, 0u);
}

TEST_P(HandOver, TakerThatNeverGetsOnIsGivenUp) {
  SimPeer idle = served_once();
  taker.answer = ConnectionTaker::Answer::not_now;
  begin(1, 100ms);
  server.run_for(900ms);
  EXPECT_FALSE(idle.saw_eof());
  server.run_for(400ms);
  EXPECT_TRUE(idle.saw_eof());
  EXPECT_FALSE(idle.saw_reset());
}

TEST_P(HandOver, ForcingDoesNotWaitForIt) {
  SimPeer idle = served_once();
  taker.answer = ConnectionTaker::Answer::not_now;
  begin();
  server.run_for(10ms);
  server.enter(Phase::forcing);
  server.settle();
  EXPECT_TRUE(idle.saw_eof());
  EXPECT_FALSE(idle.saw_reset());
}

// Nobody else may have been woken for it.
TEST_P(HandOver, WhoIsInTheQueueIsAcceptedAndHandedOver) {
  server.settle();
  SimPeer queued = server.connect();
  begin();
  server.settle();
  EXPECT_EQ(server.counters().accepted, 1u);
  EXPECT_THAT(taker.taken, SizeIs(1));
  EXPECT_FALSE(queued.saw_reset());
  EXPECT_TRUE(server.acknowledged(Phase::draining));
}

TEST_P(HandOver, QueueOfAListenerThatDoesNotLiveOnIsServed) {
  server.settle();
  SimPeer queued = server.connect();
  queued.write(get("/plaintext"));
  begin(0);
  server.settle();
  EXPECT_EQ(server.counters().accepted, 1u);
  const std::string answer = queued.read_all();
  EXPECT_TRUE(!answer.empty() || taker.taken.size() == 1);
}

// A stop begins while another process still hands over: whoever comes is served.
TEST_P(HandOver, StopWaitsForWhoIsStillOnTheWay) {
  server.share(true);
  server.enter(Phase::draining);
  server.settle();
  EXPECT_FALSE(server.acknowledged(Phase::draining));
  auto [fd, peer] = server.network.pair();
  server.adopt(fd, "");
  peer.write(get("/plaintext"));
  server.settle();
  EXPECT_EQ(parse_answer(peer.read_all()).status, 200);
  server.share(false);
  server.settle();
  EXPECT_TRUE(server.acknowledged(Phase::draining));
  peer.close();
  server.run_for(1s);
}

TEST_P(HandOver, AdoptedConnectionHasTheIdleTimeout) {
  auto [fd, peer] = server.network.pair();
  server.adopt(fd, "");
  server.run_for(74s);
  EXPECT_FALSE(peer.saw_eof());
  server.run_for(2s);
  EXPECT_TRUE(peer.saw_eof());
}

TEST_P(HandOver, AdoptedConnectionWithANoteThatIsNoneIsClosed) {
  auto [fd, peer] = server.network.pair();
  server.adopt(fd, "nonsense");
  server.settle();
  EXPECT_TRUE(peer.saw_eof());
  EXPECT_EQ(server.counters().completed, 1u);
}

TEST_P(HandOver, AdoptedConnectionsAreServedWhateverTheLimit) {
  SimServer full(GetParam().options(3), {.max_connections = 1});
  SimPeer inside = full.connect();
  full.settle();
  auto [fd, peer] = full.network.pair();
  full.adopt(fd, "");
  peer.write(get("/plaintext"));
  full.settle();
  EXPECT_EQ(parse_answer(peer.read_all()).status, 200);
  EXPECT_EQ(full.counters().accepted, 2u);
}

}  // namespace
}  // namespace lastcall::test
