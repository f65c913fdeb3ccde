#include <chrono>
#include <thread>

#include "tests/e2e/fixture.hpp"

namespace lastcall::e2e {
namespace {

class Timeouts : public EndToEnd {
 protected:
  static void expect_408(RawClient& client) {
    HttpAnswer answer = client.read_answer();
    EXPECT_EQ(answer.status, 408);
    EXPECT_TRUE(answer.complete);
    EXPECT_EQ(answer.header("Connection"), "close");
    EXPECT_EQ(client.read_end(), StreamEnd::eof);
  }
  static void expect_silent_end(RawClient& client) {
    auto [bytes, end] = client.read_all();
    EXPECT_EQ(bytes, "");
    EXPECT_EQ(end, StreamEnd::eof) << to_string(end);
  }
};
LASTCALL_ON_BOTH_BACKENDS(Timeouts);

TEST_P(Timeouts, HalfAHeadGets408) {
  start({"--header-timeout", "300ms"});
  auto began = std::chrono::steady_clock::now();
  RawClient client = connect();
  client.send("GET /plaintext HTTP/1.1\r\nHo");
  expect_408(client);
  EXPECT_GE(std::chrono::steady_clock::now() - began, 290ms);
}

// More connections than one turn reads, and a reactor that is stuck beyond their timeout: whose request is in
// the socket by then has sent it in time.
TEST_P(Timeouts, RequestsThatWaitForAStuckReactorAreServed) {
  constexpr size_t kClients = 800;
  start({"--header-timeout", "1500ms", "--body-timeout", "1500ms"});
  const std::string requests[] = {get_request("/plaintext"), post_request("/anything", "hello"),
                                  post_request("/upload", "hello")};
  std::vector<RawClient> clients;
  for (size_t i = 0; i < kClients; ++i) {
    const std::string& request = requests[i % std::size(requests)];
    clients.push_back(connect());
    clients.back().send(request.substr(0, request.size() - 3));
  }
  settle();
  RawClient spinner = connect();
  spinner.send(get_request("/spin?ms=2500"));
  for (size_t i = 0; i < kClients; ++i) {
    const std::string& request = requests[i % std::size(requests)];
    clients[i].send(request.substr(request.size() - 3));
  }
  EXPECT_EQ(spinner.read_answer().status, 200);
  size_t served = 0;
  for (RawClient& client : clients) served += client.read_answer().status == 200;
  EXPECT_EQ(served, kClients);
}

TEST_P(Timeouts, HeadThatTricklesGets408) {
  start({"--header-timeout", "300ms"});
  RawClient client = connect();
  client.send("GET /plaintext HTTP/1.1\r\nX: ");
  for (int i = 0; i < 200 && !client.wait_hang_up(50ms); ++i) client.send("x");  // would go on for 10 s
  expect_408(client);
}

TEST_P(Timeouts, SecondHeadHasItsOwnTime) {
  start({"--header-timeout", "300ms"});
  RawClient client = connect();
  EXPECT_EQ(client.ask(get_request("/sleep?ms=400")).status, 200);  // longer than a head may take
  EXPECT_EQ(client.ask(get_request("/plaintext")).status, 200);
  client.send("GET /plain");
  expect_408(client);
}

TEST_P(Timeouts, SilentConnectionIsClosedWithoutAWord) {
  start({"--header-timeout", "200ms"});
  RawClient client = connect();
  expect_silent_end(client);
}

TEST_P(Timeouts, IdleConnectionIsClosedWithoutAWord) {
  start({"--idle-timeout", "200ms"});
  RawClient client = connect();
  EXPECT_EQ(client.ask(get_request("/plaintext")).status, 200);
  expect_silent_end(client);
}

TEST_P(Timeouts, BodyThatStopsGets408) {
  start({"--body-timeout", "300ms"});
  for (const char* target : {"/anything", "/upload"}) {
    SCOPED_TRACE(target);
    RawClient client = connect();
    client.send("POST " + std::string(target) + " HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nhalf");
    expect_408(client);
  }
}

TEST_P(Timeouts, BodyThatTricklesIsTaken) {
  start({"--body-timeout", "1s"});
  RawClient client = connect();
  client.send("POST /upload HTTP/1.1\r\nHost: test\r\nContent-Length: 12\r\n\r\n");
  for (int i = 0; i < 12; ++i) {
    std::this_thread::sleep_for(100ms);
    client.send("x");
  }
  EXPECT_EQ(Json::parse(client.read_answer().body).at("bytes"), 12);
}

TEST_P(Timeouts, ReaderWhoTakesNothingIsCutOff) {
  start({"--write-timeout", "300ms"});
  RawClient client = connect({.receive_buffer_bytes = 64 * 1024});
  client.send(get_request("/bytes?n=100000000"));
  EXPECT_TRUE(client.wait_hang_up());
  HttpAnswer answer = client.read_answer();
  EXPECT_EQ(answer.status, 200);
  EXPECT_FALSE(answer.complete);
  EXPECT_EQ(client.read_end(), StreamEnd::reset);  // an orderly end could be taken for the whole
}

TEST_P(Timeouts, SlowReaderWhoMakesProgressIsServed) {
  constexpr size_t kBytes = 8'000'000;
  start({"--write-timeout", "400ms"});
  RawClient client = connect({.receive_buffer_bytes = 64 * 1024});
  client.send(get_request("/bytes?n=" + std::to_string(kBytes)));
  size_t taken = 0;
  for (int i = 0; i < 24; ++i) {  // longer than the timeout, in steps that are shorter
    std::this_thread::sleep_for(50ms);
    std::string bytes = client.read_some(64 * 1024);
    ASSERT_FALSE(bytes.empty());
    taken += bytes.size();
  }
  auto [rest, end] = [&] {
    client.half_close();
    return client.read_all();
  }();
  EXPECT_EQ(end, StreamEnd::eof) << to_string(end);
  EXPECT_GT(taken + rest.size(), kBytes);  // and the head
}

}  // namespace
}  // namespace lastcall::e2e
