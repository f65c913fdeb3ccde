// What Go's net/http tests of its Shutdown, told of our Server in this process. The table in tests/README.md
// says which test of ours answers which of theirs.

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/stat.h>

#include <atomic>
#include <chrono>
#include <latch>
#include <stdexcept>
#include <thread>

#include <lastcall/http/server.hpp>
#include <lastcall/http/task.hpp>

#include "tests/e2e/fixture.hpp"
#include "tests/support/real_peer.hpp"

namespace lastcall::e2e {
namespace {

using Clock = std::chrono::steady_clock;

/// A Server with routes of the test's own, run by a thread of the test, on a listener that it inherits.
class GoShutdown : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (GetParam() == std::string("io_uring")) {
      if (Result<void> probed = probe_uring(); !probed) GTEST_SKIP() << probed.error().message;
    }
    Fd listener = listen_tcp();
    sockaddr_in bound{};
    socklen_t size = sizeof bound;
    ASSERT_EQ(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&bound), &size), 0);
    address_ = "127.0.0.1:" + std::to_string(ntohs(bound.sin_port));
    // run() takes it over
    server_ = std::make_unique<Server>(options_of({"fd:" + std::to_string(listener.release())}));
    server_->get("/plaintext", [](const Request&, Response& response) { response.text("Hello, World!"); });
    server_->get("/wait", [this](Request&, Response& response) { return wait_for_release(response); });
  }

  void TearDown() override {
    release();
    if (thread_.joinable()) {
      server_->stop();
      thread_.join();
    }
    ::unlink(report_path_.c_str());
  }

  [[nodiscard]] ServerOptions options_of(std::vector<std::string> listen) const {
    ServerOptions options;
    options.listen = std::move(listen);
    options.io = GetParam() == std::string("io_uring") ? IoChoice::io_uring : IoChoice::epoll;
    options.reactors = 1;
    options.stop = {.idle_grace = 20ms, .deadline = 20s};
    options.report = report_path_;
    return options;
  }

  Server& server() { return *server_; }
  [[nodiscard]] const std::string& address() const { return address_; }

  void run() {
    thread_ = std::jthread([this] { code_ = server_->run(); });
  }
  int wait_end() {
    if (thread_.joinable()) thread_.join();
    return code_;
  }

  [[nodiscard]] RawClient connect() {
    RawClient client(address_);
    EXPECT_TRUE(client.connected());
    return client;
  }
  /// A request whose handler is inside until release().
  [[nodiscard]] RawClient connect_and_wait() {
    RawClient client = connect();
    client.send(get_request("/wait"));
    while (!inside_) std::this_thread::yield();
    return client;
  }
  void release() { released_ = true; }
  void wait_until_refused() const {
    while (RawClient(address_).connected()) {
    }
  }

  [[nodiscard]] Json report() const {
    std::ifstream file(report_path_);
    return Json::parse(file, nullptr, false);
  }
  static void expect_last_answer(RawClient& client, const std::string& body) {
    HttpAnswer answer = client.read_answer();
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.body, body);
    EXPECT_EQ(answer.header("Connection"), "close");
    EXPECT_EQ(client.read_end(), StreamEnd::eof);
  }

 private:
  Task<> wait_for_release(Response& response) {
    inside_ = true;
    while (!released_) co_await sleep_for(1ms);
    response.text("released");
  }

  const std::string report_path_ =
      testing::TempDir() + "lastcall-go-report-" + std::to_string(::getpid()) + ".json";
  std::unique_ptr<Server> server_;
  std::string address_;
  std::atomic<bool> inside_ = false;
  std::atomic<bool> released_ = false;
  std::atomic<int> code_ = -1;
  std::jthread thread_;
};
LASTCALL_ON_BOTH_BACKENDS(GoShutdown);

