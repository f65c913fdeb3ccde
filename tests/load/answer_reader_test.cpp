#include "tools/loadgen/answer_reader.hpp"

#include <gtest/gtest.h>

#include <string>

namespace lastcall::load {
namespace {

constexpr std::string_view kCounted = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
constexpr std::string_view kChunked =
    "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n5\r\nhello\r\nA;x=y\r\n0123456789\r\n0\r\nT: "
    "v\r\n\r\n";
constexpr std::string_view kInterim =
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n";

AnswerReader read(std::string_view bytes, bool to_head = false) {
  AnswerReader reader;
  reader.start(to_head);
  reader.feed(bytes);
  return reader;
}

TEST(AnswerReader, FindsTheEndWhereverTheBytesAreCut) {
  for (std::string_view answer : {kCounted, kChunked, kInterim}) {
    std::string bytes = std::string(answer) + "HTTP/1.1 500 the next";
    for (size_t cut = 0; cut <= answer.size(); ++cut) {
      AnswerReader reader;
      reader.start(false);
      size_t used = reader.feed(std::string_view(bytes).substr(0, cut));
      EXPECT_EQ(used, cut);
      EXPECT_EQ(reader.complete(), cut == answer.size()) << cut;
      EXPECT_EQ(reader.started(), cut > 0);
      used += reader.feed(std::string_view(bytes).substr(cut));
      EXPECT_EQ(used, answer.size()) << cut;
      EXPECT_TRUE(reader.complete()) << cut;
      EXPECT_FALSE(reader.closes());
    }
    AnswerReader reader;
    reader.start(false);
    for (char c : answer) {
      EXPECT_FALSE(reader.complete());
      reader.feed({&c, 1});
    }
    EXPECT_TRUE(reader.complete());
  }
}

TEST(AnswerReader, AnswersWithoutABody) {
  EXPECT_TRUE(read("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n").complete());
  EXPECT_TRUE(read("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", true).complete());
  EXPECT_TRUE(read("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n").complete());
  EXPECT_EQ(read("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").status(), 404);
}

TEST(AnswerReader, KnowsWhenTheConnectionEnds) {
  EXPECT_TRUE(read("HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 0\r\n\r\n").closes());
  EXPECT_TRUE(read("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n").closes());
  EXPECT_FALSE(read("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n").closes());
  EXPECT_FALSE(read("HTTP/1.1 200 OK\r\nX: close\r\nContent-Length: 0\r\n\r\n").closes());
  EXPECT_TRUE(read("HTTP/1.1 101 Switching Protocols\r\n\r\n").closes());
}

TEST(AnswerReader, AnEndlessBodyIsCompleteAtTheEndOfStream) {
  AnswerReader reader = read("HTTP/1.1 200 OK\r\n\r\nsome");
  EXPECT_FALSE(reader.complete());
  EXPECT_TRUE(reader.closes());
  EXPECT_TRUE(reader.end_of_stream());
  for (size_t cut = 0; cut < kCounted.size(); ++cut) {
    EXPECT_FALSE(read(kCounted.substr(0, cut)).end_of_stream()) << cut;
  }
}

TEST(AnswerReader, RefusesWhatIsNoAnswer) {
  for (const char* bytes :
       {"SSH-2.0\r\n", "x", "HTTP/2", "HTTP/1.1 2x0 OK\r\n\r\n", "HTTP/1.1 099 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\na"}) {
    EXPECT_TRUE(read(bytes).malformed()) << bytes;
  }
}

TEST(AnswerReader, BoundsWhatItKeeps) {
  AnswerReader reader = read("HTTP/1.1 200 OK\r\nX: ");
  std::string more(AnswerReader::kMostHeadBytes, 'a');
  reader.feed(more);
  EXPECT_TRUE(reader.malformed());
  AnswerReader lines = read("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;");
  lines.feed(std::string(AnswerReader::kMostLineBytes, 'a'));
  EXPECT_TRUE(lines.malformed());
}

}  // namespace
}  // namespace lastcall::load
