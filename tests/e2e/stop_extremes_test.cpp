#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <thread>

#include "tests/e2e/fixture.hpp"
#include "tests/support/real_peer.hpp"

namespace lastcall::e2e {
namespace {

using Clock = std::chrono::steady_clock;

/// Stops under circumstances that a process does not choose.
class StopExtremes : public EndToEnd {
 protected:
  std::vector<RawClient> idle_connections(size_t count) {
    constexpr size_t kAtOnce = 500;  // no more than the listener's queue holds
    std::vector<RawClient> clients;
    while (clients.size() < count) {
      size_t first = clients.size();
      while (clients.size() < std::min(first + kAtOnce, count)) {
        clients.push_back(connect());
        clients.back().send(get_request("/plaintext"));
      }
      for (; first < clients.size(); ++first) EXPECT_EQ(clients[first].read_answer().status, 200);
    }
    return clients;
  }
  void freeze() {
    server().signal(SIGSTOP);
    while (!server().is_stopped()) std::this_thread::yield();
  }
  void thaw() { server().signal(SIGCONT); }
  /// With or without `Connection: close`, as the request may have been seen before the stop.
  static void expect_answer_and_end(RawClient& client) {
    EXPECT_EQ(client.read_answer().body, "Hello, World!");
    EXPECT_EQ(client.read_end(), StreamEnd::eof);
  }
  static void expect_last_answer(RawClient& client, const std::string& body) {
    HttpAnswer answer = client.read_answer();
    EXPECT_EQ(answer.body, body);
    EXPECT_EQ(answer.header("Connection"), "close");
    EXPECT_EQ(client.read_end(), StreamEnd::eof);
  }
};

/// The whole process is held by SIGSTOP while the clock goes on: by a debugger, a cgroup freezer, or a host
/// that pauses its machines.
class Frozen : public StopExtremes {};
LASTCALL_ON_BOTH_BACKENDS(Frozen);

TEST_P(Frozen, OverTheEndOfTheIdleGraceLosesNobody) {
  start({"--idle-grace", "200ms", "--reactors", "2"});
  std::vector<RawClient> clients = idle_connections(20);
  RawClient silent = connect();
  begin_stop();
  freeze();
  for (RawClient& client : clients) client.send(get_request("/plaintext"));
  silent.send("GET /users/7 HTTP/1.1\r\nHo");
  std::this_thread::sleep_for(300ms);  // and the grace is over
  thaw();
  for (RawClient& client : clients) expect_last_answer(client, "Hello, World!");
  silent.send("st: test\r\n\r\n");
  expect_last_answer(silent, R"({"id":"7"})");
  EXPECT_EQ(wait_exit(), 0);
  EXPECT_EQ(report().at("late_requests"), 0);
}

TEST_P(Frozen, BeforeItIsAskedToStopServesWhoQueued) {
  start({"--idle-grace", "100ms"});
  std::vector<RawClient> clients = idle_connections(5);
  freeze();
  for (int i = 0; i < 20; ++i) clients.push_back(connect());  // their handshakes are the kernel's
  for (RawClient& client : clients) client.send(get_request("/plaintext"));
  server().signal(SIGTERM);
  thaw();
  for (RawClient& client : clients) expect_answer_and_end(client);
  EXPECT_EQ(wait_exit(), 0);
  EXPECT_EQ(total(report(), "accepted"), 25u);
}

TEST_P(Frozen, InTheMiddleOfAnAnswerFinishesIt) {
  start();
  RawClient client = connect();
  client.send(get_request("/stream?n=10&ms=20"));
  ASSERT_TRUE(client.readable(20s));
  begin_stop();
  freeze();
  std::this_thread::sleep_for(300ms);
  thaw();
  HttpAnswer answer = client.read_answer();
  EXPECT_TRUE(answer.complete);
  EXPECT_EQ(answer.chunks.size(), 10u);
  EXPECT_EQ(client.read_end(), StreamEnd::eof);
  EXPECT_EQ(wait_exit(), 0);
}

// A timeout would stand still while the process is held: after SIGCONT the kernel goes on with what was left
// of it.
TEST_P(Frozen, IntoTheForcingStillAnswersAndReports) {
  start({"--deadline", "1200ms"});  // forcing begins at 700 ms
  RawClient client = connect();
  client.send(get_request("/sleep?ms=60000"));
  settle();
  Clock::time_point began = Clock::now();
  begin_stop_for_good();
  std::this_thread::sleep_for(20ms);  // and the runner sleeps, too
  freeze();
  std::this_thread::sleep_until(began + 800ms);
  thaw();
  EXPECT_EQ(client.read_answer().status, 503);
  client.close();
  EXPECT_EQ(wait_exit(), 2);
  EXPECT_LT(Clock::now() - began, kSanitized ? 3s : 1300ms);
  EXPECT_EQ(report().at("aborted").at(0).at("why"), "deadline");
  expect_counted_once(report());
}

TEST_P(Frozen, BeyondTheDeadlineLeavesAtOnce) {
  start({"--deadline", "500ms"});
  RawClient client = connect();
  client.send(get_request("/sleep?ms=60000"));
  settle();
  begin_stop();
  freeze();
  std::this_thread::sleep_for(700ms);
  Clock::time_point thawed = Clock::now();
  thaw();
  EXPECT_EQ(wait_exit(), 2);
  EXPECT_LT(Clock::now() - thawed, kSanitized ? 3s : 500ms);
  EXPECT_EQ(report().at("exit_code"), 2);
  EXPECT_GE(report().at("aborted").size(), 1u);
}

/// As many as a machine has in an evening.
class Crowd : public StopExtremes {
 protected:
  /// Reads the end of the stream and closes, with as little work as can be: who measures is in the way.
  static bool leave(RawClient& client) {
    char byte;
    bool in_order = TEMP_FAILURE_RETRY(::recv(client.fd(), &byte, 1, 0)) == 0;
    client.close();
    return in_order;
  }
};
LASTCALL_ON_BOTH_BACKENDS(Crowd);

// In the grace and not much longer, and without a reset.
TEST_P(Crowd, OfTenThousandLeavesInTheGrace) {
  const size_t kConnections = kSanitized ? 1000 : 10'000;
  constexpr Duration kGrace = 1s;
  // 300 ms on a quiet machine, of which half is the test's own side of ten thousand closes. This one may be
  // busy.
  const Duration kLate = kSanitized ? 8s : 800ms;
  if (!allow_descriptors(kConnections + 200)) GTEST_SKIP() << "not enough descriptors";
  start({"--reactors", "2", "--idle-grace", "1s", "--max-connections", "12000"});
  std::vector<RawClient> clients = idle_connections(kConnections);
  Clock::time_point asked = Clock::now();
  server().signal(SIGTERM);
  size_t ended = 0;
  for (RawClient& client : clients) ended += leave(client);
  EXPECT_EQ(wait_exit(), 0);
  Duration took = Clock::now() - asked;
  EXPECT_LE(took, kGrace + kLate) << to_ms(took) << " ms";
  EXPECT_EQ(ended, kConnections);
  EXPECT_EQ(total(report(), "idle_closed"), kConnections);
  EXPECT_EQ(report().at("late_requests"), 0);
}

// More at once than io_uring has receive buffers (512), than its completion queue holds where the kernel
// fills it in one go (4096, before Linux 6.13; FullQueue has a small one), and many batches of epoll (256).
TEST_P(Crowd, ThatAsksAtOnceIsAnswered) {
  const size_t kConnections = kSanitized ? 1000 : 6000;
  if (!allow_descriptors(kConnections + 200)) GTEST_SKIP() << "not enough descriptors";
  start({"--max-connections", "12000"});
  std::vector<RawClient> clients = idle_connections(kConnections);
  freeze();
  for (RawClient& client : clients) client.send(get_request("/users/1") + get_request("/users/2"));
  server().signal(SIGTERM);
  thaw();
  size_t answered = 0;
  for (RawClient& client : clients) {
    answered += client.read_answer().body == R"({"id":"1"})" &&
                client.read_answer().body == R"({"id":"2"})" && leave(client);
  }
  EXPECT_EQ(answered, kConnections);
  EXPECT_EQ(wait_exit(), 0);
  EXPECT_EQ(report().at("late_requests"), 0);
}

// Coroutines on the timers of one reactor: no thread waits for them, and the stop answers them all.
TEST_P(Crowd, SleepsOnOneReactor) {
  const size_t kConnections = kSanitized ? 1000 : 10'000;
  if (!allow_descriptors(kConnections + 200)) GTEST_SKIP() << "not enough descriptors";
  // Of so many requests in one go loopback may drop one, which comes again when the stop has begun.
  start({"--reactors", "1", "--max-connections", "12000", "--idle-grace", "1s"});
  std::vector<RawClient> clients = idle_connections(kConnections);
  for (RawClient& client : clients) client.send(get_request("/sleep?ms=3000"));
  settle();
  const std::string threads = "/proc/" + std::to_string(server().pid()) + "/task";
  const auto count = std::distance(std::filesystem::directory_iterator(threads), {});
  EXPECT_LE(count, 4) << "the main thread, the reactor, and what the kernel or a sanitizer adds";
  begin_stop();
  size_t answered = 0;
  for (RawClient& client : clients) {
    HttpAnswer answer = client.read_answer();
    answered += answer.body == "slept 3000 ms\n" && answer.header("Connection") == "close" && leave(client);
  }
  EXPECT_EQ(answered, kConnections);
  EXPECT_EQ(wait_exit(), 0);
}

/// Who begins a request and does not go on is not waited for longer than without a stop.
class Stalled : public StopExtremes {
 protected:
  void expect_408_and_clean_exit(const std::string& begun) {
    RawClient client = connect();
    client.send(begun);
    settle();
    begin_stop();
    HttpAnswer answer = client.read_answer();
    EXPECT_EQ(answer.status, 408);
    EXPECT_EQ(answer.header("Connection"), "close");
    EXPECT_EQ(client.read_end(), StreamEnd::eof);
    EXPECT_EQ(wait_exit(), 0);
    EXPECT_EQ(total(report(), "idle_closed") + total(report(), "aborted"), 0u);
  }
};
LASTCALL_ON_BOTH_BACKENDS(Stalled);

TEST_P(Stalled, HeadGets408) {
  start({"--header-timeout", "400ms"});
  expect_408_and_clean_exit("GET /plaintext HTTP/1.1\r\nHo");
}

TEST_P(Stalled, BodyGets408) {
  start({"--body-timeout", "400ms"});
  expect_408_and_clean_exit("POST /upload HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nhalf");
}

TEST_P(Stalled, ReaderIsCutOff) {
  start({"--write-timeout", "300ms"});
  RawClient client = connect({.receive_buffer_bytes = 64 * 1024});
  client.send(get_request("/bytes?n=10000000"));
  ASSERT_TRUE(client.readable(20s));
  begin_stop();
  ASSERT_TRUE(server().wait_exit());
  EXPECT_EQ(total(report(), "aborted"), 1u);
  expect_counted_once(report());
  EXPECT_FALSE(client.read_answer().complete);
  EXPECT_EQ(client.read_end(), StreamEnd::reset);
}

TEST_P(Stalled, ClientThatVanishesIsNotWaitedFor) {
  start();
  RawClient client = connect();
  client.send(get_request("/sleep?ms=60000"));
  settle();
  begin_stop();
  Clock::time_point began = Clock::now();
  client.reset();
  EXPECT_EQ(wait_exit(), 0);
  EXPECT_LT(Clock::now() - began, 10s);
}

}  // namespace
}  // namespace lastcall::e2e