// TestServerShutdown. The answer is on its way before the reactor hears of the stop: its connection is idle
// then.
TEST_P(GoShutdown, InsideAHandler) {
  std::atomic<int> served = 0;
  server().get("/stop", [&](const Request&, Response& response) {
    ++served;
    this->server().stop();
    response.text("stopping");
  });
  run();
  RawClient idle = connect();
  EXPECT_EQ(idle.ask(get_request("/plaintext")).status, 200);
  RawClient client = connect();
  EXPECT_EQ(client.ask(get_request("/stop")).body, "stopping");
  EXPECT_EQ(client.read_end(), StreamEnd::eof);
  EXPECT_EQ(idle.read_end(), StreamEnd::eof);
  EXPECT_EQ(wait_end(), 0);
  EXPECT_FALSE(RawClient(address()).connected());
  EXPECT_EQ(served, 1);
  EXPECT_EQ(report().at("reactors").at(0).at("accepted"), 2);
}

// TestServerShutdown: exactly one is active, and it is waited for
TEST_P(GoShutdown, WaitsForTheOneThatIsActive) {
  run();
  RawClient client = connect_and_wait();
  server().stop();
  wait_until_refused();
  EXPECT_FALSE(client.readable(50ms));
  release();
  expect_last_answer(client, "released");
  EXPECT_EQ(wait_end(), 0);
}

// TestServerShutdownStateNew
TEST_P(GoShutdown, EndsAConnectionThatNeverSpoke) {
  run();
  RawClient silent = connect();
  RawClient other = connect();
  EXPECT_EQ(other.ask(get_request("/plaintext")).status, 200);  // so the silent one has been accepted, too
  server().stop();
  EXPECT_EQ(silent.read_end(), StreamEnd::eof);
  EXPECT_EQ(other.read_end(), StreamEnd::eof);
  EXPECT_EQ(wait_end(), 0);
  EXPECT_EQ(report().at("reactors").at(0).at("idle_closed"), 2);
}

// TestServerShutdownThenServe. Here the second run() could open its listener again.
TEST_P(GoShutdown, RunAfterTheStopIsAnError) {
  Server again(options_of({"127.0.0.1:0"}));
  again.stop();
  EXPECT_EQ(again.run(), 0);
  again.stop();
  EXPECT_EQ(again.run(), 1);
}

TEST_P(GoShutdown, RunAfterAnEarlyStopEndsAtOnce) {
  server().stop();
  run();
  EXPECT_EQ(wait_end(), 0);
  EXPECT_FALSE(RawClient(address()).connected());
  EXPECT_EQ(server().run(), 1);
}

// TestServerCloseListenerOnce: a second close(2) would hit whoever has the number by then
TEST_P(GoShutdown, ClosesItsListenerOnce) {
  size_t before = count_descriptors() - 1;  // without the listener
  run();
  RawClient client = connect_and_wait();
  server().stop();
  wait_until_refused();
  std::vector<Fd> strangers;
  for (int i = 0; i < 32; ++i) strangers.emplace_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  release();
  expect_last_answer(client, "released");
  EXPECT_EQ(wait_end(), 0);
  for (const Fd& stranger : strangers) EXPECT_GE(::fcntl(stranger.get(), F_GETFD), 0);
  strangers.clear();
  client.close();
  EXPECT_EQ(count_descriptors(), before);
}

// TestServerCloseDeadlock
TEST_P(GoShutdown, TwiceAndAfterTheEndIsOneStop) {
  server().get("/stop", [&](const Request&, Response& response) {
    this->server().stop();
    this->server().stop();
    response.text("stopping");
  });
  run();
  RawClient client = connect();
  EXPECT_EQ(client.ask(get_request("/stop")).body, "stopping");
  server().stop();
  EXPECT_EQ(client.read_end(), StreamEnd::eof);
  EXPECT_EQ(wait_end(), 0);
  server().stop();
  server().stop();
}

