// The stop, phase by phase: who is served, who is closed when, and what is counted. On the simulated clock.

#include <algorithm>

#include "tests/sim/server.hpp"

namespace lastcall::test {
namespace {

struct Behaviour {
  const char* name;
  SimOptions (*options)(uint64_t seed);
};

class StopTest : public ::testing::TestWithParam<Behaviour> {
 protected:
  [[nodiscard]] static SimOptions sim(uint64_t seed = 1) { return GetParam().options(seed); }
};

INSTANTIATE_TEST_SUITE_P(Behaviours, StopTest,
                         ::testing::Values(Behaviour{"Epoll", &SimOptions::epoll_like},
                                           Behaviour{"Uring", &SimOptions::uring_like},
                                           Behaviour{"Torn", &SimOptions::chaotic}),
                         [](const auto& behaviour) { return behaviour.param.name; });

TEST_P(StopTest, NothingOpenIsDrainedAtOnce) {
  SimServer server(sim());
  server.run_for(1s);
  server.enter(Phase::draining);
  server.settle();
  EXPECT_TRUE(server.acknowledged(Phase::draining));
  EXPECT_TRUE(server.connect().saw_reset());  // nobody listens any more
}

TEST_P(StopTest, AnnouncingServesOn) {
  SimServer server(sim());
  server.announce(1h);
  SimPeer peer = server.connect();
  peer.write(get("/plaintext"));
  server.run_for(1s);
  Answer got = parse_answer(peer.read_all());
  EXPECT_EQ(got.status, 200);
  EXPECT_FALSE(got.closes());
  EXPECT_FALSE(server.acknowledged(Phase::draining));
}

// The share of answers that send the client away is that of the announced time that has passed.
TEST_P(StopTest, AnnouncingSendsMoreAndMoreClientsAway) {
  SimServer server(sim());
  const Instant began = server.network.now();
  server.announce(10s);
  int sent_away[5] = {};
  for (int part = 0; part < 5; ++part) {
    server.run_until(began + 2s * part + 1s);
    for (int i = 0; i < 100; ++i) {
      SimPeer peer = server.connect();
      peer.write(get("/plaintext"));
      server.settle();
      Answer got = parse_answer(peer.read_all());
      ASSERT_EQ(got.status, 200);
      EXPECT_EQ(got.closes(), peer.saw_eof());
      sent_away[part] += got.closes() ? 1 : 0;
      peer.close();
    }
  }
  for (int part = 0; part < 5; ++part) EXPECT_NEAR(sent_away[part], 10 + 20 * part, 2) << part;
  EXPECT_EQ(server.network.resets(), 0u);
}

// Whoever is told to leave has no request of his left behind.
TEST_P(StopTest, AnnouncingAnswersAllThatWasPipelined) {
  SimServer server(sim());
  server.announce(10s);
  server.run_for(9900ms);
  for (int i = 0; i < 20; ++i) {
    SimPeer peer = server.connect();
    std::string text;
    for (int j = 0; j < 5; ++j) text += get("/plaintext");
    peer.write(text);
    server.settle();
    std::string stream = peer.read_all();
    size_t answers = 0;
    for (size_t at = 0; (at = stream.find("Hello, World!", at)) != std::string::npos; ++at) ++answers;
    EXPECT_EQ(answers, 5u);
  }
}

// The gate: the listeners stay open for handshakes under way, also while connections drain.
TEST_P(StopTest, HeldListenersAcceptUntilTheyAreReleased) {
  SimServer server(sim());
  server.run_for(1s);
  SimPeer idle = server.connect();
  server.run_for(1ms);
  server.control.hold_listeners();
  server.enter(Phase::draining, 100ms);
  server.run_for(200ms);
  EXPECT_FALSE(server.acknowledged(Phase::draining));
  EXPECT_TRUE(idle.saw_eof());
  SimPeer late = server.connect();
  server.run_for(99ms);
  EXPECT_FALSE(late.saw_eof()) << "the idle grace is counted from its own arrival";
  late.write(get("/plaintext"));
  server.settle();
  Answer got = parse_answer(late.read_all());
  EXPECT_EQ(got.status, 200);
  EXPECT_TRUE(got.closes());
  SimPeer queued = server.connect();
  queued.write(get("/plaintext"));
  server.control.release_listeners();
  server.settle();
  EXPECT_TRUE(server.acknowledged(Phase::draining));
  EXPECT_EQ(parse_answer(queued.read_all()).status, 200);
  EXPECT_EQ(server.counters().accepted_while_stopping, 2u);
  EXPECT_TRUE(server.connect().saw_reset());
}

TEST_P(StopTest, ForcingReleasesHeldListeners) {
  SimServer server(sim());
  server.control.hold_listeners();
  server.enter(Phase::draining);
  server.settle();
  EXPECT_FALSE(server.acknowledged(Phase::draining));
  server.enter(Phase::forcing);
  server.settle();
  EXPECT_TRUE(server.acknowledged(Phase::forcing));
  EXPECT_TRUE(server.connect().saw_reset());
}

TEST_P(StopTest, QueuedConnectionsAreServedBeforeTheListenerCloses) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    SimServer server(sim(seed));
    server.run_for(1s);
    std::vector<SimPeer> peers;
    for (int i = 0; i < 30; ++i) {
      peers.push_back(server.connect());
      peers.back().write(get("/users/" + std::to_string(i)));
    }
    server.enter(Phase::draining);
    server.run_for(10ms);
    EXPECT_TRUE(server.acknowledged(Phase::draining));
    for (size_t i = 0; i < peers.size(); ++i) {
      EXPECT_FALSE(peers[i].saw_reset()) << "seed " << seed;
      Answer got = parse_answer(peers[i].read_all());
      EXPECT_EQ(got.body, std::to_string(i)) << "seed " << seed;
      EXPECT_TRUE(got.closes());
      peers[i].close();
    }
    server.settle();
    EXPECT_EQ(server.counters().completed, 30u);
    EXPECT_EQ(server.network.resets(), 0u);
    server.expect_balance();
  }
}

