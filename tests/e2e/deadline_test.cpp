#include <chrono>
#include <set>

#include "tests/e2e/fixture.hpp"

namespace lastcall::e2e {
namespace {

using Clock = std::chrono::steady_clock;

/// Stops that cannot wait for everybody: exit code 2, and the report names who was cut off.
class Deadline : public EndToEnd {
 protected:
  /// From the signal to the exit. Promise 5 is 50 ms late at most on a quiet machine; this one may be busy.
  static inline const Duration kLate = kSanitized ? 3s : 500ms;

  void stop_at_the_deadline(Duration deadline) {
    Clock::time_point began = Clock::now();
    begin_stop();
    EXPECT_EQ(wait_exit(), 2);
    EXPECT_LE(Clock::now() - began, deadline + kLate);
  }

  [[nodiscard]] Json only_aborted() const {
    Json aborted = report().at("aborted");
    EXPECT_EQ(aborted.size(), 1u) << aborted.dump();
    return aborted.empty() ? Json::object() : aborted[0];
  }
};
LASTCALL_ON_BOTH_BACKENDS(Deadline);

TEST_P(Deadline, HandlerThatSleepsGets503) {
  start({"--deadline", "1s"});
  RawClient client = connect();
  client.send(get_request("/sleep?ms=60000"));
  settle();
  std::string peer = client.local_address();
  stop_at_the_deadline(1s);
  HttpAnswer answer = client.read_answer();
  EXPECT_EQ(answer.status, 503);
  EXPECT_EQ(answer.header("Connection"), "close");
  EXPECT_EQ(answer.header("Retry-After"), "1");
  EXPECT_TRUE(answer.complete);
  EXPECT_EQ(client.read_end(), StreamEnd::eof);

  Json aborted = only_aborted();
  EXPECT_EQ(aborted.value("peer", ""), peer);
  EXPECT_EQ(aborted.value("method", ""), "GET");
  EXPECT_EQ(aborted.value("target", ""), "/sleep?ms=60000");
  EXPECT_EQ(aborted.value("state", ""), "handling");
  EXPECT_EQ(aborted.value("why", ""), "deadline");
  EXPECT_EQ(aborted.value("bytes_sent", -1), 0);
  EXPECT_GE(aborted.value("age_ms", -1), 450);
  expect_counted_once(report());
  EXPECT_EQ(total(report(), "aborted"), 1u);
}

TEST_P(Deadline, HandlerThatBlocksAThread) {
  start({"--deadline", "1s"});
  RawClient client = connect();
  client.send(get_request("/block?ms=60000"));
  settle();
  stop_at_the_deadline(1s);
  EXPECT_EQ(client.read_answer().status, 503);
  Json aborted = only_aborted();
  EXPECT_EQ(aborted.value("target", ""), "/block?ms=60000");
  EXPECT_EQ(aborted.value("state", ""), "handling");
  EXPECT_EQ(aborted.value("why", ""), "deadline");
}

TEST_P(Deadline, HandlerThatHogsItsReactor) {
  start({"--deadline", "1s", "--reactors", "1"});
  RawClient client = connect();
  Duration before = server().cpu_time();
  client.send(get_request("/spin?ms=60000"));
  while (server().cpu_time() - before < 30ms) EXPECT_FALSE(client.readable(5ms));
  Clock::time_point began = Clock::now();
  server().signal(SIGTERM);
  EXPECT_EQ(wait_exit(), 2);
  EXPECT_LE(Clock::now() - began, 1s + kLate);
  Json aborted = only_aborted();
  EXPECT_TRUE(aborted.value("target", "").starts_with("/spin")) << aborted;
  EXPECT_EQ(aborted.value("route", ""), "/spin");
  EXPECT_EQ(aborted.value("method", ""), "GET");
  EXPECT_TRUE(aborted.value("peer", "").starts_with("127.0.0.1:")) << aborted;
  EXPECT_GE(aborted.value("age_ms", 0), 900);  // the report of a stuck reactor is begun 80 ms before
  EXPECT_EQ(aborted.value("state", ""), "handling");
  EXPECT_EQ(aborted.value("why", ""), "stuck reactor");
  expect_counted_once(report());
  EXPECT_TRUE(server().wait_for_event("reactor_stuck"));
}

// Whoever waits for a reactor that hangs in a handler is in the report, too: it tells, when it is
// interrupted.
TEST_P(Deadline, AllThatAStuckReactorHoldsIsReported) {
  start({"--deadline", "1s", "--reactors", "1"});
  RawClient idle = connect();
  ASSERT_EQ(idle.ask(get_request("/plaintext")).status, 200);
  RawClient late = connect();
  ASSERT_EQ(late.ask(get_request("/plaintext")).status, 200);
  RawClient sleeper = connect();
  sleeper.send(get_request("/sleep?ms=60000"));
  RawClient half_head = connect();
  half_head.send("GET /plaintext HTT");
  RawClient half_body = connect();
  half_body.send("PUT /anything/x HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nab");
  settle();
  RawClient spinner = connect();
  Duration before = server().cpu_time();
  spinner.send(get_request("/spin?ms=60000") + get_request("/users/1") + get_request("/users/2"));
  while (server().cpu_time() - before < 30ms) EXPECT_FALSE(spinner.readable(5ms));
  late.send(get_request("/plaintext"));
  server().signal(SIGTERM);
  EXPECT_EQ(wait_exit(), 2);
  const Json cut = report();
  std::multiset<std::string> told;
  for (const Json& one : cut.at("aborted")) {
    told.insert(one.value("method", "?") + " " + one.value("target", "?") + " " + one.value("state", "?"));
    EXPECT_EQ(one.value("why", ""), "stuck reactor");
    EXPECT_EQ(one.value("route", ""), "/spin");
    EXPECT_TRUE(one.value("peer", "").starts_with("127.0.0.1:")) << one;
  }
  const std::multiset<std::string> expected = {
      "GET /spin?ms=60000 handling",  "GET /users/1 handling", "GET /users/2 handling", "  head", "  head",
      "GET /sleep?ms=60000 handling", "PUT /anything/x body"};
  EXPECT_EQ(told, expected);
  EXPECT_EQ(total(cut, "aborted"), 5u);  // connections
  EXPECT_EQ(total(cut, "idle_closed"), total(cut, "accepted") - 5u);
}

// Who waits in the queue of its listener is inside, too.
TEST_P(Deadline, WhoQueuesForAStuckReactorIsAnsweredAndCounted) {
  start({"--deadline", "1s", "--reactors", "1"});
  RawClient spinner = connect();
  Duration before = server().cpu_time();
  spinner.send(get_request("/spin?ms=60000"));
  while (server().cpu_time() - before < 30ms) EXPECT_FALSE(spinner.readable(5ms));
  std::vector<RawClient> queued;
  for (int i = 0; i < 5; ++i) {
    queued.push_back(connect());
    queued.back().send(get_request("/plaintext"));
  }
  RawClient silent = connect();
  server().signal(SIGTERM);
  for (RawClient& client : queued) {
    EXPECT_EQ(client.read_answer().status, 503);
    EXPECT_EQ(client.read_end(), StreamEnd::eof);
  }
  EXPECT_EQ(silent.read_end(), StreamEnd::eof);
  EXPECT_EQ(wait_exit(), 2);
  const Json cut = report();
  EXPECT_EQ(cut.at("aborted").size(), 6u);
  EXPECT_EQ(total(cut, "accepted"), 7u);
  EXPECT_EQ(total(cut, "accepted_while_stopping"), 6u);
  EXPECT_EQ(total(cut, "aborted"), 6u);
  EXPECT_EQ(total(cut, "idle_closed"), 1u);
}

TEST_P(Deadline, ThousandsOnAStuckReactorAreStillReported) {
  const size_t kWaiting = kSanitized ? 300 : 3000;
  start({"--deadline", "1s", "--reactors", "1"});
  std::vector<RawClient> waiting;
  for (size_t i = 0; i < kWaiting; ++i) {
    waiting.push_back(connect());
    waiting.back().send(get_request("/sleep?ms=60000"));
  }
  settle();
  RawClient spinner = connect();
  Duration before = server().cpu_time();
  spinner.send(get_request("/spin?ms=60000"));
  while (server().cpu_time() - before < 30ms) EXPECT_FALSE(spinner.readable(5ms));
  server().signal(SIGTERM);
  EXPECT_EQ(wait_exit(), 2);
  EXPECT_EQ(report().at("aborted").size(), kWaiting + 1);
}

TEST_P(Deadline, RequestThatIsAnsweredIsNotCutOff) {
  start({"--deadline", "1s"});
  RawClient client = connect();
  client.send("POST /nowhere HTTP/1.1\r\nHost: test\r\nContent-Length: 100\r\n\r\nhalf");
  EXPECT_EQ(client.read_answer().status, 404);
  server().signal(SIGTERM);
  EXPECT_EQ(wait_exit(), 0);
  EXPECT_EQ(client.read_end(), StreamEnd::eof);
  const Json stopped = report();
  EXPECT_TRUE(stopped.at("aborted").empty());
  EXPECT_EQ(total(stopped, "completed"), total(stopped, "accepted"));
}

TEST_P(Deadline, OneStuckReactorDoesNotHoldTheOthers) {
  start({"--deadline", "1s", "--reactors", "2"});
  RawClient spinner = connect();
  spinner.send(get_request("/spin?ms=60000"));
  std::vector<RawClient> others;
  size_t answered = 0;
  for (int i = 0; i < 16; ++i) {  // some of them land on the reactor that is left
    others.push_back(connect());
    others.back().send(get_request("/sleep?ms=300"));
  }
  server().signal(SIGTERM);
  for (RawClient& other : others) answered += other.read_answer().status == 200;
  EXPECT_GE(answered, 1u);
  EXPECT_EQ(wait_exit(), 2);
}

TEST_P(Deadline, HalfAHeadGets503) {
  start({"--deadline", "600ms"});
  RawClient client = connect();
  client.send("GET /plaintext HTT");
  settle();
  stop_at_the_deadline(600ms);
  HttpAnswer answer = client.read_answer();
  EXPECT_EQ(answer.status, 503);
  EXPECT_TRUE(answer.complete);
  Json aborted = only_aborted();
  EXPECT_EQ(aborted.value("method", "?"), "");
  EXPECT_EQ(aborted.value("state", ""), "head");
  EXPECT_GE(aborted.value("age_ms", -1), 50);
  EXPECT_LT(aborted.value("age_ms", -1), 20'000);
}

TEST_P(Deadline, HalfABodyGets503) {
  start({"--deadline", "600ms"});
  RawClient client = connect();
  client.send("POST /anything HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nhalf");
  settle();
  stop_at_the_deadline(600ms);
  EXPECT_EQ(client.read_answer().status, 503);
  Json aborted = only_aborted();
  EXPECT_EQ(aborted.value("method", ""), "POST");
  EXPECT_EQ(aborted.value("state", ""), "body");
}

// One connection in the counters, and an entry for each of its requests.
TEST_P(Deadline, PipelineBehindAHandlerIsNamed) {
  start({"--deadline", "600ms"});
  RawClient client = connect();
  client.send(get_request("/sleep?ms=60000") + get_request("/plaintext?n=1") +
              post_request("/echo", "hello") +
              "POST /anything HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nhalf");
  settle();
  std::string peer = client.local_address();
  stop_at_the_deadline(600ms);
  EXPECT_EQ(client.read_answer().status, 503);
  EXPECT_EQ(client.read_end(), StreamEnd::eof);
  std::string seen;
  const Json told = report();
  for (const Json& aborted : told.at("aborted")) {
    EXPECT_EQ(aborted.at("peer"), peer);
    EXPECT_EQ(aborted.at("why"), "deadline");
    seen += aborted.value("state", "") + " " + aborted.value("method", "") + " " +
            aborted.value("target", "") + "\n";
  }
  EXPECT_EQ(seen,
            "handling GET /sleep?ms=60000\nhandling GET /plaintext?n=1\nhandling POST /echo\n"
            "body POST /anything\n");
  EXPECT_EQ(total(told, "aborted"), 1u);
  expect_counted_once(told);
}

TEST_P(Deadline, HalfAnAnswerEndsWithoutALastChunk) {
  start({"--deadline", "600ms"});
  RawClient client = connect();
  client.send(get_request("/stream?n=1000&ms=50"));
  ASSERT_TRUE(client.readable(20s));
  stop_at_the_deadline(600ms);
  HttpAnswer answer = client.read_answer();
  EXPECT_EQ(answer.status, 200);
  EXPECT_FALSE(answer.complete);
  EXPECT_FALSE(answer.chunks.empty());
  EXPECT_EQ(client.read_end(), StreamEnd::eof);
  Json aborted = only_aborted();
  EXPECT_EQ(aborted.value("state", ""), "writing");
  EXPECT_GT(aborted.value("bytes_sent", 0), 100);
}

TEST_P(Deadline, ReaderWhoTakesNothingIsReset) {
  start({"--deadline", "600ms"});
  RawClient client = connect({.receive_buffer_bytes = 64 * 1024});
  client.send(get_request("/bytes?n=100000000"));
  ASSERT_TRUE(client.readable(20s));
  stop_at_the_deadline(600ms);
  EXPECT_FALSE(client.read_answer().complete);
  EXPECT_EQ(client.read_end(), StreamEnd::reset);
  Json aborted = only_aborted();
  EXPECT_EQ(aborted.value("state", ""), "writing");
  EXPECT_GT(aborted.value("bytes_sent", 0), 1000);
}

TEST_P(Deadline, IsNotWaitedForWhenNobodyIsLeft) {
  start({"--deadline", "20s"});
  RawClient client = connect();
  client.send(get_request("/sleep?ms=200"));
  settle();
  Clock::time_point began = Clock::now();
  begin_stop();
  EXPECT_EQ(client.read_answer().status, 200);
  client.close();
  EXPECT_EQ(wait_exit(), 0);
  EXPECT_LT(Clock::now() - began, 10s);
}

/// Promise 6: the second signal of one stop only hastens it.
class SecondSignal : public Deadline {};
LASTCALL_ON_BOTH_BACKENDS(SecondSignal);

TEST_P(SecondSignal, CutsOffWhatIsAtWork) {
  start();
  RawClient client = connect();
  client.send(get_request("/sleep?ms=60000"));
  settle();
  begin_stop();
  Clock::time_point began = Clock::now();
  server().signal(SIGTERM);
  EXPECT_EQ(wait_exit(), 2);
  EXPECT_LT(Clock::now() - began, 5s);  // of 25
  EXPECT_EQ(client.read_answer().status, 503);
  EXPECT_EQ(only_aborted().value("why", ""), "second signal");
  EXPECT_EQ(report().at("reason"), "SIGTERM");
}

TEST_P(SecondSignal, MayBeAnotherOne) {
  start();
  RawClient client = connect();
  client.send(get_request("/sleep?ms=60000"));
  settle();
  begin_stop(SIGINT);
  server().signal(SIGTERM);
  EXPECT_EQ(wait_exit(), 2);
  EXPECT_EQ(report().at("reason"), "SIGINT");
}

TEST_P(SecondSignal, IsExitCode0WhenNothingWasAtWork) {
  start({"--idle-grace", "10s"});
  RawClient client = connect();
  ASSERT_EQ(client.ask(get_request("/plaintext")).status, 200);
  begin_stop();
  Clock::time_point began = Clock::now();
  server().signal(SIGTERM);
  EXPECT_EQ(wait_exit(), 0);
  EXPECT_LT(Clock::now() - began, 5s);
  EXPECT_EQ(client.read_end(), StreamEnd::eof);
}

// The pool's thread cannot be interrupted; the process does not wait for it all the same.
TEST_P(SecondSignal, EndsABlockingHandlerToo) {
  start();
  RawClient client = connect();
  client.send(get_request("/block?ms=60000"));
  settle();
  begin_stop();
  Clock::time_point began = Clock::now();
  server().signal(SIGTERM);
  EXPECT_EQ(wait_exit(), 2);
  EXPECT_LT(Clock::now() - began, 5s);
  EXPECT_EQ(client.read_answer().status, 503);
  EXPECT_EQ(report().at("exit_code"), 2);
  EXPECT_EQ(report().at("background").at("abandoned"), 1);
}

TEST_P(SecondSignal, EndsAStuckReactorToo) {
  start();
  RawClient client = connect();
  Duration before = server().cpu_time();
  client.send(get_request("/spin?ms=60000"));
  while (server().cpu_time() - before < 30ms) EXPECT_FALSE(client.readable(5ms));
  begin_stop();
  Clock::time_point began = Clock::now();
  server().signal(SIGTERM);
  EXPECT_EQ(wait_exit(), 2);
  EXPECT_LT(Clock::now() - began, 5s);
}

}  // namespace
}  // namespace lastcall::e2e
