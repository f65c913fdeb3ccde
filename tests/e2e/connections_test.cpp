#include <thread>

#include "tests/e2e/fixture.hpp"

namespace lastcall::e2e {
namespace {

class Connections : public EndToEnd {
 protected:
  /// Sends the request cut in two at every place, each time with the server between the halves.
  void cut_everywhere(const std::string& request, const std::string& expected) {
    RawClient client = connect();
    for (size_t cut = 1; cut < request.size(); ++cut) {
      client.send(std::string_view(request).substr(0, cut));
      ASSERT_NO_FATAL_FAILURE(settle());
      client.send(std::string_view(request).substr(cut));
      HttpAnswer answer = client.read_answer();
      ASSERT_EQ(answer.status, 200) << "cut behind " << request.substr(0, cut);
      ASSERT_EQ(answer.body, expected);
    }
  }
};
LASTCALL_ON_BOTH_BACKENDS(Connections);

const std::string kChunkedPost =
    "POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
    "5;a=b\r\nhello\r\n8\r\n, world!\r\n0\r\nX-Trailer: 1\r\n\r\n";

TEST_P(Connections, Http11StaysOpen) {
  start();
  RawClient client = connect();
  for (int i = 0; i < 20; ++i) {
    HttpAnswer answer = client.ask(get_request("/plaintext"));
    ASSERT_EQ(answer.body, "Hello, World!");
    EXPECT_EQ(answer.count("Connection"), 0u);
  }
}

TEST_P(Connections, CloseIsAnsweredAndDone) {
  start();
  RawClient client = connect();
  HttpAnswer answer = client.ask(get_request("/plaintext", "Connection: foo, Close\r\n"));
  EXPECT_EQ(answer.header("Connection"), "close");
  EXPECT_EQ(client.read_end(), StreamEnd::eof);
}

TEST_P(Connections, Http10Closes) {
  start();
  RawClient client = connect();
  HttpAnswer answer = client.ask("GET /plaintext HTTP/1.0\r\n\r\n");
  EXPECT_EQ(answer.body, "Hello, World!");
  EXPECT_EQ(answer.header("Connection"), "close");
  EXPECT_EQ(client.read_end(), StreamEnd::eof);
}

TEST_P(Connections, Http10WithKeepAliveStaysOpen) {
  start();
  RawClient client = connect();
  for (int i = 0; i < 3; ++i) {
    HttpAnswer answer = client.ask("GET /plaintext HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
    ASSERT_EQ(answer.body, "Hello, World!");
    EXPECT_EQ(answer.header("Connection"), "keep-alive");
  }
}

TEST_P(Connections, PipelinedRequestsAreAnsweredInOrder) {
  start();
  RawClient client = connect();
  std::string requests;
  for (int i = 0; i < 64; ++i) {
    requests += i % 8 == 3 ? post_request("/echo", "body " + std::to_string(i))
                : i == 20  ? get_request("/sleep?ms=30")
                           : get_request("/users/" + std::to_string(i));
  }
  client.send(requests);
  for (int i = 0; i < 64; ++i) {
    HttpAnswer answer = client.read_answer();
    ASSERT_EQ(answer.status, 200) << i;
    std::string expected = i % 8 == 3 ? "body " + std::to_string(i)
                           : i == 20  ? "slept 30 ms\n"
                                      : Json({{"id", std::to_string(i)}}).dump();
    ASSERT_EQ(answer.body, expected);
  }
}

TEST_P(Connections, PipelineLargerThanEveryBuffer) {
  const int kRequests = kSanitized ? 10'000 : 30'000;
  start();
  RawClient client = connect();
  std::string requests;
  for (int i = 0; i < kRequests; ++i) requests += get_request("/plaintext");
  std::jthread sender([&] { client.send(requests); });
  for (int i = 0; i < kRequests; ++i) ASSERT_EQ(client.read_answer().body, "Hello, World!") << i;
}

TEST_P(Connections, NothingBehindCloseIsAnswered) {
  start();
  RawClient client = connect();
  client.send(get_request("/users/1", "Connection: close\r\n") + get_request("/users/2"));
  EXPECT_EQ(client.read_answer().body, R"({"id":"1"})");
  auto [rest, end] = client.read_all();
  EXPECT_EQ(rest, "");
  EXPECT_EQ(end, StreamEnd::eof);
}

TEST_P(Connections, GetMayBeCutAnywhere) {
  start();
  cut_everywhere(get_request("/users/42?q=1", "X-Long: 0123456789\r\n"), R"({"id":"42"})");
}

TEST_P(Connections, ChunkedPostMayBeCutAnywhere) {
  start();
  cut_everywhere(kChunkedPost, "hello, world!");
}

TEST_P(Connections, RequestMayComeByteByByte) {
  start();
  RawClient client = connect();
  for (char byte : kChunkedPost + get_request("/users/42")) {
    client.send({&byte, 1});
    ASSERT_NO_FATAL_FAILURE(settle());
  }
  EXPECT_EQ(client.read_answer().body, "hello, world!");
  EXPECT_EQ(client.read_answer().body, R"({"id":"42"})");
}

TEST_P(Connections, EmptyLinesBeforeARequestAreSkipped) {
  start();
  RawClient client = connect();
  EXPECT_EQ(client.ask("\r\n\r\n" + get_request("/plaintext")).status, 200);  // RFC 9112 2.2
  EXPECT_EQ(client.ask("\r\n" + get_request("/plaintext")).status, 200);
}

TEST_P(Connections, ClientThatEndedItsSideGetsItsAnswer) {
  start();
  for (const char* target :
       {"/plaintext", "/sleep?ms=50", "/block?ms=50", "/bytes?n=3000000", "/stream?n=5&ms=5"}) {
    RawClient client = connect();
    client.send(get_request(target));
    client.half_close();
    HttpAnswer answer = client.read_answer();
    EXPECT_EQ(answer.status, 200) << target;
    EXPECT_TRUE(answer.complete) << target;
    EXPECT_EQ(client.read_end(), StreamEnd::eof) << target;
  }
}

TEST_P(Connections, ExpectIsAnsweredBeforeTheBody) {
  start();
  RawClient client = connect();
  for (const char* target : {"/anything", "/echo", "/upload"}) {
    SCOPED_TRACE(target);
    HttpAnswer interim =
        client.ask("POST " + std::string(target) +
                   " HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    ASSERT_EQ(interim.status, 100);
    EXPECT_TRUE(interim.headers.empty());
    EXPECT_EQ(client.ask("hello").status, 200);
  }
}

TEST_P(Connections, ExpectIsNotAnsweredWhenTheBodyIsThere) {
  start();
  RawClient client = connect();
  EXPECT_EQ(client.ask(post_request("/echo", "hello", "Expect: 100-continue\r\n")).status, 200);
}

TEST_P(Connections, ExpectOfARefusedBodyGetsTheRefusalAtOnce) {
  start();
  auto ask = [&](const char* target, const char* length) {
    RawClient client = connect();
    HttpAnswer answer = client.ask(
        "POST " + std::string(target) +
        " HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: " + length + "\r\n\r\n");
    EXPECT_TRUE(answer.complete);
    EXPECT_EQ(answer.header("Connection"), "close");
    EXPECT_EQ(client.read_end(), StreamEnd::eof);
    return answer.status;
  };
  EXPECT_EQ(ask("/anything", "99999999"), 413);
  EXPECT_EQ(ask("/nope", "5"), 404);
  EXPECT_EQ(ask("/plaintext", "5"), 405);
}

}  // namespace
}  // namespace lastcall::e2e