// TestConcurrentServerServe
TEST_P(GoShutdown, OfTwoRunsAtOnceOneServes) {
  Server shared(options_of({"127.0.0.1:0"}));
  shared.stop();
  std::latch both(2);
  int codes[2] = {-1, -1};
  {
    std::vector<std::jthread> runs;
    for (int& code : codes) {
      runs.emplace_back([&] {
        both.arrive_and_wait();
        code = shared.run();
      });
    }
  }
  EXPECT_EQ(codes[0] + codes[1], 1) << "one ran to its end, and one was told";
}

// Not tested by Go: Shutdown at the moment of Serve
TEST_P(GoShutdown, RacingTheStart) {
  std::latch both(2);
  std::jthread stopper([&] {
    both.arrive_and_wait();
    server().stop();
  });
  both.arrive_and_wait();
  run();
  EXPECT_EQ(wait_end(), 0);
}

// Not tested by Go: Shutdown from several goroutines
TEST_P(GoShutdown, FromManyThreadsIsOneStop) {
  run();
  RawClient client = connect_and_wait();
  {
    std::latch all(8);
    std::vector<std::jthread> threads;
    for (int i = 0; i < 8; ++i) {
      threads.emplace_back([&, i] {
        all.arrive_and_wait();
        for (int k = 0; k < 20; ++k) server().stop({.idle_grace = 20ms, .deadline = 10s + 1s * i}, "many");
      });
    }
  }
  wait_until_refused();
  release();
  expect_last_answer(client, "released");
  EXPECT_EQ(wait_end(), 0);
  EXPECT_EQ(report().at("reason"), "many");
  EXPECT_EQ(report().at("phases").size(), 2u);
}

// Not tested by Go: the deadline, here of the most impatient of them
TEST_P(GoShutdown, ALaterOneMayOnlyShortenIt) {
  run();
  RawClient client = connect_and_wait();
  Clock::time_point began = Clock::now();
  server().stop({.idle_grace = 20ms, .deadline = 20s}, "patient");
  wait_until_refused();
  server().stop({.idle_grace = 20ms, .deadline = 600ms}, "impatient");
  server().stop({.idle_grace = 20ms, .deadline = 19s}, "patient again");
  EXPECT_EQ(client.read_answer().status, 503);
  client.close();
  EXPECT_EQ(wait_end(), 2);
  EXPECT_LT(Clock::now() - began, kSanitized ? 5s : 1s);
  EXPECT_EQ(report().at("reason"), "patient");
  EXPECT_EQ(report().at("aborted").at(0).at("target"), "/wait");
}

TEST_P(GoShutdown, ALaterOneMayShortenItBeforeTheStart) {
  RawClient client = connect();
  client.send(get_request("/wait"));
  Clock::time_point began = Clock::now();
  server().stop({.idle_grace = 20ms, .deadline = 8s}, "patient");
  server().stop({.idle_grace = 20ms, .deadline = 600ms}, "impatient");
  run();
  EXPECT_EQ(client.read_answer().status, 503);
  client.close();
  EXPECT_EQ(wait_end(), 2);
  EXPECT_LT(Clock::now() - began, 5s);
  EXPECT_EQ(report().at("reason"), "patient");
}

// Answers that their client does not take: written, and cut off all the same.
TEST_P(GoShutdown, AnswersThatAreNotTakenAreInTheReport) {
  server().get("/big/{name}", [](const Request&, Response& response) {
    response.text(std::string(20'000'000, 'x'));  // more than any kernel takes
  });
  run();
  RawClient client = connect();
  client.send(get_request("/big/one") + get_request("/big/two") + get_request("/plaintext"));
  ASSERT_TRUE(client.readable(20s));
  server().stop({.announce = 0s, .idle_grace = 20ms, .deadline = 600ms});
  EXPECT_EQ(wait_end(), 2);
  std::string seen;
  const Json told = report();
  for (const Json& aborted : told.at("aborted"))
    seen += aborted.value("state", "") + " " + aborted.value("target", "") + "\n";
  EXPECT_EQ(seen, "writing /big/one\nwriting /big/two\nhandling /plaintext\n");
  EXPECT_EQ(told.at("reactors").at(0).at("aborted"), 1);
}