TEST_P(StopTest, ConnectionsAcceptedWhileStoppingAreCounted) {
  SimServer server(sim());
  server.run_for(1s);
  SimPeer before = server.connect();
  server.run_for(1ms);
  server.network.options().descriptor_limit = 2;  // the next one stays in the queue
  SimPeer queued = server.connect();
  server.run_for(1ms);
  server.network.options().descriptor_limit = 100;
  server.enter(Phase::draining);
  server.settle();
  EXPECT_EQ(server.counters().accepted, 2u);
  EXPECT_EQ(server.counters().accepted_while_stopping, 1u);
}

TEST_P(StopTest, IdleConnectionsGetTheWholeIdleGrace) {
  SimServer server(sim());
  SimPeer idle = server.connect(), silent = server.connect();
  idle.write(get("/plaintext"));
  server.run_for(1s);
  EXPECT_EQ(parse_answer(idle.read_all()).status, 200);
  server.enter(Phase::draining, 1s);
  server.run_for(999ms);
  EXPECT_FALSE(idle.saw_eof() || silent.saw_eof());
  EXPECT_EQ(server.counters().idle, 2u);
  server.run_for(101ms);
  EXPECT_TRUE(idle.saw_eof() && silent.saw_eof());
  EXPECT_EQ(server.ended(), 0u);  // they linger
  idle.close();
  silent.close();
  server.settle();
  EXPECT_EQ(server.counters().idle_closed, 2u);
  EXPECT_EQ(server.network.resets(), 0u);
}

// Their clients would all come back, elsewhere, in one instant.
TEST_P(StopTest, IdleConnectionsAreNotClosedAllAtOnce) {
  SimServer server(sim());
  std::vector<SimPeer> peers;
  for (int i = 0; i < 200; ++i) peers.push_back(server.connect());
  server.run_for(1s);
  server.enter(Phase::draining, 1s);
  server.run_for(1s - 1ns);
  const auto closed = [&] {
    return std::ranges::count_if(peers, [](SimPeer& peer) { return peer.saw_eof(); });
  };
  EXPECT_EQ(closed(), 0);
  for (int tenth = 1; tenth < 10; ++tenth) {
    server.run_for(10ms);
    EXPECT_NEAR(static_cast<double>(closed()), 20 * tenth, 15) << tenth;
  }
  server.run_for(11ms);
  EXPECT_EQ(closed(), 200);
}

