#include <thread>

#include "tests/e2e/fixture.hpp"

namespace lastcall::e2e {
namespace {

class Bodies : public EndToEnd {};
LASTCALL_ON_BOTH_BACKENDS(Bodies);

constexpr size_t kMegabyte = 1 << 20;

/// Bytes whose place can be told from their value.
std::string patterned(size_t size) {
  std::string bytes(size, '\0');
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>('a' + (i * 7 + i / 251) % 26);
  return bytes;
}

/// The body in chunks of sizes that grow and shrink.
std::string in_chunks(const std::string& body) {
  std::string out;
  for (size_t at = 0, size = 1; at < body.size(); at += size) {
    size = std::min<size_t>(body.size() - at, size * 3 % 100'003 + 1);
    out += chunk(body.substr(at, size));
  }
  return out + "0\r\n\r\n";
}

/// Sends on a thread of its own, as one must where the answer begins before the request has ended.
HttpAnswer ask_while_reading(RawClient& client, const std::string& request) {
  std::jthread sender([&] { client.send(request); });
  return client.read_answer();
}

TEST_P(Bodies, EchoWithALength) {
  start();
  RawClient client = connect();
  std::string body = patterned(4 * kMegabyte + 1);
  HttpAnswer answer = ask_while_reading(client, post_request("/echo", body, "Content-Type: text/x-test\r\n"));
  EXPECT_EQ(answer.status, 200);
  EXPECT_TRUE(answer.complete);
  EXPECT_EQ(answer.header("Content-Type"), "text/x-test");
  EXPECT_EQ(answer.header("Content-Length"), std::to_string(body.size()));
  EXPECT_TRUE(answer.body == body);
  EXPECT_EQ(client.ask(post_request("/echo", "again")).body, "again");
}

TEST_P(Bodies, EchoInChunks) {
  start();
  RawClient client = connect();
  std::string body = patterned(4 * kMegabyte + 1);
  HttpAnswer answer = ask_while_reading(
      client, "POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n" + in_chunks(body));
  EXPECT_EQ(answer.status, 200);
  EXPECT_TRUE(answer.complete);
  EXPECT_TRUE(answer.chunked);
  EXPECT_TRUE(answer.body == body);
  EXPECT_EQ(client.ask(post_request("/echo", "again")).body, "again");
}

TEST_P(Bodies, EchoOfNothing) {
  start();
  RawClient client = connect();
  HttpAnswer answer = client.ask(post_request("/echo", ""));
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, "");
  answer = client.ask("POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
  EXPECT_EQ(answer.status, 200);
  EXPECT_TRUE(answer.complete);
  EXPECT_EQ(answer.body, "");
  EXPECT_EQ(client.ask("POST /echo HTTP/1.1\r\nHost: test\r\n\r\n").status, 200);
}

TEST_P(Bodies, UploadCountsALength) {
  start();
  RawClient client = connect();
  HttpAnswer answer = client.ask(post_request("/upload", patterned(8 * kMegabyte)));
  EXPECT_EQ(Json::parse(answer.body), Json({{"bytes", 8 * kMegabyte}}));
  EXPECT_EQ(Json::parse(client.ask(post_request("/upload", "12345")).body).at("bytes"), 5);
}

TEST_P(Bodies, UploadCountsChunks) {
  start();
  RawClient client = connect();
  HttpAnswer answer = client.ask("POST /upload HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n" +
                                 in_chunks(patterned(8 * kMegabyte)));
  EXPECT_EQ(Json::parse(answer.body).at("bytes"), 8 * kMegabyte);
  EXPECT_EQ(Json::parse(client.ask(post_request("/upload", "12345")).body).at("bytes"), 5);
}

TEST_P(Bodies, UploadTakesBoundedMemory) {
  constexpr size_t kPieces = 200;
  start();
  get("/plaintext");
  size_t before = server().peak_memory_bytes();
  RawClient client = connect();
  client.send("POST /upload HTTP/1.1\r\nHost: test\r\nContent-Length: " +
              std::to_string(kPieces * kMegabyte) + "\r\n\r\n");
  std::string piece = patterned(kMegabyte);
  for (size_t i = 0; i < kPieces; ++i) ASSERT_TRUE(client.send(piece));
  EXPECT_EQ(Json::parse(client.read_answer().body).at("bytes"), kPieces * kMegabyte);
  if (!kSanitized) {  // whose allocators keep what was freed
    EXPECT_LT(server().peak_memory_bytes() - before, 16 * kMegabyte);
  }
}

TEST_P(Bodies, BytesOfFiftyMegabytes) {
  start();
  RawClient client = connect();
  HttpAnswer answer = client.ask(get_request("/bytes?n=52428800"));
  EXPECT_TRUE(answer.complete);
  EXPECT_EQ(answer.header("Content-Length"), "52428800");
  EXPECT_EQ(answer.body.size(), 52428800u);
  EXPECT_EQ(answer.body.find_first_not_of('x'), std::string::npos);
  EXPECT_EQ(client.ask(get_request("/bytes?n=3")).body, "xxx");
  answer = client.ask(get_request("/bytes?n=0"));
  EXPECT_EQ(answer.header("Content-Length"), "0");
  EXPECT_TRUE(answer.complete);
}

TEST_P(Bodies, StreamIsChunked) {
  start();
  RawClient client = connect();
  HttpAnswer answer = client.ask(get_request("/stream?n=4&ms=1"));
  EXPECT_TRUE(answer.chunked);
  EXPECT_TRUE(answer.complete);
  EXPECT_EQ(answer.count("Content-Length"), 0u);
  EXPECT_EQ(answer.body, "chunk 1\nchunk 2\nchunk 3\nchunk 4\n");
  EXPECT_EQ(answer.chunks, std::vector<size_t>(4, 8));
  answer = client.ask(get_request("/stream?n=0"));
  EXPECT_TRUE(answer.complete);
  EXPECT_EQ(answer.body, "");
  EXPECT_EQ(client.ask(get_request("/stream?n=20000")).chunks.size(), 20000u);
}

TEST_P(Bodies, StreamToHttp10EndsWithTheConnection) {
  start();
  HttpAnswer answer = connect().ask("GET /stream?n=3&ms=1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_EQ(answer.count("Transfer-Encoding"), 0u);
  EXPECT_EQ(answer.header("Connection"), "close");
  EXPECT_TRUE(answer.complete);
  EXPECT_EQ(answer.body, "chunk 1\nchunk 2\nchunk 3\n");
}

// Promise 4 of the contract: closing a socket with unread input makes the kernel send RST, which destroys
// what the client has not read of the answer.
class UnreadBodies : public Bodies {
 protected:
  /// Sends all of the request before the first look at the answer.
  void expect_answer(const std::string& target, bool chunked, int status) {
    SCOPED_TRACE(target + (chunked ? " in chunks" : " with a length"));
    std::string body = patterned(6 * kMegabyte);
    RawClient client = connect();
    client.send("POST " + target + " HTTP/1.1\r\nHost: test\r\n");
    if (chunked) {
      client.send("Transfer-Encoding: chunked\r\n\r\n" + in_chunks(body));
    } else {
      client.send("Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
    }
    HttpAnswer answer = client.read_answer();
    EXPECT_EQ(answer.status, status);
    EXPECT_TRUE(answer.complete);
    if (!chunked || status == 413) {  // else it might have stayed open, had the body been shorter
      EXPECT_EQ(answer.header("Connection"), "close");
    }
    EXPECT_EQ(client.read_end(), StreamEnd::eof);
  }
};
LASTCALL_ON_BOTH_BACKENDS(UnreadBodies);

TEST_P(UnreadBodies, AnswerSurvivesATooLargeOne) {
  start();
  for (bool chunked : {false, true}) expect_answer("/anything", chunked, 413);
}

TEST_P(UnreadBodies, AnswerSurvivesOneThatNoRouteTakes) {
  start({"--max-body-bytes", "16M"});
  for (bool chunked : {false, true}) {
    expect_answer("/nope", chunked, 404);
    expect_answer("/plaintext", chunked, 405);
  }
}

}  // namespace
}  // namespace lastcall::e2e