// TestHandlerPanic
TEST_P(GoShutdown, HandlerThatThrowsDuringItIsAnswered) {
  std::atomic<bool> inside = false;
  std::atomic<bool> may_throw = false;
  server().get("/throw", [&](Request&, Response&) -> Task<> {
    inside = true;
    while (!may_throw) co_await sleep_for(1ms);
    throw std::runtime_error("thrown on purpose");
  });
  run();
  RawClient client = connect();
  client.send(get_request("/throw"));
  while (!inside) std::this_thread::yield();
  server().stop();
  wait_until_refused();
  may_throw = true;
  HttpAnswer answer = client.read_answer();
  EXPECT_EQ(answer.status, 500);
  EXPECT_EQ(answer.header("Connection"), "close");
  EXPECT_EQ(client.read_end(), StreamEnd::eof);
  EXPECT_EQ(wait_end(), 0);
}

// TestHandlerPanic: with a part of the answer out it ends this connection, and no other
TEST_P(GoShutdown, HandlerThatThrowsInItsAnswerEndsOneConnection) {
  server().get("/half", [](Request&, Response& response) -> Task<> {
    static_cast<void>(co_await response.write("half"));
    throw std::runtime_error("thrown on purpose");
  });
  run();
  RawClient waiting = connect_and_wait();
  RawClient client = connect();
  client.send(get_request("/plaintext") + get_request("/half") + get_request("/plaintext"));
  EXPECT_EQ(client.read_answer().body, "Hello, World!");  // was whole before
  HttpAnswer half = client.read_answer();
  EXPECT_EQ(half.chunks, std::vector<size_t>{4});
  EXPECT_FALSE(half.complete);
  EXPECT_EQ(client.read_end(), StreamEnd::eof);
  RawClient old = connect();
  old.send("GET /half HTTP/1.0\r\n\r\n");
  EXPECT_EQ(old.read_end(), StreamEnd::reset);  // nothing else would tell
  server().stop();
  wait_until_refused();
  release();
  expect_last_answer(waiting, "released");
  EXPECT_EQ(wait_end(), 0);
  EXPECT_EQ(report().at("reactors").at(0).at("aborted"), 2);
}

// Not tested by Go: a slow reader. Here the whole answer is in memory already when the stop begins.
TEST_P(GoShutdown, WaitsForTheReaderOfALargeAnswer) {
  constexpr size_t kBytes = 10'000'000;
  server().get("/large", [](const Request&, Response& response) { response.text(std::string(kBytes, 'x')); });
  run();
  RawClient client(address(), {.receive_buffer_bytes = 64 * 1024});
  client.send(get_request("/large"));
  ASSERT_TRUE(client.readable(20s));
  server().stop();
  wait_until_refused();
  HttpAnswer answer = client.read_answer();
  EXPECT_TRUE(answer.complete);
  EXPECT_EQ(answer.body.size(), kBytes);
  EXPECT_EQ(client.read_end(), StreamEnd::eof);
  EXPECT_EQ(wait_end(), 0);
}

TEST_P(GoShutdown, ReportsTheReaderOfALargeAnswerAtTheDeadline) {
  constexpr size_t kBytes = 10'000'000;
  server().get("/large", [](const Request&, Response& response) { response.text(std::string(kBytes, 'x')); });
  run();
  RawClient client(address(), {.receive_buffer_bytes = 64 * 1024});
  client.send(get_request("/large"));
  ASSERT_TRUE(client.readable(20s));
  server().stop({.idle_grace = 20ms, .deadline = 600ms}, "stop");
  EXPECT_EQ(wait_end(), 2);
  EXPECT_FALSE(client.read_answer().complete);
  EXPECT_EQ(client.read_end(), StreamEnd::reset);
  Json aborted = report().at("aborted");
  ASSERT_EQ(aborted.size(), 1u);
  EXPECT_EQ(aborted.at(0).at("state"), "writing");
  EXPECT_EQ(aborted.at(0).at("why"), "deadline");
}

