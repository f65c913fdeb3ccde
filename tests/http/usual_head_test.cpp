#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "tests/http/framing_support.hpp"

// RequestParser::read_usual(): what it takes, and that it leaves the rest alone. That it agrees with the
// strict way is asked of every head that any of these tests parses: parse() does.
namespace lastcall::testing {
namespace {

bool is_usual(std::string_view text, const Limits& limits = {}) {
  return agrees_with_usual(text, limits, parse_strictly(text, limits, 0));
}

TEST(UsualHead, WhatClientsSend) {
  EXPECT_TRUE(is_usual("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
  EXPECT_TRUE(is_usual("HEAD /a/b.c HTTP/1.1\r\nhost:a:80\r\n\r\n"));
  EXPECT_TRUE(is_usual("GET /a?b=c&d=e HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n"));
  EXPECT_TRUE(is_usual("GET /? HTTP/1.1\r\nHost: \r\nX:\r\nY:  \t b \t \r\n\r\n"));
  EXPECT_TRUE(is_usual("GET / HTTP/1.1\r\nA: 1\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\n"));
  EXPECT_TRUE(is_usual("GET / HTTP/1.1\r\nHost: a\r\nCONNECTION: close\r\n\r\nGET /more"));
  EXPECT_TRUE(is_usual("GET / HTTP/1.1\r\nHost: a\r\nCookie: \x80\xff=\"x\"\r\n\r\n"));
}

TEST(UsualHead, WhatDecidesMoreThanOneRequestIsLookedAtTwice) {
  for (const char* const lines :
       {"Content-Length: 0", "Transfer-Encoding: chunked", "Expect: 100-continue", "Expect: x",
        "Upgrade: websocket", "Connection: upgrade", "Connection: close, x", "Connection:", "Host: b"}) {
    EXPECT_FALSE(is_usual("GET / HTTP/1.1\r\nHost: a\r\n" + std::string(lines) + "\r\n\r\n")) << lines;
  }
  for (const char* const line :
       {"POST / HTTP/1.1", "GET /%20 HTTP/1.1", "GET http://a/ HTTP/1.1", "OPTIONS * HTTP/1.1",
        "GET / HTTP/1.0", "GET / HTTP/1.2", "GETX / HTTP/1.1", "GET /[ HTTP/1.1"}) {
    EXPECT_FALSE(is_usual(std::string(line) + "\r\nHost: a\r\n\r\n")) << line;
  }
  EXPECT_FALSE(is_usual("GET / HTTP/1.1\r\nA: b\r\n\r\n"));
  EXPECT_FALSE(is_usual("GET / HTTP/1.1\r\nHost: a b\r\n\r\n"));
  EXPECT_FALSE(is_usual("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"));
}

TEST(UsualHead, NothingShortOfTheLastByte) {
  constexpr std::string_view kHead = "GET /path?query HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
  for (size_t size = 0; size < kHead.size(); ++size) EXPECT_FALSE(is_usual(kHead.substr(0, size))) << size;
  EXPECT_TRUE(is_usual(kHead));
}

TEST(UsualHead, NoDamagedByte) {
  constexpr std::string_view kHead =
      "GET /a HTTP/1.1\r\nHost: abcdefghijklmnopqrstuvwxyz\r\nB: 0123456789abcdefgh\r\n\r\n";
  for (size_t at = 0; at < kHead.size(); ++at) {
    for (const char c : {'\0', '\r', '\n', '\x7f', ':', ' ', '%', 'x'}) {
      std::string damaged(kHead);
      damaged[at] = c;
      is_usual(damaged);  // agrees, whatever it says
    }
    for (const char c : {'\0', '\x7f', '\x01'}) {
      std::string damaged(kHead);
      damaged[at] = c;
      EXPECT_FALSE(is_usual(damaged)) << at;
    }
  }
}

TEST(UsualHead, NoMoreFieldsThanThereIsRoomFor) {
  RequestParser parser;
  RequestHead head;
  head.fields.reserve(2);
  ASSERT_EQ(head.fields.capacity(), 2u);
  EXPECT_NE(parser.read_usual("GET / HTTP/1.1\r\nHost: a\r\nB: c\r\n\r\n", {}, head), 0u);
  EXPECT_EQ(parser.read_usual("GET / HTTP/1.1\r\nHost: a\r\nB: c\r\nD: e\r\n\r\n", {}, head), 0u);
  EXPECT_EQ(head.fields.capacity(), 2u);
}

TEST(UsualHead, AtTheLimitsAndBeyond) {
  const std::string head = "GET /abc HTTP/1.1\r\nHost: a\r\nB: c\r\n\r\n";
  const auto size = static_cast<uint32_t>(head.size());
  EXPECT_TRUE(is_usual(head, {.max_header_bytes = size, .max_target_bytes = 4, .max_fields = 2}));
  EXPECT_FALSE(is_usual(head, {.max_header_bytes = size - 1}));
  EXPECT_FALSE(is_usual(head, {.max_target_bytes = 3}));
  EXPECT_FALSE(is_usual(head, {.max_fields = 1}));
}

}  // namespace
}  // namespace lastcall::testing
