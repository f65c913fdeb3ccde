#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "tests/http/framing_support.hpp"
#include "tests/support/allocation_counter.hpp"

// Bodies by length and chunked. chunked() tries each body whole and in pieces of every size.
namespace lastcall::testing {
namespace {

void expect_same(const Decoded& left, const Decoded& right, std::string_view text, size_t piece) {
  EXPECT_EQ(left.outcome, right.outcome) << "in pieces of " << piece << ": " << text;
  EXPECT_EQ(left.refusal.status, right.refusal.status) << "in pieces of " << piece << ": " << text;
  EXPECT_STREQ(left.refusal.what, right.refusal.what) << "in pieces of " << piece << ": " << text;
  EXPECT_EQ(left.data, right.data) << "in pieces of " << piece << ": " << text;
  EXPECT_EQ(left.trailers, right.trailers) << "in pieces of " << piece << ": " << text;
  if (left.outcome == BodyOutcome::complete) {
    EXPECT_EQ(left.consumed, right.consumed) << text;
  }
}

Decoded chunked(std::string_view text, const Limits& limits = {}) {
  BodyDecoder decoder;
  decoder.set_max_body_bytes(limits.max_body_bytes);
  decoder.start_chunked(limits);
  const Decoded whole = decode(decoder, text);
  EXPECT_EQ(decoder.complete(), whole.outcome == BodyOutcome::complete);
  for (size_t piece = 1; piece <= text.size(); piece += piece < 60 ? 1 : 97) {
    decoder.start_chunked(limits);
    expect_same(decode(decoder, text, piece), whole, text, piece);
  }
  return whole;
}
int chunked_status(std::string_view text, const Limits& limits = {}) {
  return chunked(text, limits).refusal.status;
}

TEST(BodyDecoder, NothingIsCompleteAtOnce) {
  BodyDecoder decoder;
  decoder.start_length(0);
  const auto step = decoder.next("GET / HTTP/1.1\r\n");
  EXPECT_EQ(step.outcome, BodyOutcome::complete);
  EXPECT_EQ(step.consumed, 0u);
  EXPECT_TRUE(decoder.complete());
  EXPECT_EQ(decoder.next("more").outcome, BodyOutcome::complete) << "and stays so";
}

TEST(BodyDecoder, LengthEndsWhereItSays) {
  const std::string text = "hello, world!GET /next";
  for (size_t piece = 0; piece < text.size(); ++piece) {
    BodyDecoder decoder;
    decoder.start_length(13);
    const Decoded decoded = decode(decoder, text, piece);
    EXPECT_EQ(decoded.outcome, BodyOutcome::complete);
    EXPECT_EQ(decoded.data, "hello, world!");
    EXPECT_EQ(decoded.consumed, 13u);
    EXPECT_EQ(decoded.received, 13u);
    EXPECT_EQ(decoded.pieces, piece == 0 ? 1u : (12 + piece) / piece);
  }
}

TEST(BodyDecoder, LengthWaitsForTheRest) {
  BodyDecoder decoder;
  decoder.start_length(3);
  EXPECT_EQ(decode(decoder, "ab").outcome, BodyOutcome::more);
  EXPECT_FALSE(decoder.complete());
  EXPECT_EQ(decoder.received(), 2u);
  EXPECT_EQ(decode(decoder, "c").outcome, BodyOutcome::complete);
}

TEST(BodyDecoder, LengthAtTheLimitAndBeyond) {
  BodyDecoder decoder;
  decoder.set_max_body_bytes(5);
  decoder.start_length(5);
  EXPECT_EQ(decode(decoder, "12345").outcome, BodyOutcome::complete);
  decoder.start_length(6);
  const auto step = decoder.next("");
  EXPECT_EQ(step.outcome, BodyOutcome::refused) << "before a byte has come";
  EXPECT_EQ(step.refusal.status, 413);
  EXPECT_EQ(decoder.next("123456").refusal.status, 413) << "and stays so";
  EXPECT_FALSE(decoder.complete());
  decoder.set_max_body_bytes(0);
  decoder.start_length(0);
  EXPECT_EQ(decoder.next("").outcome, BodyOutcome::complete);
}

TEST(BodyDecoder, Chunks) {
  const std::string text = "5\r\nhello\r\nA\r\n, chunked \r\n06\r\nworld!\r\n0\r\n\r\n";
  const Decoded decoded = chunked(text + "GET /next");
  EXPECT_EQ(decoded.outcome, BodyOutcome::complete);
  EXPECT_EQ(decoded.data, "hello, chunked world!");
  EXPECT_EQ(decoded.consumed, text.size());
  EXPECT_EQ(decoded.received, 21u);
  EXPECT_EQ(decoded.pieces, 3u) << "one piece a chunk when the input is whole";
  EXPECT_TRUE(decoded.trailers.empty());
}

TEST(BodyDecoder, NoChunks) {
  for (const char* text : {"0\r\n\r\n", "000000000000000\r\n\r\n", "0;a\r\n\r\n"}) {
    const Decoded decoded = chunked(text);
    EXPECT_EQ(decoded.outcome, BodyOutcome::complete) << text;
    EXPECT_EQ(decoded.consumed, std::string_view(text).size());
    EXPECT_EQ(decoded.received, 0u);
  }
}

TEST(BodyDecoder, CutBodiesAreIncompleteAtEveryByte) {
  const std::string text = "5;a=\"b\"\r\nhello\r\n0\r\nX: y\r\n\r\n";
  for (size_t cut = 0; cut < text.size(); ++cut) {
    EXPECT_EQ(chunked(text.substr(0, cut)).outcome, BodyOutcome::more) << cut;
    BodyDecoder decoder;
    decoder.start_chunked({});
    EXPECT_EQ(decode(decoder, text.substr(0, cut)).outcome, BodyOutcome::more);
    EXPECT_FALSE(decoder.complete());
    EXPECT_EQ(decode(decoder, text.substr(cut)).outcome, BodyOutcome::complete) << cut;
    EXPECT_EQ(decoder.received(), 5u);
    ASSERT_EQ(decoder.trailers().size(), 1u);
  }
}

TEST(BodyDecoder, ChunkSizeIsHexDigits) {
  for (const char* text :
       {"\r\n", " 5\r\n", "5 \r\n", "5\t\r\n", "+5\r\n", "-5\r\n", "0x5\r\n", "g\r\n", "5g\r\n", "5.\r\n",
        ";a=b\r\n", "5,\r\n", "\n", "5\n", "5\rZ", "5\r\r\n", "\r5\r\n", "5 5\r\n"}) {
    EXPECT_EQ(chunked_status(std::string(text) + "hello\r\n0\r\n\r\n"), 400) << text;
  }
  EXPECT_EQ(chunked("a\r\n0123456789\r\nB\r\n0123456789a\r\n0\r\n\r\n").received, 21u);
}

TEST(BodyDecoder, ChunkSizeDigitsAtTheLimitAndBeyond) {
  Limits limits;
  limits.max_body_bytes = UINT64_MAX;
  EXPECT_EQ(chunked(std::string(kMaxChunkSizeDigits, '0') + "\r\n\r\n").outcome, BodyOutcome::complete);
  EXPECT_EQ(chunked_status(std::string(kMaxChunkSizeDigits + 1, '0') + "\r\n\r\n"), 400);
  EXPECT_EQ(chunked(std::string(kMaxChunkSizeDigits, 'f') + "\r\nxy", limits).data, "xy");
  EXPECT_EQ(chunked_status(std::string(kMaxChunkSizeDigits + 1, 'f'), limits), 400);
  EXPECT_EQ(chunked_status("1\r\nx\r\n" + std::string(kMaxChunkSizeDigits, 'f') + "\r\n", limits), 0);
  limits.max_body_bytes = (uint64_t{1} << 60) - 1;
  EXPECT_EQ(chunked_status("1\r\nx\r\n" + std::string(kMaxChunkSizeDigits, 'f') + "\r\n", limits), 413);
}

TEST(BodyDecoder, ChunkDataEndsInReturnLineFeed) {
  for (const char* end : {"XX", "\n", "\r\r\n", "\n\n", "\rX", " \r\n", "0\r\n", "\n\r"}) {
    EXPECT_EQ(chunked_status("5\r\nhello"s + end + "0\r\n\r\n"), 400) << end;
  }
}

TEST(BodyDecoder, LastChunkEndsInReturnLineFeed) {
  for (const char* text : {"0\r\n\nGET", "0\n\r\n", "0\n\n", "0\r\r\n", "0\r\n\rX", "0\r\n\r\r\n",
                           "0\r\n \r\n", "0\r\n\t\r\n"}) {
    EXPECT_EQ(chunked_status(text), 400) << text;
  }
}

TEST(BodyDecoder, ExtensionsAreSkipped) {
  for (const char* extension : {";a", ";a=b", ";a=b;c=d", ";a;b;c", ";a=\"\"", ";a=\"b;c\"", ";a=\"b\\\"c\"",
                                ";a=\"\\\\\"", ";a=\"b\";c=\"d\"", " ;a", "\t ; a = b ; c", ";a =b",
                                ";a= \"b\" ;c", ";a=\"\x80 \t\"", ";a=\"\\\t\"", ";!#$%&'*+-.^_`|~=~"}) {
    const Decoded decoded = chunked("5"s + extension + "\r\nhello\r\n0" + extension + "\r\n\r\n");
    EXPECT_EQ(decoded.outcome, BodyOutcome::complete) << extension << ": " << decoded.refusal.what;
    EXPECT_EQ(decoded.data, "hello") << extension;
  }
}

TEST(BodyDecoder, ExtensionsMustBeGrammatical) {
  for (const char* extension : {";",
                                ";;a",
                                ";=x",
                                ";a=",
                                ";a=;b",
                                ";a=b=c",
                                ";a b",
                                ";a=b c",
                                ";a=\"b",
                                ";a=\"b\"c",
                                ";a=\"b\rc\"",
                                ";a=\"b\nc\"",
                                ";a=\"b\\\x01\"",
                                ";a=b\"c\"",
                                ";a=\x80",
                                ";a ",
                                ";a=b ",
                                ";a=\"b\" ",
                                " ",
                                ";a=b\rZ",
                                ";a=b\n",
                                ";a\rZ",
                                ";a\x01",
                                ";a=\"\x7f\"",
                                ";a=\"b\"\rZ",
                                ";a=b;",
                                "; ",
                                ",a",
                                ";a,b",
                                ";(a)",
                                ";\r\n;a"}) {
    EXPECT_EQ(chunked_status("5"s + extension + "\r\nhello\r\n0\r\n\r\n"), 400) << extension;
  }
}

TEST(BodyDecoder, ChunkLineAtTheLimitAndBeyond) {
  const std::string exact = "5;a=" + std::string(kMaxChunkLineBytes - 6, 'b') + "\r\n";
  ASSERT_EQ(exact.size(), kMaxChunkLineBytes);
  EXPECT_EQ(chunked(exact + "hello\r\n0\r\n\r\n").outcome, BodyOutcome::complete);
  EXPECT_EQ(chunked(exact + "hello\r\n" + exact + "hello\r\n0\r\n\r\n").outcome, BodyOutcome::complete)
      << "each line anew";
  EXPECT_EQ(chunked_status("5;a=" + std::string(kMaxChunkLineBytes - 5, 'b') + "\r\nhello\r\n0\r\n\r\n"),
            400);
  EXPECT_EQ(chunked_status("5;a=" + std::string(kMaxChunkLineBytes - 4, 'b')), 400)
      << "without waiting for the end";
}

TEST(BodyDecoder, ChunksAtTheBodyLimitAndBeyond) {
  Limits limits;
  limits.max_body_bytes = 10;
  EXPECT_EQ(chunked("5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n", limits).outcome, BodyOutcome::complete);
  EXPECT_EQ(chunked_status("5\r\nhello\r\n6", limits), 413) << "as soon as the size is certain";
  EXPECT_EQ(chunked_status("a", limits), 0);
  EXPECT_EQ(chunked_status("b", limits), 413);
  EXPECT_EQ(chunked_status("10", limits), 413);
  BodyDecoder decoder;
  decoder.set_max_body_bytes(limits.max_body_bytes);
  decoder.start_chunked(limits);
  EXPECT_EQ(decode(decoder, "5\r\nhello\r\nf").data, "hello");
  EXPECT_EQ(decoder.next("\r\n").refusal.status, 413) << "stays refused";
  decoder.start_chunked(limits);
  EXPECT_EQ(decode(decoder, "0\r\n\r\n").outcome, BodyOutcome::complete) << "until the next start";
}

TEST(BodyDecoder, Trailers) {
  const std::string text = "1\r\nx\r\n0\r\nX-Sum: \t abc \r\nEmpty:\r\nx-sum:def\r\n\r\n";
  const Decoded decoded = chunked(text + "GET /next");
  EXPECT_EQ(decoded.outcome, BodyOutcome::complete);
  const std::vector<std::pair<std::string, std::string>> expected = {
      {"X-Sum", "abc"}, {"Empty", ""}, {"x-sum", "def"}};
  EXPECT_EQ(decoded.trailers, expected);
  EXPECT_EQ(decoded.consumed, text.size());
}

TEST(BodyDecoder, TrailersAreForgottenAtTheNextStart) {
  BodyDecoder decoder;
  decoder.start_chunked({});
  EXPECT_EQ(decode(decoder, "0\r\nX: a\r\n\r\n").trailers.size(), 1u);
  decoder.start_chunked({});
  EXPECT_TRUE(decoder.trailers().empty());
  EXPECT_EQ(decode(decoder, "0\r\nY: b\r\n\r\n", 1).trailers.front().first, "Y");
  decoder.start_length(0);
  EXPECT_TRUE(decoder.trailers().empty());
}

TEST(BodyDecoder, TrailersAreAsStrictAsHeaders) {
  for (const char* lines : {"X : 1\r\n", "X Y: 1\r\n", ": 1\r\n", ":\r\n", "X: 1\r\n 2\r\n", " X: 1\r\n",
                            "X:\rZContent-Length: 5\r\n", "X: a\rb\r\n", "X: 1\n", "X\r\n", "X: \x01\r\n",
                            "X: 1\r\r\n", "X: \x7f\r\n", "X\x80: 1\r\n"}) {
    EXPECT_EQ(chunked_status("0\r\n"s + lines + "\r\n"), 400) << lines;
  }
  EXPECT_EQ(chunked_status("0\r\nX: \0\r\n\r\n"s), 400);
}

TEST(BodyDecoder, TrailersMayNotFrameRouteOrAuthenticate) {
  for (const char* name : {"Content-Length",
                           "content-length",
                           "Transfer-Encoding",
                           "Host",
                           "Connection",
                           "Upgrade",
                           "TE",
                           "Trailer",
                           "Content-Type",
                           "Content-Encoding",
                           "Content-Range",
                           "Content-Anything",
                           "Authorization",
                           "Proxy-Authorization",
                           "Cookie",
                           "Set-Cookie",
                           "Expect",
                           "Max-Forwards",
                           "Cache-Control",
                           "Pragma",
                           "Range",
                           "If-Match",
                           "If-None-Match",
                           "If-Modified-Since",
                           "If-Unmodified-Since",
                           "If-Range",
                           "Keep-Alive",
                           "Proxy-Connection"}) {
    EXPECT_EQ(chunked_status("0\r\nX: 1\r\n"s + name + ": 5\r\n\r\n"), 400) << name;
  }
  EXPECT_EQ(chunked_status("0\r\nContents: 1\r\nX-Host: 1\r\nETag: 1\r\n\r\n"), 0);
}

TEST(BodyDecoder, TrailerBytesAtTheLimitAndBeyond) {
  Limits limits;
  limits.max_trailer_bytes = 64;
  const auto body = [](size_t bytes) { return "0\r\nX:" + std::string(bytes - 4, 'v') + "\r\n\r\n"; };
  EXPECT_EQ(chunked(body(64), limits).outcome, BodyOutcome::complete);
  EXPECT_EQ(chunked(body(64) + std::string(99, 'n'), limits).consumed, body(64).size());
  EXPECT_EQ(chunked_status(body(65), limits), 431);
  limits.max_trailer_bytes = 0;
  EXPECT_EQ(chunked("0\r\n\r\n", limits).outcome, BodyOutcome::complete) << "no trailers is never too many";
  EXPECT_EQ(chunked_status("0\r\nX:\r\n\r\n", limits), 431);
}

TEST(BodyDecoder, TrailerFieldsAtTheLimitAndBeyond) {
  Limits limits;
  limits.max_fields = 2;
  EXPECT_EQ(chunked("0\r\nA:\r\nB:\r\n\r\n", limits).trailers.size(), 2u);
  EXPECT_EQ(chunked_status("0\r\nA:\r\nB:\r\nC:\r\n\r\n", limits), 431);
}

TEST(BodyDecoder, BodiesWithoutTrailersTakeNoMemory) {
  const std::string text = "5;a=b\r\nhello\r\n0\r\n\r\n" + std::string(1000, 'n');
  BodyDecoder decoder;
  const test::AllocationCounter counter;
  decoder.start_chunked({});
  const auto step = decoder.next(text);
  ASSERT_EQ(step.outcome, BodyOutcome::data);
  ASSERT_EQ(decoder.next(std::string_view(text).substr(step.consumed)).outcome, BodyOutcome::complete);
  EXPECT_EQ(counter.count(), 0u);
}

TEST(BodyDecoder, LargeChunksAreNotCopied) {
  const std::string body(1 << 20, 'b');
  const std::string text = "100000\r\n" + body + "\r\n0\r\n\r\n";
  BodyDecoder decoder;
  decoder.start_chunked({});
  const auto step = decoder.next(text);
  ASSERT_EQ(step.outcome, BodyOutcome::data);
  EXPECT_EQ(step.data.size(), body.size());
  EXPECT_EQ(step.data.data(), text.data() + 8);
  EXPECT_EQ(step.consumed, body.size() + 8);
}

}  // namespace
}  // namespace lastcall::testing