/// What Go tests of timers and of closes, on the real process.
class GoTimers : public EndToEnd {
 protected:
  struct Outcomes {
    size_t answered = 0;
    size_t ended = 0;  ///< in order, without a byte
    size_t broken = 0;
  };

  /// Clients that were idle send one more request each, spread around the moment in which they are closed.
  /// They do look whether they still may, as clients do; between the look and the request is the race.
  Outcomes race(std::vector<RawClient>& clients, Clock::time_point from, Duration spread) {
    Outcomes outcomes;
    for (size_t i = 0; i < clients.size(); ++i) {
      std::this_thread::sleep_until(from + spread * i / clients.size());
      RawClient& client = clients[i];
      HttpAnswer answer = client.ask(get_request("/plaintext"));
      if (answer.status == 200 && answer.complete) {
        ++outcomes.answered;
      } else if (answer.status == 0 && client.read_end() == StreamEnd::eof) {
        ++outcomes.ended;
      } else {
        ++outcomes.broken;
      }
      client.close();
    }
    return outcomes;
  }

  std::vector<RawClient> idle_connections(size_t count) {
    std::vector<RawClient> clients;
    for (size_t i = 0; i < count; ++i) {
      clients.push_back(connect());
      EXPECT_EQ(clients.back().ask(get_request("/plaintext")).status, 200);
    }
    return clients;
  }
};
LASTCALL_ON_BOTH_BACKENDS(GoTimers);

// TestServerIdleTimeout, TestServerCancelsReadTimeoutWhenIdle, TestServerCancelsReadHeaderTimeoutWhenIdle:
// none of the timers is another's.
TEST_P(GoTimers, NoTimerRunsWhileAnotherShould) {
  start({"--idle-timeout", "150ms", "--header-timeout", "150ms", "--body-timeout", "150ms"});
  RawClient client = connect();
  EXPECT_EQ(client.ask(get_request("/sleep?ms=400")).status,
            200);                                // neither idle nor in a head nor in a body
  EXPECT_EQ(client.read_end(), StreamEnd::eof);  // and now it is idle
  start({"--idle-timeout", "20s", "--header-timeout", "150ms", "--body-timeout", "150ms"});
  client = connect();
  EXPECT_EQ(client.ask(post_request("/echo", "body")).status, 200);
  EXPECT_FALSE(client.wait_hang_up(400ms));  // idle, not in a head and not in a body
  EXPECT_EQ(client.ask(get_request("/plaintext")).status, 200);
}

// Not tested by Go: a request that races the close of its idle connection in a stop. It is answered, or the
// connection ends in order and the request is counted: nobody gets a reset, or a part of an answer.
TEST_P(GoTimers, RequestRacingTheIdleCloseOfAStop) {
  start({"--idle-grace", "150ms"});
  std::vector<RawClient> clients = idle_connections(60);
  begin_stop();
  Outcomes outcomes = race(clients, Clock::now() + 100ms, 150ms);
  EXPECT_EQ(wait_exit(), 0);
  EXPECT_EQ(outcomes.broken, 0u);
  EXPECT_EQ(outcomes.answered + outcomes.ended, 60u);
  EXPECT_GT(outcomes.answered, 0u);
  EXPECT_EQ(report().at("late_requests"), outcomes.ended);
  EXPECT_EQ(total(report(), "completed"), outcomes.answered);
}

// And in ordinary service.
TEST_P(GoTimers, RequestRacingTheIdleTimeout) {
  start({"--idle-timeout", "150ms"});
  std::vector<RawClient> clients = idle_connections(60);
  Outcomes outcomes = race(clients, Clock::now() + 75ms, 150ms);
  EXPECT_EQ(stop(), 0);
  EXPECT_EQ(outcomes.broken, 0u);
  EXPECT_EQ(outcomes.answered + outcomes.ended, 60u);
  EXPECT_EQ(report().at("late_requests"), outcomes.ended);
}

}  // namespace
}  // namespace lastcall::e2e