// Nobody told it of the stop, so it may ask again: it gets the grace from its answer on.
TEST_P(StopTest, AnsweredWithoutAWordItHasTheIdleGraceStill) {
  SimServer server(sim());
  SimPeer peer = server.connect();
  peer.write(get("/stream?n=5&ms=1000"));
  server.run_for(1s);
  server.enter(Phase::draining, 1s);
  server.run_for(3900ms);  // the last piece came 900 ms ago
  EXPECT_EQ(server.counters().active, 0u);
  EXPECT_EQ(parse_answer(peer.read_all()).body.size(), 30u);
  EXPECT_FALSE(peer.saw_eof());
  peer.write(get("/plaintext"));
  server.run_for(1ms);
  EXPECT_EQ(parse_answer(peer.read_all()).body, "Hello, World!");
  EXPECT_TRUE(peer.saw_eof());
  EXPECT_EQ(server.counters().late_requests, 0u);
}

/// The time to take an answer is the write timeout, whenever the stop begins: not the idle grace.
TEST_P(StopTest, ADrainInTheTurnOfAnAnswerLeavesItItsTime) {
  for (int turns = 0; turns < 8; ++turns) {
    SimServer server(sim());
    SimPeer peer = server.connect();
    server.settle();
    peer.set_window(0);
    peer.write(get("/big?n=100000"));
    for (int i = 0; i < turns; ++i) server.turn();
    server.enter(Phase::draining, 10ms);
    server.run_for(5s);
    ASSERT_EQ(server.counters().aborted, 0u) << turns;
    peer.set_window(SIZE_MAX);
    server.run_for(100ms);
    std::string got = peer.read_all();
    server.run_for(100ms);
    got += peer.read_all();
    EXPECT_EQ(parse_answer(got).body.size(), 100000u) << turns;
  }
}

TEST_P(StopTest, NoIdleGraceClosesAtOnce) {
  SimServer server(sim());
  SimPeer idle = server.connect();
  server.run_for(1s);
  server.enter(Phase::draining, 0s);
  server.settle();
  server.run_for(1ms);
  EXPECT_TRUE(idle.saw_eof());
}

TEST_P(StopTest, RequestWithinTheIdleGraceIsAnsweredWithClose) {
  SimServer server(sim());
  SimPeer peer = server.connect();
  server.run_for(1s);
  server.enter(Phase::draining, 1s);
  server.run_for(998ms);
  peer.write(get("/plaintext"));
  server.run_for(1ms);
  Answer got = parse_answer(peer.read_all());
  EXPECT_EQ(got.status, 200);
  EXPECT_TRUE(got.closes());
  EXPECT_TRUE(peer.saw_eof());
  peer.close();
  server.settle();
  EXPECT_EQ(server.counters().completed, 1u);
  EXPECT_EQ(server.counters().late_requests, 0u);
}

