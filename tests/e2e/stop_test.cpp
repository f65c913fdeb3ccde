#include <cerrno>
#include <thread>

#include "tests/e2e/fixture.hpp"
#include "tests/support/real_peer.hpp"

namespace lastcall::e2e {
namespace {

using testing::HasSubstr;

/// Stops in which everybody is served: exit code 0.
class Stop : public EndToEnd {
 protected:
  /// A connection that is known to be idle: it was served before.
  RawClient idle_connection() {
    RawClient client = connect();
    EXPECT_EQ(client.ask(get_request("/plaintext")).status, 200);
    return client;
  }

  bool connect_again() {
    RawClient late(address());
    late.send(get_request("/plaintext"));
    return late.connected();
  }

  static void expect_last_answer(RawClient& client, const std::string& body) {
    HttpAnswer answer = client.read_answer();
    EXPECT_EQ(answer.status, 200);
    EXPECT_TRUE(answer.complete);
    EXPECT_EQ(answer.body, body);
    EXPECT_EQ(answer.header("Connection"), "close");
    EXPECT_EQ(client.read_end(), StreamEnd::eof);
  }

  static void expect_silent_end(RawClient& client) {
    auto [bytes, end] = client.read_all();
    EXPECT_EQ(bytes, "");
    EXPECT_EQ(end, StreamEnd::eof) << to_string(end);
  }
};
LASTCALL_ON_BOTH_BACKENDS(Stop);

TEST_P(Stop, OfAnEmptyServerIsImmediate) {
  start({"--idle-grace", "10s"});
  EXPECT_EQ(stop(), 0);
  EXPECT_LT(report().at("duration_ms"), 5000);
}

TEST_P(Stop, EndsIdleConnectionsInOrder) {
  start();
  RawClient client = idle_connection();
  begin_stop();
  expect_silent_end(client);
  EXPECT_EQ(wait_exit(), 0);
  EXPECT_EQ(total(report(), "idle_closed"), 1u);
}

TEST_P(Stop, EndsSilentConnectionsInOrder) {
  start();
  RawClient client = connect();
  settle();
  begin_stop();
  expect_silent_end(client);
  EXPECT_EQ(wait_exit(), 0);
}

TEST_P(Stop, AnswersWhatIsAtWork) {
  start({"--reactors", "2"});
  std::vector<RawClient> clients;
  for (int i = 0; i < 20; ++i) {
    clients.push_back(connect());
    clients.back().send(get_request(i % 2 == 0 ? "/sleep?ms=300" : "/block?ms=100"));
  }
  begin_stop();
  for (int i = 0; i < 20; ++i)
    expect_last_answer(clients[static_cast<size_t>(i)], i % 2 == 0 ? "slept 300 ms\n" : "slept 100 ms\n");
  EXPECT_EQ(wait_exit(), 0);
  EXPECT_EQ(total(report(), "completed"), total(report(), "accepted"));
}

TEST_P(Stop, WaitsForTheRestOfAHead) {
  start();
  RawClient client = connect();
  client.send("GET /users/7 HTTP/1.1\r\nHo");
  settle();
  begin_stop();
  EXPECT_FALSE(client.readable(300ms));  // far longer than the idle grace: it has begun a request
  client.send("st: test\r\n\r\n");
  expect_last_answer(client, R"({"id":"7"})");
  EXPECT_EQ(wait_exit(), 0);
}

TEST_P(Stop, WaitsForTheRestOfABody) {
  start();
  std::vector<RawClient> clients;
  for (const char* target : {"/anything", "/echo", "/upload"}) {
    clients.push_back(connect());
    clients.back().send("POST " + std::string(target) +
                        " HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nhello");
  }
  settle();
  begin_stop();
  EXPECT_TRUE(clients[1].readable(20s));  // the echo of the first half
  EXPECT_FALSE(clients[2].readable(200ms));
  for (RawClient& client : clients) client.send("world");
  for (RawClient& client : clients) {
    HttpAnswer answer = client.read_answer();
    EXPECT_EQ(answer.status, 200);
    EXPECT_TRUE(answer.complete);
    EXPECT_EQ(client.read_end(), StreamEnd::eof);
  }
  EXPECT_EQ(wait_exit(), 0);
}

TEST_P(Stop, LetsAStreamRunToItsEnd) {
  start();
  RawClient client = connect();
  client.send(get_request("/stream?n=10&ms=40"));
  ASSERT_TRUE(client.readable(20s));
  begin_stop();
  HttpAnswer answer = client.read_answer();
  EXPECT_TRUE(answer.complete);
  EXPECT_EQ(answer.chunks.size(), 10u);
  EXPECT_EQ(client.read_end(), StreamEnd::eof);
  EXPECT_EQ(wait_exit(), 0);
}

TEST_P(Stop, LetsALongAnswerReachASlowReader) {
  start();
  RawClient client = connect({.receive_buffer_bytes = 64 * 1024});
  client.send(get_request("/bytes?n=20000000"));
  ASSERT_TRUE(client.readable(20s));
  begin_stop();
  EXPECT_EQ(server().wait_exit(300ms), std::nullopt);
  HttpAnswer answer = client.read_answer();
  EXPECT_TRUE(answer.complete);
  EXPECT_EQ(answer.body.size(), 20'000'000u);
  EXPECT_EQ(client.read_end(), StreamEnd::eof);
  EXPECT_EQ(wait_exit(), 0);
}

TEST_P(Stop, AnswersAWholePipeline) {
  start();
  RawClient client = connect();
  std::string requests = get_request("/sleep?ms=300");
  for (int i = 1; i < 64; ++i) requests += get_request("/users/" + std::to_string(i));
  client.send(requests);
  settle();
  begin_stop();
  EXPECT_EQ(client.read_answer().body, "slept 300 ms\n");
  for (int i = 1; i < 63; ++i) {
    HttpAnswer answer = client.read_answer();
    ASSERT_EQ(answer.body, Json({{"id", std::to_string(i)}}).dump());
    EXPECT_EQ(answer.header("Connection"), "") << "and yet another answer follows";
  }
  expect_last_answer(client, R"({"id":"63"})");
  EXPECT_EQ(wait_exit(), 0);
}

TEST_P(Stop, RefusesNewConnections) {
  start();
  RawClient busy = connect();
  busy.send(get_request("/sleep?ms=500"));
  settle();
  begin_stop();
  // The listener closes a moment after the log line, and who comes before is served.
  while (connect_again()) {
  }
  EXPECT_EQ(RawClient(address()).connect_error(), ECONNREFUSED);
  expect_last_answer(busy, "slept 500 ms\n");
  EXPECT_EQ(wait_exit(), 0);
}

TEST_P(Stop, OnEachOfTheSignals) {
  for (int number : {SIGTERM, SIGINT, SIGQUIT}) {
    start();
    RawClient client = connect();
    client.send(get_request("/sleep?ms=100"));
    settle();
    begin_stop(number);
    expect_last_answer(client, "slept 100 ms\n");
    EXPECT_EQ(wait_exit(), 0);
    EXPECT_EQ(report().at("reason"), "SIG" + std::string(::sigabbrev_np(number)));
  }
}

TEST_P(Stop, NotOnOtherSignals) {
  start();
  RawClient client = idle_connection();
  for (int number : {SIGHUP, SIGUSR1, SIGPIPE}) {
    server().signal(number);
    EXPECT_EQ(client.ask(get_request("/plaintext")).status, 200);
  }
  for (const char* name : {"reloaded", "SIGUSR1"}) EXPECT_TRUE(server().wait_for_line(name)) << name;
  EXPECT_EQ(get("/plaintext").status, 200);
}

TEST_P(Stop, OfAThousandIdleConnectionsResetsNone) {
  constexpr size_t kConnections = 1000;
  if (!allow_descriptors(kConnections + 100)) GTEST_SKIP() << "not enough descriptors";
  start({"--reactors", "2", "--max-connections", "2000"});
  std::vector<RawClient> clients;
  for (size_t i = 0; i < kConnections; ++i) clients.push_back(idle_connection());
  server().signal(SIGTERM);
  size_t ended = 0;
  for (RawClient& client : clients) {
    ended += client.read_all() == std::pair(std::string(), StreamEnd::eof);
    client.close();
  }
  EXPECT_EQ(ended, kConnections);
  EXPECT_EQ(wait_exit(), 0);
  EXPECT_EQ(total(report(), "idle_closed"), kConnections);
  EXPECT_EQ(report().at("late_requests"), 0);
}

/// A lame duck: balancers learn of the stop before it begins.
class Announce : public Stop {};
LASTCALL_ON_BOTH_BACKENDS(Announce);

TEST_P(Announce, StillAcceptsAndServes) {
  start({"--announce", "600ms"});
  RawClient old = idle_connection();
  server().signal(SIGTERM);
  ASSERT_TRUE(server().wait_for_event("announcing"));
  for (int i = 0; i < 5; ++i) EXPECT_EQ(get("/plaintext").status, 200);
  EXPECT_EQ(old.ask(get_request("/plaintext")).status, 200);
  old.close();
  RawClient busy = connect();
  busy.send(get_request("/sleep?ms=800"));
  EXPECT_EQ(server().wait_for_event("drain_started", 0s), std::nullopt);
  ASSERT_TRUE(server().wait_for_event("drain_started"));
  expect_last_answer(busy, "slept 800 ms\n");
  EXPECT_EQ(wait_exit(), 0);
  Json phases = report().at("phases");
  ASSERT_EQ(phases.size(), 3u);
  EXPECT_EQ(phases[0].at("name"), "announcing");
  EXPECT_NEAR(phases[0].at("end_ms").get<double>(), 600, 400);
}

TEST_P(Announce, IsSkippedBySigquit) {
  start({"--announce", "20s"});
  server().signal(SIGQUIT);
  EXPECT_EQ(server().wait_exit(10s), 0);
  EXPECT_EQ(report().at("phases")[0].at("name"), "draining");
}

}  // namespace
}  // namespace lastcall::e2e
