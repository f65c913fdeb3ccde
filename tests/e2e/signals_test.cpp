#include <chrono>

#include "tests/e2e/fixture.hpp"

namespace lastcall::e2e {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kStopSignals[] = {SIGTERM, SIGINT, SIGQUIT};

std::string name_of(int number) {
  return "SIG" + std::string(::sigabbrev_np(number));
}

/// The first signal stops, the second forces, the third leaves: whichever they are, and whenever they come.
class SignalOrder : public EndToEnd {
 protected:
  RawClient client_at_work(const std::string& target) {
    RawClient client = connect();
    client.send(get_request(target));
    settle();
    return client;
  }
  /// Its reactor cannot take part in the stop.
  RawClient client_that_hogs() {
    RawClient client = connect();
    Duration before = server().cpu_time();
    client.send(get_request("/spin?ms=60000"));
    while (server().cpu_time() - before < 30ms) EXPECT_FALSE(client.readable(5ms));
    return client;
  }
};
LASTCALL_ON_BOTH_BACKENDS(SignalOrder);

TEST_P(SignalOrder, AnyTwoForce) {
  for (int first : kStopSignals) {
    for (int second : kStopSignals) {
      SCOPED_TRACE(name_of(first) + ", " + name_of(second));
      start();
      RawClient client = client_at_work("/sleep?ms=60000");
      begin_stop(first);
      server().signal(second);
      EXPECT_EQ(client.read_answer().status, 503);
      client.close();
      EXPECT_EQ(wait_exit(), 2);
      EXPECT_EQ(report().at("reason"), name_of(first));
      EXPECT_EQ(report().at("aborted").at(0).at("why"), "second signal");
      expect_counted_once(report());
    }
  }
}

TEST_P(SignalOrder, AnyThirdLeavesWithoutAWord) {
  for (int third : kStopSignals) {
    SCOPED_TRACE(name_of(third));
    start();
    RawClient client = client_that_hogs();
    begin_stop(SIGTERM);
    server().signal(SIGINT);
    ASSERT_TRUE(server().wait_for_event("forcing"));
    Clock::time_point began = Clock::now();
    server().signal(third);
    EXPECT_EQ(wait_exit(), 2);
    EXPECT_LT(Clock::now() - began, kSanitized ? 3s : 400ms);  // the second alone would take 500
    EXPECT_EQ(server().wait_for_event("stopped", 0s), std::nullopt);
    EXPECT_NE(::access(report_path().c_str(), F_OK), 0);
    EXPECT_EQ(client.read_answer().status, 0);
  }
}

TEST_P(SignalOrder, SecondDuringTheAnnounceEndsItToo) {
  for (int second : kStopSignals) {
    SCOPED_TRACE(name_of(second));
    start({"--announce", "20s"});
    RawClient client = connect();
    EXPECT_EQ(client.ask(get_request("/plaintext")).status, 200);
    server().signal(SIGTERM);
    ASSERT_TRUE(server().wait_for_event("announcing"));
    server().signal(second);
    EXPECT_EQ(client.read_end(), StreamEnd::eof);
    EXPECT_EQ(server().wait_exit(10s), 0);
    expect_counted_once(report());
    EXPECT_EQ(report().at("gate").at("listeners").size(), 1u) << "newcomers are led aside all the same";
  }
}

TEST_P(SignalOrder, ManyAtOnceAreOneStop) {
  start();
  RawClient client = connect();
  EXPECT_EQ(client.ask(get_request("/plaintext")).status, 200);
  for (int number : {SIGHUP, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGHUP}) server().signal(number);
  EXPECT_EQ(client.read_end(), StreamEnd::eof);
  EXPECT_EQ(wait_exit(), 0);
  EXPECT_EQ(report().at("reason"), "SIGTERM");
}

TEST_P(SignalOrder, OthersDuringTheStopChangeNothing) {
  start();
  RawClient client = client_at_work("/sleep?ms=200");
  begin_stop();
  for (int number : {SIGHUP, SIGUSR1, SIGUSR2, SIGPIPE}) server().signal(number);
  EXPECT_EQ(client.read_answer().body, "slept 200 ms\n");
  client.close();
  EXPECT_EQ(wait_exit(), 0);
}

// No moment is too early once it says that it listens.
TEST_P(SignalOrder, FirstAsSoonAsItListens) {
  for (int number : kStopSignals) {
    ServerProcess process(lastcall_binary(),
                          {"demo", "--listen", "127.0.0.1:0", "--io", GetParam(), "--reactors", "2"});
    ASSERT_TRUE(process.wait_for_event("listening")) << process.log();
    process.signal(number);
    EXPECT_EQ(process.wait_exit(), 0) << process.log();
  }
}

}  // namespace
}  // namespace lastcall::e2e
