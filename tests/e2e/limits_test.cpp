#include "tests/e2e/fixture.hpp"

namespace lastcall::e2e {
namespace {

class Limits : public EndToEnd {
 protected:
  /// The request is refused with `status`, nothing behind it is looked at, and the connection ends without a
  /// reset.
  void expect_refused(const std::string& what, const std::string& request, int status) {
    SCOPED_TRACE(what);
    RawClient client = connect();
    client.send(request + get_request("/users/smuggled"));
    HttpAnswer answer = client.read_answer();
    EXPECT_EQ(answer.status, status);
    EXPECT_TRUE(answer.complete);
    EXPECT_EQ(answer.header("Connection"), "close");
    EXPECT_EQ(answer.count("Date"), 1u);
    auto [rest, end] = client.read_all();
    EXPECT_EQ(rest, "");
    EXPECT_EQ(end, StreamEnd::eof) << to_string(end);
  }
};
LASTCALL_ON_BOTH_BACKENDS(Limits);

const std::string kPost = "POST /anything HTTP/1.1\r\nHost: test\r\n";
const std::string kChunkedPost = kPost + "Transfer-Encoding: chunked\r\n\r\n";

TEST_P(Limits, HeadTooLargeIs431) {
  start({"--max-header-bytes", "1k"});
  EXPECT_EQ(get("/plaintext", "X-Long: " + std::string(900, 'x') + "\r\n").status, 200);
  expect_refused("one field", get_request("/plaintext", "X-Long: " + std::string(1100, 'x') + "\r\n"), 431);
  std::string fields;
  for (int i = 0; i < 80; ++i) fields += "X-Field-" + std::to_string(i) + ": v\r\n";
  expect_refused("many fields", get_request("/plaintext", fields), 431);
}

TEST_P(Limits, TooManyFieldsIs431) {
  start();
  auto with_fields = [](int count) {
    std::string fields;
    for (int i = 0; i < count; ++i) fields += "a:\r\n";
    return get_request("/plaintext", fields);
  };
  EXPECT_EQ(connect().ask(with_fields(127)).status, 200);  // and Host: 128
  expect_refused("129 fields", with_fields(128), 431);
}

TEST_P(Limits, TargetTooLongIs414) {
  start();
  EXPECT_EQ(get("/anything?" + std::string(8000, 'x')).status, 200);
  expect_refused("9000 bytes", get_request("/anything?" + std::string(9000, 'x')), 414);
  expect_refused("100000 bytes", get_request("/anything?" + std::string(100'000, 'x')), 414);
}

TEST_P(Limits, BodyTooLargeIs413) {
  start({"--max-body-bytes", "1k"});
  EXPECT_EQ(connect().ask(post_request("/anything", std::string(1024, 'x'))).status, 200);
  expect_refused("by its length", post_request("/anything", std::string(1025, 'x')), 413);
  expect_refused("by its chunks", kChunkedPost + chunk(std::string(1000, 'x')) + chunk(std::string(25, 'x')),
                 413);
  expect_refused("by a chunk's size", kChunkedPost + "fffffffffffffffff\r\nabc\r\n0\r\n\r\n", 413);
  expect_refused("announced only", kPost + "Content-Length: 9223372036854775807\r\n\r\n", 413);
  EXPECT_EQ(connect().ask(post_request("/upload", std::string(4096, 'x'))).status,
            200);  // a limit of its own
}

TEST_P(Limits, UnknownMethodIs501) {
  start();
  expect_refused("short", "BREW / HTTP/1.1\r\nHost: test\r\n\r\n", 501);
  expect_refused("long", std::string(1000, 'B') + " / HTTP/1.1\r\nHost: test\r\n\r\n", 501);
  expect_refused("CONNECT", "CONNECT test:443 HTTP/1.1\r\nHost: test:443\r\n\r\n", 501);
  expect_refused("gzip", kPost + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501);
}

TEST_P(Limits, OtherVersionsAre505) {
  start();
  expect_refused("2.0", "GET / HTTP/2.0\r\nHost: test\r\n\r\n", 505);
  expect_refused("0.9", "GET /\r\n", 505);
  EXPECT_EQ(connect().ask("GET /plaintext HTTP/1.7\r\nHost: test\r\n\r\n").status, 200);  // RFC 9110 2.5
}

TEST_P(Limits, UnknownExpectationIs417) {
  start();
  expect_refused("Expect", get_request("/plaintext", "Expect: tea\r\n"), 417);
}

TEST_P(Limits, AmbiguousFramingIs400) {
  start();
  expect_refused("both framings", kPost + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                 400);
  expect_refused("two lengths", kPost + "Content-Length: 4\r\nContent-Length: 5\r\n\r\nbody", 400);
  expect_refused("equal lengths", kPost + "Content-Length: 4\r\nContent-Length: 4\r\n\r\nbody", 400);
  expect_refused("list of lengths", kPost + "Content-Length: 4, 4\r\n\r\nbody", 400);
  expect_refused("signed length", kPost + "Content-Length: +4\r\n\r\nbody", 400);
  expect_refused("hex length", kPost + "Content-Length: 0x4\r\n\r\nbody", 400);
  expect_refused("huge length", kPost + "Content-Length: 99999999999999999999\r\n\r\n", 400);
  expect_refused("chunked twice", kPost + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400);
  expect_refused("two codings",
                 kPost + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400);
  expect_refused("not chunked last", kPost + "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 400);
  expect_refused("hidden chunked", kPost + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400);
  expect_refused("coding in 1.0", "POST /anything HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                 400);
}

TEST_P(Limits, MalformedChunksAre400) {
  start();
  expect_refused("signed size", kChunkedPost + "+3\r\nabc\r\n0\r\n\r\n", 400);
  expect_refused("prefixed size", kChunkedPost + "0x3\r\nabc\r\n0\r\n\r\n", 400);
  expect_refused("no size", kChunkedPost + "\r\nabc\r\n0\r\n\r\n", 400);
  expect_refused("bare LF", kChunkedPost + "3\nabc\r\n0\r\n\r\n", 400);
  expect_refused("too long", kChunkedPost + "2\r\nabc\r\n0\r\n\r\n", 400);
  expect_refused("framing as trailer", kChunkedPost + "0\r\nContent-Length: 5\r\n\r\n", 400);
}

TEST_P(Limits, MalformedHeadsAre400) {
  start();
  expect_refused("blank before colon", get_request("/", "X-A : 1\r\n"), 400);
  expect_refused("folded line", get_request("/", "X-A: 1\r\n 2\r\n"), 400);
  expect_refused("no name", get_request("/", ": 1\r\n"), 400);
  expect_refused("no colon", get_request("/", "X-A\r\n"), 400);
  expect_refused("NUL", get_request("/", std::string("X-A: a\0b\r\n", 10)), 400);
  expect_refused("bare CR", get_request("/", "X-A: a\rb\r\n"), 400);
  expect_refused("bare LF", "GET / HTTP/1.1\nHost: test\n\n", 400);
  expect_refused("no Host", "GET / HTTP/1.1\r\n\r\n", 400);
  expect_refused("two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400);
  expect_refused("bad Host", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400);
  expect_refused("two blanks", "GET  / HTTP/1.1\r\nHost: test\r\n\r\n", 400);
  expect_refused("lower-case version", "GET / http/1.1\r\nHost: test\r\n\r\n", 400);
  expect_refused("bad target", "GET plaintext HTTP/1.1\r\nHost: test\r\n\r\n", 400);
  expect_refused("broken percent", get_request("/users/%4"), 400);
  expect_refused("zero byte", get_request("/users/%00"), 400);
  expect_refused("TLS", std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11), 400);
}

TEST_P(Limits, DotSegmentsDoNotClimb) {
  start();
  EXPECT_NE(get("/users/../plaintext").body, "Hello, World!");
  EXPECT_NE(get("/users/%2e%2e/plaintext").body, "Hello, World!");
}

}  // namespace
}  // namespace lastcall::e2e