// The bytes and the timer come in one turn: the event first, then the timer, and the connection must not look
// idle.
TEST_P(StopTest, RequestInTheTurnOfTheIdleCloseIsAnswered) {
  for (const char* target : {"/plaintext", "/sleep?ms=100", "/stream?n=3&ms=100"}) {
    for (Duration early : {0ns, 1ns, 500'000ns, 1'000'000ns}) {
      SimServer server(sim());
      SimPeer peer = server.connect();
      server.run_for(1s);
      server.enter(Phase::draining, 1s);
      server.settle();
      server.network.schedule_in(1s - early, [&] { peer.write(get(target)); });
      server.run_for(3s);
      ASSERT_EQ(parse_answer(peer.read_all()).status, 200) << target << " " << early.count();
      ASSERT_TRUE(peer.saw_eof());
      ASSERT_EQ(server.counters().late_requests, 0u);
    }
  }
}

TEST_P(StopTest, HalfARequestInTheTurnOfTheIdleCloseIsARequest) {
  SimServer server(sim());
  SimPeer peer = server.connect();
  server.run_for(1s);
  server.enter(Phase::draining, 1s);
  server.settle();
  server.network.schedule_in(1s, [&] { peer.write("GET /plain"); });
  server.network.schedule_in(3s, [&] { peer.write("text HTTP/1.1\r\nHost: a\r\n\r\n"); });
  server.run_for(4s);
  EXPECT_EQ(parse_answer(peer.read_all()).body, "Hello, World!");
}

// An empty line before a request makes no connection active; what follows it is still in the socket.
TEST_P(StopTest, IdleConnectionWithReadableBytesIsNotClosed) {
  SimOptions options = sim();
  options.max_read_bytes = 1;
  SimServer server(options);
  SimPeer peer = server.connect();
  server.run_for(1s);
  server.enter(Phase::draining, 1s);
  server.settle();
  server.network.schedule_in(1s, [&] { peer.write("\r\n" + get("/plaintext")); });
  server.run_for(2s);
  EXPECT_EQ(parse_answer(peer.read_all()).body, "Hello, World!");
  EXPECT_EQ(server.counters().late_requests, 0u);
}

TEST_P(StopTest, LateRequestIsCountedOnce) {
  SimServer server(sim());
  SimPeer peer = server.connect(), quiet = server.connect();
  server.run_for(1s);
  server.enter(Phase::draining, 1s);
  server.run_for(1100ms);
  EXPECT_TRUE(peer.saw_eof());
  peer.write(get("/plaintext"));  // it had not seen the end yet
  server.run_for(1ms);
  peer.write(get("/plaintext"));
  server.run_for(1ms);
  EXPECT_EQ(server.counters().late_requests, 1u);
  EXPECT_FALSE(peer.saw_reset());
  peer.close();
  quiet.close();
  server.settle();
  EXPECT_EQ(server.counters().late_requests, 1u);
  EXPECT_EQ(server.counters().idle_closed, 2u);
}

TEST_P(StopTest, ActiveOnesFinish) {
  SimServer server(sim());
  SimPeer sleeping = server.connect(), streaming = server.connect(), sending = server.connect();
  sleeping.write(get("/sleep?ms=5000"));
  streaming.write(get("/stream?n=6&ms=1000"));
  sending.write("POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello");
  server.run_for(100ms);
  EXPECT_EQ(server.counters().active, 3u);
  server.enter(Phase::draining, 1s);
  server.run_for(2s);
  sending.write("world");
  server.run_for(10s);
  Answer slept = parse_answer(sleeping.read_all()), counted = parse_answer(sending.read_all());
  EXPECT_EQ(slept.body, "slept");
  EXPECT_TRUE(slept.closes());
  EXPECT_EQ(counted.body, "10");
  EXPECT_TRUE(counted.closes());
  EXPECT_EQ(parse_answer(streaming.read_all()).body.size(), 36u);
  EXPECT_TRUE(sleeping.saw_eof() && streaming.saw_eof() && sending.saw_eof());
  EXPECT_EQ(server.counters().completed, 2u);    // lingered to the end of it
  EXPECT_EQ(server.counters().idle_closed, 1u);  // its head was out before it could say close
  EXPECT_TRUE(server.control.take_aborted().empty());
}

TEST_P(StopTest, LateHeadDuringTheDrainIsAnswered408) {
  SimServer server(sim());
  SimPeer peer = server.connect();
  peer.write("GET / H");
  server.run_for(1s);
  server.enter(Phase::draining, 1s);
  server.run_for(4990ms);
  EXPECT_EQ(peer.untaken(), 0u);
  server.run_for(20ms);
  EXPECT_EQ(parse_answer(peer.read_all()).status, 408);
}

TEST_P(StopTest, RunnerIsWokenWhenTheLastIsGone) {
  SimServer server(sim());
  SimPeer peer = server.connect();
  peer.write(get("/sleep?ms=5000"));
  server.run_for(1s);
  server.enter(Phase::draining);
  server.settle();
  server.control.clear_wake();
  EXPECT_EQ(server.counters().active, 1u);
  server.run_for(10s);
  EXPECT_EQ(server.counters().active + server.counters().idle, 0u);
  uint64_t count = 0;
  EXPECT_EQ(::read(server.control.wake_fd(), &count, sizeof count), ssize_t{sizeof count});
}

TEST_P(StopTest, HandlerThatOutlivesItsConnectionHoldsTheStop) {
  SimServer server(sim());
  SimPeer peer = server.connect();
  peer.write(get("/sleep?ms=2000") + get("/sleep?ms=2000"));
  server.run_for(1s);
  peer.reset();
  server.run_for(1ms);
  EXPECT_EQ(server.counters().active, 0u);  // its wait was cut short
  server.expect_balance();
}

TEST_P(StopTest, ForceAnswers503OrCutsAndReports) {
  SimServer server(sim());
  SimPeer sleeping = server.connect(), streaming = server.connect(), head = server.connect(),
          idle = server.connect();
  server.run_for(1ms);
  sleeping.write(get("/sleep?ms=50000"));
  streaming.write(get("/stream?n=100&ms=1000"));
  head.write("GET / H");
  server.run_for(100ms);
  server.enter(Phase::draining, 20s);
  server.run_for(1s);
  server.enter(Phase::forcing, 20s, "second signal");
  server.settle();
  EXPECT_TRUE(server.acknowledged(Phase::forcing));
  Answer slept = parse_answer(sleeping.read_all());
  EXPECT_EQ(slept.status, 503);
  EXPECT_TRUE(slept.closes());
  EXPECT_EQ(parse_answer(head.read_all()).status, 503);
  auto streamed = parse_answers(streaming.read_all());
  ASSERT_TRUE(streamed && streamed->size() == 1);
  EXPECT_FALSE(streamed->front().whole);
  EXPECT_TRUE(idle.saw_eof());
  std::vector<AbortedExchange> aborted = server.control.take_aborted();
  ASSERT_EQ(aborted.size(), 3u);
  for (const AbortedExchange& exchange : aborted) {
    EXPECT_EQ(exchange.why, "second signal");
    EXPECT_EQ(exchange.age_ms, 1100);
    EXPECT_EQ(exchange.bytes_sent > 0, exchange.state == "writing");
  }
  server.run_for(199ms);
  EXPECT_EQ(server.ended(), 1u);  // the 503s and the half answer linger, so that they arrive
  server.run_for(2ms);
  EXPECT_EQ(server.counters().aborted, 3u);
  EXPECT_EQ(server.counters().idle_closed, 1u);
  EXPECT_EQ(server.counters().active, 0u);
  server.expect_balance();
}

// Whole answers that the kernel had, and bytes in the socket that nobody read: a reset would lose the ones
// over the others.
TEST_P(StopTest, ForceInTheMiddleOfAnAnswerSparesWholeOnesBeforeIt) {
  SimServer server(sim());
  SimPeer peer = server.connect();
  std::string body(200'000, 'x');
  peer.write(get("/big?n=3000") + "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n");
  server.run_for(1ms);
  peer.set_window(5000);
  peer.write(body);
  server.run_for(1s);
  server.enter(Phase::draining);
  server.run_for(1s);
  server.enter(Phase::forcing);
  server.turn();
  server.turn();
  peer.set_window(SIZE_MAX);
  server.run_for(500ms);
  EXPECT_FALSE(peer.saw_reset());
  auto got = parse_answers(peer.read_all());
  ASSERT_TRUE(got && got->size() == 2);
  EXPECT_TRUE(got->front().whole);
  EXPECT_FALSE(got->back().whole);
  EXPECT_EQ(server.counters().aborted, 1u);
}

TEST_P(StopTest, ForceOnAPeerThatTakesNothing) {
  SimServer server(sim());
  SimPeer peer = server.connect();
  peer.set_window(100);
  peer.write(get("/big?n=100000"));
  server.run_for(1s);
  server.enter(Phase::draining);
  server.run_for(1s);
  server.enter(Phase::forcing);
  server.run_for(201ms);
  EXPECT_EQ(server.counters().aborted, 1u);
  EXPECT_EQ(server.control.take_aborted().size(), 1u);
}

// What is sent in the forcing phase gets no write timeout of its own.
TEST_P(StopTest, Forced503ThatNobodyTakesEndsInTime) {
  SimServer server(sim());
  SimPeer peer = server.connect();
  peer.set_window(0);
  peer.write(get("/sleep?ms=50000"));
  server.run_for(1s);
  server.enter(Phase::draining);
  server.run_for(1s);
  server.enter(Phase::forcing);
  server.run_for(201ms);
  EXPECT_EQ(server.counters().aborted, 1u);
}

TEST_P(StopTest, StraightToForcing) {
  SimServer server(sim());
  SimPeer idle = server.connect(), sleeping = server.connect();
  sleeping.write(get("/sleep?ms=50000"));
  server.run_for(1s);
  SimPeer queued = server.connect();
  queued.write(get("/plaintext"));
  server.enter(Phase::forcing);
  server.run_for(1ms);
  EXPECT_TRUE(server.acknowledged(Phase::forcing));
  EXPECT_EQ(parse_answer(sleeping.read_all()).status, 503);
  EXPECT_TRUE(idle.saw_eof());
  server.run_for(1s);
  EXPECT_EQ(server.ended(), 3u);
  EXPECT_EQ(server.counters().active + server.counters().idle, 0u);
  // The queued one was answered or is in the report: nothing vanishes.
  bool answered = parse_answer(queued.read_all()).status == 200;
  EXPECT_EQ(server.control.take_aborted().size(), answered ? 1u : 2u);
}

// A request that came in the very turn in which an idle connection is forced: it gets a 503, and is in the
// report.
TEST_P(StopTest, ForcedIdleConnectionWithBytesInItsSocketIsReported) {
  SimServer server(sim());
  SimPeer peer = server.connect();
  server.run_for(1s);
  server.enter(Phase::draining, 10s);
  server.settle();
  server.enter(Phase::forcing, 10s);
  peer.write(get("/plaintext"));
  server.run_for(1s);
  const int status = parse_answer(peer.read_all()).status;
  const bool answered = status == 200;
  EXPECT_TRUE(answered || status == 503) << status;
  EXPECT_EQ(server.control.take_aborted().size(), answered ? 0u : 1u);
  EXPECT_EQ(server.counters().aborted, answered ? 0u : 1u);
  EXPECT_EQ(server.ended(), 1u);
}

TEST_P(StopTest, StopWithHandlersStillWaiting) {
  SimServer server(sim());
  std::vector<SimPeer> peers;
  for (int i = 0; i < 10; ++i) {
    peers.push_back(server.connect());
    peers.back().write(get(i % 2 != 0 ? "/sleep?ms=50000" : "/stream?n=100000&ms=1000"));
    peers.back().set_window(50);
  }
  server.run_for(10s);
  server.shut_down();  // checks that nothing is lent, open or armed
  EXPECT_EQ(server.ended(), 10u);
}

// Whoever comes out of a queue late has not had a chance to speak yet.
TEST_P(StopTest, TheGraceOfALateConnectionBeginsWithItsAccept) {
  SimServer server(sim());
  server.network.options().descriptor_limit = 2;
  SimPeer first = server.connect(), second = server.connect();
  server.run_for(10ms);
  server.enter(Phase::draining, 1s);
  server.run_for(800ms);
  first.close();
  server.run_for(900ms);  // the grace of the stop is over, its own is not
  EXPECT_FALSE(second.saw_eof());
  second.write(get("/plaintext"));
  server.run_for(10ms);
  EXPECT_EQ(parse_answer(second.read_all()).status, 200);
}

TEST_P(StopTest, OutOfDescriptorsDuringTheDrain) {
  SimServer server(sim());
  server.network.options().descriptor_limit = 2;
  SimPeer first = server.connect(), second = server.connect();
  server.run_for(10ms);
  server.enter(Phase::draining, 1s);
  server.run_for(1ms);
  EXPECT_FALSE(server.acknowledged(Phase::draining));  // the second one is in the queue, and would be reset
  second.write(get("/plaintext"));
  first.close();
  server.run_for(100ms);
  EXPECT_TRUE(server.acknowledged(Phase::draining));
  EXPECT_NE(second.read_all().find("Hello, World!"), std::string::npos);
  server.expect_balance();
}

TEST_P(StopTest, OutOfDescriptorsUntilForced) {
  SimServer server(sim());
  server.network.options().descriptor_limit = 2;
  SimPeer first = server.connect(), second = server.connect();
  server.run_for(10ms);
  server.enter(Phase::draining, 10s);
  server.run_for(1s);
  EXPECT_FALSE(server.acknowledged(Phase::draining));
  server.enter(Phase::forcing);
  server.run_for(1ms);
  EXPECT_TRUE(server.acknowledged(Phase::draining) || server.acknowledged(Phase::forcing));
  server.run_for(1s);
  server.expect_balance();
}

TEST_P(StopTest, PhasesAreAcknowledgedInEveryOrderOfEvents) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SimServer server(sim(seed));
    SimPeer peer = server.connect();
    peer.write(get("/plaintext") + "GET");
    server.enter(Phase::announcing);
    server.enter(Phase::draining);
    server.settle();
    EXPECT_TRUE(server.acknowledged(Phase::draining)) << seed;
    server.enter(Phase::forcing);
    server.settle();
    EXPECT_TRUE(server.acknowledged(Phase::forcing)) << seed;
    server.run_for(1s);
    EXPECT_EQ(server.ended(), 1u) << seed;
  }
}

}  // namespace
}  // namespace lastcall::test
