// A worker that serves: timeouts, endings, limits. Each under the behaviours of both kernels' interfaces and
// a torn one.

#include "tests/sim/server.hpp"

namespace lastcall::test {
namespace {

struct Behaviour {
  const char* name;
  SimOptions (*options)(uint64_t seed);
};

class WorkerTest : public ::testing::TestWithParam<Behaviour> {
 protected:
  [[nodiscard]] static SimOptions sim(uint64_t seed = 1) { return GetParam().options(seed); }

  static void expect_one(SimServer& server, const std::atomic<uint64_t>& counter) {
    EXPECT_EQ(server.ended(), 1u);
    EXPECT_EQ(counter, 1u);
    server.expect_balance();
  }
};

INSTANTIATE_TEST_SUITE_P(Behaviours, WorkerTest,
                         ::testing::Values(Behaviour{"Epoll", &SimOptions::epoll_like},
                                           Behaviour{"Uring", &SimOptions::uring_like},
                                           Behaviour{"Torn", &SimOptions::chaotic}),
                         [](const auto& behaviour) { return behaviour.param.name; });

TEST_P(WorkerTest, ServesAndKeepsTheConnection) {
  SimServer server(sim());
  SimPeer peer = server.connect();
  for (int i = 0; i < 5; ++i) {
    peer.write(get("/users/" + std::to_string(i)));
    server.run_for(1s);
    EXPECT_EQ(parse_answer(peer.read_all()).body, std::to_string(i));
  }
  EXPECT_EQ(server.counters().idle, 1u);
  peer.close();
  server.run_for(1s);
  expect_one(server, server.counters().completed);
}

/// … so that the answer goes in one packet with the end. SimBackend insists on that end.
TEST_P(WorkerTest, OnlyAnAnswerThatClosesIsALastSend) {
  SimServer server(sim());
  SimPeer peer = server.connect();
  peer.write(get("/plaintext"));
  server.run_for(1s);
  EXPECT_EQ(parse_answer(peer.read_all()).status, 200);
  EXPECT_EQ(server.last_sends(), 0u);
  peer.write("GET /plaintext HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  server.run_for(1s);
  EXPECT_EQ(parse_answer(peer.read_all()).status, 200);
  EXPECT_TRUE(peer.saw_eof());
  EXPECT_EQ(server.last_sends(), 1u);
  expect_one(server, server.counters().completed);
}

/// To the client an end in order would be that of the body.
TEST_P(WorkerTest, APartOfABodyWithoutALengthIsNoLastSend) {
  SimServer server(sim());
  SimPeer peer = server.connect();
  peer.write(get("/throw-later", "", "1.0"));
  server.run_for(10s);
  EXPECT_GT(peer.read_all().size(), 0u);
  EXPECT_EQ(server.last_sends(), 0u);
  EXPECT_EQ(server.ended(), 1u);
}

/// The second request has to wait for room, and nothing else reminds anybody of it.
TEST_P(WorkerTest, ARequestThatWaitsForRoomIsAnsweredOnceThereIsSome) {
  auto large = [](const Request&, Response& response) { response.text(std::string(70'000, 'x')); };
  std::vector<Route> routes;
  routes.push_back({.pattern = "/large", .handler = large, .options = {}});
  SimServer server(sim(), {}, {}, std::move(routes));
  SimPeer peer = server.connect();
  const std::string request = "POST /large HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
  peer.write(request + request);
  server.run_for(1s);
  const auto answers = parse_answers(peer.read_all());
  ASSERT_TRUE(answers);
  ASSERT_EQ(answers->size(), 2u);
  for (const Answer& answer : *answers) EXPECT_EQ(answer.body.size(), 70'000u);
}

TEST_P(WorkerTest, DateFollowsTheWallClock) {
  SimServer server(sim());
  SimPeer peer = server.connect();
  server.run_for(9s);  // within the header timeout
  peer.write(get("/plaintext"));
  server.run_for(0s);
  EXPECT_EQ(parse_answer(peer.read_all()).field("Date"), "Thu, 01 Jan 2026 00:00:09 GMT");
}

TEST_P(WorkerTest, SilentConnectionIsClosedInOrder) {
  SimServer server(sim());
  SimPeer peer = server.connect();
  server.run_for(9999ms);
  EXPECT_FALSE(peer.saw_eof());
  server.run_for(1ms);
  EXPECT_TRUE(peer.saw_eof());
  EXPECT_FALSE(peer.saw_reset());
  peer.close();
  server.run_for(1ms);
  expect_one(server, server.counters().idle_closed);
}

TEST_P(WorkerTest, IdleTimeoutCountsFromTheLastAnswer) {
  SimServer server(sim());
  SimPeer peer = server.connect();
  for (int i = 0; i < 3; ++i) {
    peer.write(get("/plaintext"));
    server.run_for(74s);
    EXPECT_EQ(parse_answer(peer.read_all()).status, 200);
  }
  server.run_for(2s);
  EXPECT_TRUE(peer.saw_eof());
}

TEST_P(WorkerTest, RequestInTheTurnOfTheIdleTimeoutIsServed) {
  for (Duration early : {0ns, 1ns, 500'000ns, 1'000'000ns, 2'000'000ns}) {
    SimServer server(sim());
    SimPeer peer = server.connect();
    peer.write(get("/plaintext"));
    server.run_for(0s);
    EXPECT_EQ(parse_answer(peer.read_all()).status, 200);
    server.network.schedule_in(75s - early, [&peer] { peer.write(get("/plaintext")); });
    server.run_for(75s + 1ms);
    ASSERT_EQ(parse_answer(peer.read_all()).status, 200) << early.count();
    ASSERT_FALSE(peer.saw_eof());
  }
}

TEST_P(WorkerTest, LateHeadIsAnswered408) {
  SimServer server(sim());
  SimPeer peer = server.connect();
  peer.write("GET / HT");
  server.run_for(9s);
  EXPECT_EQ(server.counters().active, 1u);
  server.run_for(1001ms);
  EXPECT_EQ(parse_answer(peer.read_all()).status, 408);
  EXPECT_TRUE(peer.saw_eof());
  peer.close();
  server.run_for(1ms);
  expect_one(server, server.counters().completed);
}

// The reactor was held up beyond the timeout, and reads in small pieces: the verdict waits for what was here.
TEST_P(WorkerTest, HeadThatWaitedInItsSocketIsServed) {
  SimOptions options = sim();
  options.max_read_bytes = 4;
  SimServer server(options);
  SimPeer peer = server.connect();
  std::string request = get("/plaintext");
  peer.write(request.substr(0, 4));
  server.run_for(1s);
  server.stall(5s);
  peer.write(request.substr(4));
  server.stall(5s);
  server.run_for(1ms);
  EXPECT_EQ(parse_answer(peer.read_all()).status, 200);
  EXPECT_FALSE(peer.saw_eof());
}

// … but not for what comes while it waits: a head has its time, and no byte that is always there moves it.
TEST_P(WorkerTest, HeadThatDripsDuringItsVerdictGetsNoMoreTime) {
  SimOptions options = sim();
  options.max_read_bytes = 4;
  SimServer server(options);
  SimPeer peer = server.connect();
  peer.write("GET /");
  server.run_for(1s);
  server.stall(10s);
  peer.write(std::string(40, 'x'));
  for (int turns = 0; turns < 60 && peer.untaken() == 0; ++turns) {
    server.turn();
    peer.write("xxxx");
  }
  EXPECT_EQ(parse_answer(peer.read_all()).status, 408);
}

TEST_P(WorkerTest, PeerThatTakesNothingIsCut) {
  SimServer server(sim());
  SimPeer peer = server.connect();
  peer.set_window(1000);
  peer.write(get("/big?n=100000"));
  server.run_for(29s);
  EXPECT_EQ(server.counters().active, 1u);
  server.run_for(31s + 10ms);  // looked at every 30 s: noticed in the second at the latest
  expect_one(server, server.counters().aborted);
}

/// An answer that does not leave is counted, and has its time, without another event.
TEST_P(WorkerTest, AnAnswerThatNobodyTakesIsActiveInMilliseconds) {
  SimServer server(sim());
  SimPeer peer = server.connect();
  server.settle();
  peer.set_window(0);
  peer.write(get("/plaintext"));
  uint64_t active = 0;
  server.network.schedule(server.network.now() + 5ms, [&] { active = server.counters().active; });
  server.run_for(10ms);
  EXPECT_EQ(active, 1u);
}

/// Neither what was sent, nor whose it was; what is kept for the next request is of all connections.
TEST_P(WorkerTest, AConnectionThatWaitsHoldsNoBuffer) {
  SimServer server(sim());
  SimPeer peer = server.connect();
  peer.write(get("/users/1"));
  server.run_for(1s);
  EXPECT_EQ(parse_answer(peer.read_all()).status, 200);
  const size_t kept = server.lent();
  std::string requests;
  for (int i = 0; i < 5; ++i) requests += get("/users/1");
  peer.write(requests);
  server.run_for(1s);
  EXPECT_EQ(parse_answers(peer.read_all()).value().size(), 5u);
  EXPECT_EQ(server.lent(), kept);
}

TEST_P(WorkerTest, PeerThatTakesSlowlyIsWaitedFor) {
  SimServer server(sim());
  SimPeer peer = server.connect();
  peer.set_window(1000);
  peer.write(get("/big?n=20000"));
  std::string stream;
  for (int i = 0; i < 33; ++i) {
    server.run_for(20s);
    stream += peer.take(600);
  }
  peer.set_window(SIZE_MAX);
  server.run_for(1s);
  stream += peer.read_all();
  EXPECT_EQ(parse_answer(stream).body, std::string(20000, 'x'));  // 660 s, and no 408 behind it
  EXPECT_EQ(server.ended(), 0u);
}

TEST_P(WorkerTest, SlowReaderOfManyAnswersTakesBoundedMemory) {
  SimServer server(sim());
  SimPeer peer = server.connect();
  peer.set_window(1000);
  std::string requests;
  for (int i = 0; i < 100; ++i) requests += get("/big?n=20000");
  peer.write(requests);
  server.run_for(1s);
  peer.set_window(SIZE_MAX);
  std::string stream = peer.read_all();
  for (int i = 0; i < 20; ++i) {
    server.run_for(1s);
    stream += peer.read_all();
  }
  EXPECT_EQ(parse_answers(stream).value_or(std::vector<Answer>{}).size(), 100u);
}

TEST_P(WorkerTest, FastReaderDoesNotStarveOthers) {
  SimServer server(sim());
  SimPeer endless = server.connect(), other = server.connect();
  endless.write(get("/stream?n=100000&ms=0"));
  other.write(get("/plaintext"));
  server.run_for(1ms);
  EXPECT_EQ(parse_answer(other.read_all()).status, 200);
}

TEST_P(WorkerTest, EchoOfAnySizeComesBackWhole) {
  SimServer server(sim());
  SimPeer peer = server.connect();
  std::string body;
  for (int i = 0; i < 200'000; ++i) body += static_cast<char>('a' + i % 23);
  peer.set_window(5000);
  peer.write(post("/echo", body));
  std::string stream;
  for (int i = 0; i < 100; ++i) {
    server.run_for(10ms);
    stream += peer.read_all();
  }
  EXPECT_EQ(parse_answer(stream).body, body);
  server.expect_balance();
}

TEST_P(WorkerTest, AnswerSurvivesABodyThatIsNotRead) {
  SimServer server(sim());
  SimPeer peer = server.connect();
  peer.write("POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
  server.run_for(1ms);
  for (int i = 0; i < 10; ++i) {
    peer.write(std::string(20'000, 'x'));
    server.run_for(100ms);
  }
  EXPECT_FALSE(peer.saw_reset());
  EXPECT_EQ(parse_answer(peer.read_all()).status, 404);
  EXPECT_TRUE(peer.saw_eof());
  peer.close();
  server.run_for(1ms);
  expect_one(server, server.counters().completed);
}

TEST_P(WorkerTest, LingeringEndsAfterTwoSecondsWhenThePeerNeverCloses) {
  SimServer server(sim());
  SimPeer peer = server.connect();
  peer.write("nonsense\r\n\r\n");
  server.run_for(1999ms);
  EXPECT_EQ(parse_answer(peer.read_all()).status, 400);
  EXPECT_TRUE(peer.saw_eof());
  EXPECT_EQ(server.ended(), 0u);
  server.run_for(2ms);
  expect_one(server, server.counters().completed);
}

TEST_P(WorkerTest, LingeringEndsWhenThePeerCloses) {
  SimServer server(sim());
  SimPeer peer = server.connect();
  peer.write("nonsense\r\n\r\n");
  server.run_for(1ms);
  EXPECT_EQ(parse_answer(peer.read_all()).status, 400);
  peer.close();
  server.run_for(0s);
  expect_one(server, server.counters().completed);
}

TEST_P(WorkerTest, CloseThatThePeerAskedForIsAtOnce) {
  SimServer server(sim());
  SimPeer peer = server.connect();
  peer.write(get("/plaintext", "Connection: close\r\n"));
  server.run_for(0s);
  EXPECT_TRUE(parse_answer(peer.read_all()).closes());
  EXPECT_TRUE(peer.saw_eof());
  expect_one(server, server.counters().completed);
}

TEST_P(WorkerTest, PeerThatResetsWhileItIsServed) {
  for (const char* target : {"/sleep?ms=1000", "/big?n=100000", "/stream?n=100&ms=10"}) {
    SimServer server(sim());
    SimPeer peer = server.connect();
    peer.set_window(1000);
    peer.write(get(target));
    server.run_for(50ms);
    EXPECT_EQ(server.counters().active, 1u) << target;
    peer.reset();
    server.run_for(1ms);
    expect_one(server, server.counters().completed);
    EXPECT_EQ(server.counters().active, 0u);
  }
}

TEST_P(WorkerTest, HalfClosedPeerGetsItsAnswer) {
  SimServer server(sim());
  SimPeer peer = server.connect();
  peer.write(get("/sleep?ms=1000") + get("/plaintext"));
  peer.half_close();
  server.run_for(999ms);
  EXPECT_EQ(server.ended(), 0u);
  server.run_for(1ms);
  auto got = parse_answers(peer.read_all());
  ASSERT_TRUE(got && got->size() == 2);
  EXPECT_TRUE(got->back().closes());
  expect_one(server, server.counters().completed);
}

TEST_P(WorkerTest, HandlerThatFailsAfterTheHeadIsAnAbortBehindWholeAnswers) {
  SimServer server(sim());
  SimPeer peer = server.connect();
  peer.write(get("/big?n=100000") + get("/plaintext") + get("/throw-later"));
  server.run_for(1ms);
  auto got = parse_answers(peer.read_all());
  ASSERT_TRUE(got.has_value());
  ASSERT_EQ(got->size(), 3u);
  EXPECT_TRUE((*got)[0].whole && (*got)[1].whole);
  EXPECT_FALSE((*got)[2].whole);
  EXPECT_TRUE(peer.saw_eof());
  peer.close();
  server.run_for(1ms);
  expect_one(server, server.counters().aborted);
}

TEST_P(WorkerTest, AnswerThatBreaksOffWaitsForNobodyForEver) {
  SimServer server(sim());
  SimPeer stubborn = server.connect();  // sees the end, and does not end its side
  stubborn.write(get("/throw-later"));
  server.run_for(1999ms);
  EXPECT_EQ(server.ended(), 0u);
  server.run_for(2ms);
  expect_one(server, server.counters().aborted);
  SimPeer reader = server.connect();  // takes nothing
  reader.set_window(50);
  reader.write(get("/plaintext") + get("/throw-later"));
  server.run_for(61s);
  EXPECT_EQ(server.counters().aborted, 2u);
  server.expect_balance();
}

TEST_P(WorkerTest, BeyondTheLimitIsAnswered503) {
  SimServer server(sim(), {.id = 0, .max_connections = 2});
  SimPeer first = server.connect(), second = server.connect();
  server.run_for(1ms);
  SimPeer third = server.connect();
  third.write(get("/plaintext"));
  server.run_for(1ms);
  Answer got = parse_answer(third.read_all());
  EXPECT_EQ(got.status, 503);
  EXPECT_EQ(got.field("Retry-After"), "1");
  EXPECT_FALSE(third.saw_reset());
  EXPECT_TRUE(third.saw_eof());
  third.close();
  first.close();
  server.run_for(1ms);
  EXPECT_EQ(server.counters().completed, 2u);
  SimPeer fourth = server.connect();
  fourth.write(get("/plaintext"));
  server.run_for(1ms);
  EXPECT_EQ(parse_answer(fourth.read_all()).status, 200);
  server.expect_balance();
}

TEST_P(WorkerTest, ReloadMovesTheLimit) {
  SimServer server(sim(), {.id = 0, .max_connections = 1});
  SimPeer first = server.connect();
  server.run_for(1ms);
  server.reload({.id = 0, .max_connections = 400}, {});
  std::vector<SimPeer> more;
  for (int i = 0; i < 399; ++i) {
    more.push_back(server.connect());
    server.run_for(1ms);
  }
  EXPECT_EQ(server.counters().idle, 400u);
  server.reload({.id = 0, .max_connections = 2}, {});
  EXPECT_EQ(server.counters().idle, 400u) << "who is inside stays";
  SimPeer late = server.connect();
  server.run_for(1ms);
  EXPECT_EQ(parse_answer(late.read_all()).status, 503);
  late.close();
  server.run_for(1ms);
  server.expect_balance();
}

// Its timer is set for a minute later.
TEST_P(WorkerTest, ReloadArmsAnewWhoIsIdle) {
  SimServer server(sim(), {}, {.limits = {}, .idle_timeout = 60s});
  std::vector<SimPeer> peers;
  for (int i = 0; i < 100; ++i) {
    peers.push_back(server.connect());
    peers.back().write(get("/plaintext"));
  }
  server.run_for(1s);
  ASSERT_EQ(server.counters().idle, 100u);
  server.reload({}, {.limits = {}, .idle_timeout = 500ms});
  EXPECT_GT(server.counters().idle, 50u) << "not all in one instant";
  server.run_for(110ms);
  for (SimPeer& peer : peers) {
    static_cast<void>(peer.read_all());
    EXPECT_TRUE(peer.saw_eof());
  }
  server.expect_balance();
}

TEST_P(WorkerTest, ReloadGivesASlowReaderTheNewWriteTimeout) {
  SimServer server(sim(), {.id = 0, .write_timeout = Duration::max()});
  SimPeer peer = server.connect();
  peer.set_window(100);
  peer.write(get("/big?n=100000"));
  server.run_for(1000s);
  ASSERT_EQ(server.counters().active, 1u);
  server.reload({.id = 0, .write_timeout = 5s}, {});
  server.run_for(4s);
  EXPECT_EQ(server.counters().active, 1u);
  server.run_for(7s);
  EXPECT_EQ(server.counters().aborted, 1u);
  server.expect_balance();
}

TEST_P(WorkerTest, OutOfDescriptorsWaitsForAConnectionToEnd) {
  SimServer server(sim());
  server.network.options().descriptor_limit = 2;  // the listener and one more
  SimPeer first = server.connect(), second = server.connect();
  second.write(get("/plaintext"));
  server.run_for(10ms);
  EXPECT_EQ(server.network.queued(server.listener), 1u);
  EXPECT_EQ(server.counters().accepted, 1u);
  first.close();
  server.run_for(0s);  // not only at the next look, 50 ms later
  EXPECT_EQ(parse_answer(second.read_all()).status, 200);
  server.expect_balance();
}

TEST_P(WorkerTest, OutOfDescriptorsLooksAgainAfter50Ms) {
  SimServer server(sim());
  server.network.options().descriptor_limit = 1;
  Instant start = server.network.now();
  SimPeer peer = server.connect();
  peer.write(get("/plaintext"));
  server.run_for(49ms);
  server.network.options().descriptor_limit = 2;
  EXPECT_EQ(server.counters().accepted, 0u);
  server.run_until(start + 51ms);
  EXPECT_EQ(parse_answer(peer.read_all()).status, 200);
}

TEST_P(WorkerTest, OutOfDescriptorsDoesNotSpin) {
  SimOptions options = sim();
  options.turn_limit = 200;  // waits at one instant; the network CHECKs
  SimServer server(options);
  server.network.options().descriptor_limit = 1;
  SimPeer peer = server.connect();
  server.run_for(10s);
  server.network.options().descriptor_limit = 2;
  server.run_for(51ms);
  EXPECT_EQ(server.counters().accepted, 1u);
}

TEST_P(WorkerTest, ManyConnectionsOfAllKindsAddUp) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    SimServer server(sim(seed));
    std::vector<SimPeer> peers;
    for (int i = 0; i < 40; ++i) {
      peers.push_back(server.connect());
      const char* requests[] = {"", "GET / H", "nonsense\r\n\r\n",
                                "POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"};
      peers.back().write(i % 5 == 4 ? get("/stream?n=50&ms=100") : requests[i % 5]);
      if (i % 7 == 1) peers.back().half_close();
      if (i % 7 == 2) peers.back().reset();
      if (i % 7 == 3) peers.back().close();
      server.run_for(10ms);
      server.expect_balance();
    }
    server.run_for(200s);
    EXPECT_EQ(server.counters().accepted, 40u);
    EXPECT_EQ(server.ended(), 40u) << seed;
    EXPECT_EQ(server.counters().active + server.counters().idle, 0u);
  }
}

}  // namespace
}  // namespace lastcall::test
