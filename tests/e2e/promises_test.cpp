#include <atomic>
#include <thread>

#include "tests/e2e/fixture.hpp"

namespace lastcall::e2e {
namespace {

/// The promises of a stop about connections that are between two states when it begins. The fourth is held by
/// UnreadBodies, the fifth by Deadline, the sixth by SecondSignal, and the seventh by every test that stops
/// its server.
class Promises : public EndToEnd {
 protected:
  void wait_until_spinning() {
    Duration before = server().cpu_time();
    while (server().cpu_time() - before < 50ms) std::this_thread::sleep_for(1ms);
  }
};
LASTCALL_ON_BOTH_BACKENDS(Promises);

// A handshake is finished by the kernel, whether the process has time for it or not. Closing the listener
// resets who is still queued: all must have been accepted first.
TEST_P(Promises, FirstQueuedConnectionsAreAnswered) {
  start({"--idle-grace", "1s"});
  RawClient spinner = connect();
  spinner.send(get_request("/spin?ms=500"));
  wait_until_spinning();
  std::vector<RawClient> queued;
  for (int i = 0; i < 50; ++i) {
    queued.push_back(connect());
    if (i % 2 == 0) queued.back().send(get_request("/users/" + std::to_string(i)));
  }
  begin_stop();
  for (int i = 1; i < 50; i += 2) {  // these had finished their handshake only
    queued[static_cast<size_t>(i)].send(get_request("/users/" + std::to_string(i)));
  }
  for (int i = 0; i < 50; ++i) {
    HttpAnswer answer = queued[static_cast<size_t>(i)].read_answer();
    EXPECT_EQ(answer.body, Json({{"id", std::to_string(i)}}).dump());
    EXPECT_EQ(answer.header("Connection"), "close");
    EXPECT_EQ(queued[static_cast<size_t>(i)].read_end(), StreamEnd::eof);
  }
  EXPECT_EQ(spinner.read_answer().status, 200);
  spinner.close();
  EXPECT_EQ(wait_exit(), 0);
  EXPECT_EQ(total(report(), "accepted"), 51u);
}

// The same without a pause: whoever gets a connection while the listener closes gets an answer.
TEST_P(Promises, FirstNobodyIsResetWhileTheListenerCloses) {
  const std::string unix_address =
      "unix:" + testing::TempDir() + "lastcall-gate-" + std::to_string(::getpid()) + ".sock";
  for (const std::string& listen : {std::string("127.0.0.1:0"), std::string(":0"), unix_address}) {
    start({"--reactors", "2", "--listen", listen});
    std::atomic<int> answered = 0;
    std::atomic<int> lost = 0;
    std::atomic<int> reset = 0;
    std::vector<std::jthread> clients;
    for (int i = 0; i < 8; ++i) {
      clients.emplace_back([&] {
        for (;;) {
          RawClient client(address());
          if (client.connect_error() == ECONNREFUSED || client.connect_error() == ENOENT) return;
          if (!client.connected()) {
            ++reset;
          } else if (client.ask(get_request("/plaintext", "Connection: close\r\n")).complete) {
            ++answered;
          } else {
            ++lost;
          }
        }
      });
    }
    while (answered < 200) std::this_thread::yield();
    begin_stop();
    clients.clear();
    EXPECT_EQ(lost, 0) << listen;
    EXPECT_EQ(reset, 0) << listen;
    EXPECT_EQ(wait_exit(), 0);
  }
}

TEST_P(Promises, SecondRequestIsAnsweredInFullWithClose) {
  start();
  RawClient client = connect();
  client.send("POST /anything HTTP/1.1\r\n");
  settle();
  begin_stop_for_good();
  HttpAnswer answer = client.ask("Host: test\r\nContent-Length: 5\r\n\r\nhello");
  EXPECT_EQ(Json::parse(answer.body).at("body_base64"), "aGVsbG8=");
  EXPECT_EQ(answer.header("Connection"), "close");
  EXPECT_EQ(client.read_end(), StreamEnd::eof);
  EXPECT_EQ(wait_exit(), 0);
}

TEST_P(Promises, ThirdIdleConnectionMaySendOneMoreRequest) {
  start({"--idle-grace", "3s"});
  std::vector<RawClient> clients;
  for (int i = 0; i < 10; ++i) {
    clients.push_back(connect());
    ASSERT_EQ(clients.back().ask(get_request("/plaintext")).status, 200);
  }
  begin_stop_for_good();
  for (RawClient& client : clients) {
    HttpAnswer answer = client.ask(get_request("/plaintext"));
    EXPECT_EQ(answer.body, "Hello, World!");
    EXPECT_EQ(answer.header("Connection"), "close");
    EXPECT_EQ(client.read_end(), StreamEnd::eof);
  }
  EXPECT_EQ(wait_exit(), 0);
  EXPECT_LT(report().at("duration_ms"), 2500);  // nobody is waited for any longer
}

TEST_P(Promises, ThirdRequestAtTheEndOfTheGraceIsNotLost) {
  start({"--idle-grace", "400ms"});
  std::vector<RawClient> clients;
  for (int i = 0; i < 20; ++i) {
    clients.push_back(connect());
    ASSERT_EQ(clients.back().ask(get_request("/plaintext")).status, 200);
  }
  RawClient spinner = connect();
  ASSERT_EQ(spinner.ask(get_request("/plaintext")).status, 200);
  begin_stop();
  spinner.send(get_request("/spin?ms=800"));  // when it ends, the grace is over
  wait_until_spinning();
  for (RawClient& client : clients)
    client.send(get_request("/plaintext"));  // and these have been here for long
  for (RawClient& client : clients) {
    EXPECT_EQ(client.read_answer().body, "Hello, World!");
    EXPECT_EQ(client.read_end(), StreamEnd::eof);
  }
  spinner.close();
  EXPECT_EQ(wait_exit(), 0);
  EXPECT_EQ(report().at("late_requests"), 0);
}

TEST_P(Promises, LateRequestIsCounted) {
  start();
  RawClient client = connect();
  ASSERT_EQ(client.ask(get_request("/plaintext")).status, 200);
  begin_stop();
  ASSERT_TRUE(client.wait_hang_up());
  client.send(get_request("/plaintext"));
  client.close();
  EXPECT_EQ(wait_exit(), 0);
  EXPECT_EQ(report().at("late_requests"), 1);
  EXPECT_EQ(total(report(), "idle_closed"), 1u);
}

TEST_P(Promises, SeventhEveryConnectionIsCountedOnce) {
  start({"--reactors", "2", "--max-connections", "40"});
  std::vector<RawClient> clients;
  for (int i = 0; i < 60; ++i) {
    RawClient client(address());
    switch (i % 6) {
      case 0: client.ask(get_request("/plaintext")); break;
      case 1: client.send(get_request("/sleep?ms=200")); break;
      case 2: client.send("GET / HTT"); break;
      case 3: client.ask("GET / HTTP/3.0\r\n\r\n"); break;
      case 4:
        client.send(get_request("/bytes?n=1000000"));
        client.reset();
        break;
      default: break;
    }
    if (i % 6 == 2) client.half_close();
    clients.push_back(std::move(client));
  }
  begin_stop();
  clients.clear();
  EXPECT_EQ(wait_exit(), 0);
  expect_counted_once(report());
  EXPECT_GE(total(report(), "accepted"), 60u);
}

}  // namespace
}  // namespace lastcall::e2e
