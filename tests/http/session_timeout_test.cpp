// Who is too slow, and what it is told. Defaults: head 10 s, body 30 s, idle 75 s.

#include "tests/http/session_support.hpp"

namespace lastcall::test {
namespace {

using SessionTimeout = SessionTest;

TEST_F(SessionTimeout, SilentConnectionIsIdle) {
  host.advance(9999ms);
  EXPECT_TRUE(host.open_still());
  host.advance(1ms);
  EXPECT_EQ(host.reason(), CloseReason::idle_timeout);
  EXPECT_EQ(host.take(), "");
}

TEST_F(SessionTimeout, HeadHasTenSecondsFromItsFirstByte) {
  host.advance(9s);
  host.receive("GET / HT");
  host.advance(9999ms);
  EXPECT_EQ(host.take(), "");
  host.advance(1ms);
  Answer got = parse_answer(host.take());
  EXPECT_EQ(got.status, 408);
  EXPECT_TRUE(got.closes());
  EXPECT_EQ(host.reason(), CloseReason::timed_out);
  EXPECT_EQ(host.wish(), CloseWish::linger);
}

TEST_F(SessionTimeout, DrippingHeadGetsNoMoreTime) {
  std::string request = get("/plaintext", "X: " + std::string(100, 'x') + "\r\n");
  for (size_t second = 0; second < 9; ++second) {
    host.receive(request.substr(second, 1));
    host.advance(1s);
  }
  EXPECT_TRUE(host.open_still());
  host.receive(request.substr(9, 1));
  host.advance(1s);
  EXPECT_EQ(parse_answer(host.take()).status, 408);
}

TEST_F(SessionTimeout, SecondHeadHasItsOwnTenSeconds) {
  EXPECT_EQ(answer(get("/plaintext") + "GET").status, 200);
  host.advance(9999ms);
  EXPECT_TRUE(host.open_still());
  host.advance(1ms);
  EXPECT_EQ(parse_answer(host.take()).status, 408);
}

TEST_F(SessionTimeout, BetweenRequestsIsTheIdleTimeout) {
  EXPECT_EQ(answer(get("/plaintext")).status, 200);
  host.advance(74'999ms);
  EXPECT_TRUE(host.open_still());
  host.advance(1ms);
  EXPECT_EQ(host.reason(), CloseReason::idle_timeout);
}

TEST_F(SessionTimeout, EmptyLinesAreNoRequest) {
  EXPECT_EQ(answer(get("/plaintext") + "\r\n").status, 200);
  EXPECT_FALSE(host.session().active());
  host.advance(75s);
  EXPECT_EQ(host.reason(), CloseReason::idle_timeout);
}

TEST_F(SessionTimeout, BodyIsLateWhenNothingComesForThirtySeconds) {
  for (std::string_view target : {"/describe", "/count", "/echo"}) {
    std::string request = post(target, "hello");
    host.receive(request.substr(0, request.size() - 5));
    host.advance(29'999ms);
    EXPECT_TRUE(host.open_still());
    host.advance(1ms);
    EXPECT_EQ(parse_answer(host.take()).status, 408) << target;
    EXPECT_EQ(host.reason(), CloseReason::timed_out);
    EXPECT_EQ(host.outliving(), 0u);
    host.open();
  }
}

TEST_F(SessionTimeout, DrippingBodyIsProgress) {
  for (std::string_view target : {"/describe", "/count"}) {
    std::string request = post(target, "hello");
    host.receive(request.substr(0, request.size() - 5));
    for (char c : std::string_view("hello")) {
      host.advance(29s);
      host.receive(std::string_view(&c, 1));
    }
    EXPECT_EQ(parse_answer(host.take()).status, 200) << target;
  }
}

// Bytes that frame a chunk end no read(): the handler goes on waiting, and so does the clock.
TEST_F(SessionTimeout, PieceOfAChunkLineDoesNotStopTheClockOfTheBody) {
  for (std::string_view target : {"/describe", "/count"}) {
    host.receive("POST " + std::string(target) +
                 " HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5");
    host.advance(29'999ms);
    EXPECT_TRUE(host.open_still()) << target;
    host.advance(1ms);
    EXPECT_EQ(parse_answer(host.take()).status, 408) << target;
    EXPECT_EQ(host.outliving(), 0u);
    host.open();
  }
}

TEST_F(SessionTimeout, BodyLateBehindAStartedAnswerBreaksItOff) {
  host.receive("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello");
  host.advance(30s);
  EXPECT_EQ(host.wish(), CloseWish::linger);
  EXPECT_EQ(host.reason(), CloseReason::timed_out);
  EXPECT_FALSE(read(host.take()).at(0).whole);
}

TEST_F(SessionTimeout, UnwantedBodyThatStopsEndsTheConnection) {
  EXPECT_EQ(answer("POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello").status, 404);
  host.advance(29'999ms);
  EXPECT_TRUE(host.open_still());
  host.advance(1ms);
  EXPECT_EQ(host.reason(), CloseReason::timed_out);
  EXPECT_EQ(host.take(), "");
}

TEST_F(SessionTimeout, UnwantedBodyThatStopsLeavesTheAnswerWhole) {
  host.set_window(10);
  host.receive("POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello");
  host.advance(30s);
  EXPECT_TRUE(host.open_still());
  EXPECT_TRUE(parse_answer(host.take()).whole);
  EXPECT_EQ(host.wish(), CloseWish::linger);
}

TEST_F(SessionTimeout, HandlersMayTakeTheirTime) {
  host.receive(get("/sleep?ms=3600000"));
  host.advance(3599s);
  EXPECT_TRUE(host.session().active());
  host.advance(1s);
  EXPECT_EQ(parse_answer(host.take()).body, "slept");
  EXPECT_TRUE(host.open_still());
}

TEST_F(SessionTimeout, SlowlyTakenAnswerIsNotAnIdleConnection) {
  host.set_window(100);
  host.receive(get("/big?n=1000"));
  host.advance(80s);
  EXPECT_TRUE(host.open_still());
  EXPECT_EQ(parse_answer(host.take()).body, std::string(1000, 'x'));  // and no 408 behind it
  EXPECT_TRUE(host.open_still());
  host.advance(76s);
  EXPECT_EQ(host.reason(), CloseReason::idle_timeout);
}

TEST(SessionLimits, TimeoutsAreTheOptions) {
  SessionHost host({.limits = {}, .header_timeout = 1s, .body_timeout = 2s, .idle_timeout = 3s});
  add_routes(host);
  host.receive("G");
  host.advance(1s);
  EXPECT_EQ(parse_answer(host.take()).status, 408);
  host.open();
  host.receive("POST /describe HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n");
  host.advance(2s);
  EXPECT_EQ(parse_answer(host.take()).status, 408);
  host.open();
  EXPECT_EQ(parse_answer(host.ask(get("/plaintext"))).status, 200);
  host.advance(3s);
  EXPECT_EQ(host.reason(), CloseReason::idle_timeout);
}

}  // namespace
}  // namespace lastcall::test
