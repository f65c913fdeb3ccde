// What a TestClient takes for an answer: RFC 9112 to the letter, whole, and nothing behind it.

#include <gtest/gtest.h>

#include <string>

#include <lastcall/http/test_answer.hpp>

namespace lastcall::test {
namespace {

using Outcome = TestAnswerReader::Outcome;

Outcome read(std::string_view stream, bool to_head = false) {
  TestAnswerReader reader(to_head);
  const Outcome at_once = reader.feed(stream);
  TestAnswerReader torn(to_head);
  Outcome by_bytes = Outcome::more;
  for (size_t i = 0; i < stream.size(); ++i) by_bytes = torn.feed(stream.substr(i, 1));
  EXPECT_EQ(at_once, by_bytes) << stream;
  EXPECT_EQ(reader.rest(), torn.rest()) << stream;
  EXPECT_EQ(reader.take().body, torn.take().body) << stream;
  return at_once;
}

const std::string kLine = "HTTP/1.1 200 OK\r\n";

TEST(TestAnswer, Framings) {
  EXPECT_EQ(read(kLine + "Content-Length: 2\r\n\r\nok"), Outcome::whole);
  EXPECT_EQ(read(kLine + "Content-Length: 0\r\n\r\n"), Outcome::whole);
  EXPECT_EQ(read(kLine + "Content-Length: 2\r\n\r\n", true), Outcome::whole);
  EXPECT_EQ(read("HTTP/1.1 204 No Content\r\n\r\n"), Outcome::whole);
  EXPECT_EQ(read("HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n"), Outcome::whole);
  EXPECT_EQ(read("HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n"), Outcome::whole);
  EXPECT_EQ(read(kLine + "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"), Outcome::whole);
  EXPECT_EQ(read(kLine + "\r\nto the end"), Outcome::more);
}

TEST(TestAnswer, CutShort) {
  for (const std::string& whole :
       {kLine + "Content-Length: 2\r\n\r\nok",
        kLine + "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nA: b\r\n\r\n"}) {
    for (size_t size = 0; size < whole.size(); ++size) {
      TestAnswerReader reader(false);
      EXPECT_EQ(reader.feed(whole.substr(0, size)), Outcome::more) << size;
      EXPECT_EQ(reader.begun(), size != 0);
      EXPECT_EQ(reader.end(), Outcome::bad);
      EXPECT_EQ(reader.what(), size == 0 ? "the connection ended without an answer"
                                         : "the connection ended in the middle of the answer");
    }
  }
}

TEST(TestAnswer, PartsAndRest) {
  TestAnswerReader reader(false);
  EXPECT_EQ(
      reader.feed("HTTP/1.1 100 Continue\r\n\r\n" + kLine +
                  "Transfer-Encoding: chunked\r\nA:  b \r\n\r\nA\r\n0123456789\r\n1\r\nx\r\n0\r\nT: u\r\n"
                  "\r\nrest"),
      Outcome::whole);
  EXPECT_EQ(reader.rest(), "rest");
  const TestAnswer answer = reader.take();
  EXPECT_EQ(answer.body, "0123456789x");
  EXPECT_EQ(answer.header("a"), "b");
  ASSERT_EQ(answer.trailers.size(), 1u);
  EXPECT_EQ(answer.trailers[0].second, "u");
}

TEST(TestAnswer, ToTheEndOfTheStream) {
  TestAnswerReader reader(false);
  EXPECT_EQ(reader.feed(kLine + "\r\nall of "), Outcome::more);
  EXPECT_EQ(reader.feed("it"), Outcome::more);
  EXPECT_EQ(reader.end(), Outcome::whole);
  EXPECT_EQ(reader.take().body, "all of it");
}

TEST(TestAnswer, SwitchedProtocols) {
  TestAnswerReader reader(false);
  EXPECT_EQ(reader.feed("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nbytes"), Outcome::whole);
  EXPECT_EQ(reader.rest(), "bytes");
}

TEST(TestAnswer, Malformed) {
  const std::string bad[] = {
      "HTTP/1.0 200 OK\r\n\r\n",
      "garbage",
      "HTTP/1.1 20 OK\r\n\r\n",
      "HTTP/1.1 200OK\r\n\r\n",
      "HTTP/1.1 200\r\n\r\n",
      "HTTP/1.1 099 OK\r\n\r\n",
      "HTTP/1.1 600 OK\r\n\r\n",
      "HTTP/1.1 200 O\nK\r\n\r\n",
      kLine + "no colon\r\n\r\n",
      kLine + "A : b\r\n\r\n",
      kLine + ": b\r\n\r\n",
      kLine + " folded: b\r\n\r\n",
      kLine + "A: b\nc\r\n\r\n",
      kLine + "Content-Length: 2\r\nContent-Length: 2\r\n\r\nok",
      kLine + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
      kLine + "Transfer-Encoding: gzip\r\n\r\n",
      kLine + "Content-Length: -1\r\n\r\n",
      kLine + "Content-Length: +1\r\n\r\n",
      kLine + "Content-Length: \r\n\r\n",
      kLine + "Content-Length: 1, 1\r\n\r\nx",
      "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
      "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      kLine + "Transfer-Encoding: chunked\r\n\r\nx\r\n",
      kLine + "Transfer-Encoding: chunked\r\n\r\n\r\n",
      kLine + "Transfer-Encoding: chunked\r\n\r\n1 ; a=b\r\nx\r\n0\r\n\r\n",
      kLine + "Transfer-Encoding: chunked\r\n\r\n1\r\nxx\r\n0\r\n\r\n",
      kLine + "Transfer-Encoding: chunked\r\n\r\n0\r\nno colon\r\n\r\n",
      kLine + "Transfer-Encoding: chunked\r\n\r\n" + std::string(40, '0') + "\r\n",
  };
  for (const std::string& stream : bad) {
    TestAnswerReader reader(false);
    EXPECT_EQ(reader.feed(stream), Outcome::bad) << stream;
    EXPECT_FALSE(reader.what().empty());
    EXPECT_EQ(reader.feed("more"), Outcome::bad);
    EXPECT_EQ(reader.end(), Outcome::bad);
  }
}

TEST(TestAnswer, Limits) {
  const std::string head = kLine + "A: ";
  const size_t most = TestAnswerReader::kMostHeadBytes - head.size();
  TestAnswerReader fits(false);
  EXPECT_EQ(fits.feed(head + std::string(most, 'x') + "\r\n\r\n"), Outcome::more);
  TestAnswerReader beyond(false);
  EXPECT_EQ(beyond.feed(head + std::string(most + 1, 'x') + "\r\n\r\n"), Outcome::bad);
  TestAnswerReader endless(false);
  EXPECT_EQ(endless.feed(head + std::string(most + 1, 'x')), Outcome::bad);
  TestAnswerReader body(false);
  EXPECT_EQ(body.feed(kLine + "\r\n" + std::string(TestAnswerReader::kMostBodyBytes, 'x')), Outcome::more);
  EXPECT_EQ(body.feed("x"), Outcome::bad);
}

}  // namespace
}  // namespace lastcall::test
