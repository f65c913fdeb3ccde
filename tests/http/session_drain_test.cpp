// The stop, as one connection sees it.

#include "tests/http/session_support.hpp"

namespace lastcall::test {
namespace {

using SessionDrain = SessionTest;

TEST_F(SessionDrain, RequestDuringTheDrainIsTheLast) {
  host.drain();
  EXPECT_TRUE(host.open_still());  // the worker decides when it has been idle for long enough
  Answer got = answer(get("/plaintext"));
  EXPECT_EQ(got.status, 200);
  EXPECT_TRUE(got.closes());
  EXPECT_EQ(host.reason(), CloseReason::finished);
  EXPECT_EQ(host.wish(), CloseWish::linger);  // the client did not ask for the close: more may be on its way
}

TEST_F(SessionDrain, OnlyTheLastOfPipelinedAnswersSaysClose) {
  host.drain();
  auto got = answers(get("/plaintext") + get("/users/1") + get("/nowhere") + get("/users/2"));
  ASSERT_EQ(got.size(), 4u);
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(got[i].closes(), i == 3) << i;
  EXPECT_FALSE(host.open_still());
}

TEST_F(SessionDrain, PipelineBehindAHandlerIsAnsweredToItsEnd) {
  host.receive(get("/sleep?ms=1000") + get("/sleep?ms=1000"));
  host.receive(post("/count", "hello") + post("/describe", "hello"));
  host.drain();
  host.advance(2s);
  auto got = read(host.take());
  ASSERT_EQ(got.size(), 4u);
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(got[i].closes(), i == 3) << i;
}

TEST_F(SessionDrain, PartOfANextRequestIsARequestToo) {
  host.receive(get("/sleep?ms=1000") + "GET /users/7 HT");
  host.drain();
  host.advance(1s);
  Answer got = parse_answer(host.take());
  EXPECT_EQ(got.body, "slept");
  EXPECT_FALSE(got.closes());
  got = answer("TP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(got.body, "7");
  EXPECT_TRUE(got.closes());
}

TEST_F(SessionDrain, UnreadBodyIsNoNextRequest) {
  host.drain();
  Answer got = answer(post("/nowhere", "hello"));
  EXPECT_EQ(got.status, 404);
  EXPECT_TRUE(got.closes());
  EXPECT_EQ(host.wish(), CloseWish::linger);
}

TEST_F(SessionDrain, RequestUnderWaySaysClose) {
  host.receive("POST /describe HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe");
  host.drain();
  Answer got = answer("llo");
  EXPECT_EQ(got.status, 200);
  EXPECT_TRUE(got.closes());
}

TEST_F(SessionDrain, StreamUnderWayFinishesThenIsIdle) {
  std::string stream = host.ask(get("/stream?n=5&ms=1000"));
  host.drain();
  host.advance(3s);
  EXPECT_TRUE(host.open_still());
  host.advance(1s);
  Answer got = parse_answer(stream + host.take());
  EXPECT_EQ(got.body, "piece\npiece\npiece\npiece\npiece\n");
  EXPECT_FALSE(got.closes());  // its head was out before
  // Nobody told the client to leave: from here on it is idle, and the worker closes it in the idle grace's
  // time.
  EXPECT_FALSE(host.session().active());
  EXPECT_TRUE(answer(get("/plaintext")).closes());
}

TEST_F(SessionDrain, PipelineBehindAnUnreadBodyIsAnswered) {
  host.drain();
  for (const std::string& first : {post("/nowhere", "hello"), post_chunked("/nowhere", 2)}) {
    auto got = answers(first + get("/plaintext"));
    ASSERT_EQ(got.size(), 2u);
    EXPECT_FALSE(got[0].closes());
    EXPECT_TRUE(got[1].closes());
    host.open();
  }
}

TEST_F(SessionDrain, HeadUnderWayHasFiveSeconds) {
  host.receive("GET / HT");
  host.advance(1s);
  host.drain();
  host.advance(4999ms);
  EXPECT_TRUE(host.open_still());
  host.advance(1ms);
  EXPECT_EQ(parse_answer(host.take()).status, 408);
}

TEST_F(SessionDrain, HeadUnderWayKeepsItsEarlierDeadline) {
  host.receive("GET / HT");
  host.advance(8s);
  host.drain();
  host.advance(2s);
  EXPECT_EQ(parse_answer(host.take()).status, 408);
}

TEST_F(SessionDrain, HeadThatBeginsDuringItHasFiveSeconds) {
  host.drain();
  host.receive("GET / HT");
  host.advance(4999ms);
  EXPECT_TRUE(host.open_still());
  host.advance(1ms);
  EXPECT_EQ(parse_answer(host.take()).status, 408);
}

struct Stage {
  const char* name;
  std::string request;
  const char* state;   // in the report
  const char* method;  // in the report
  const char* target;
  bool head_sent;
};

class ForceTest : public SessionTest, public ::testing::WithParamInterface<Stage> {};

TEST_P(ForceTest, Is503WhereNoHeadWasSentAndACutElsewhere) {
  const Stage& stage = GetParam();
  std::string before = host.ask(stage.request);
  host.drain();
  host.advance(250ms);
  AbortedExchange report;
  host.session().describe(report);
  EXPECT_EQ(report.state, stage.state);
  EXPECT_EQ(report.method, stage.method);
  EXPECT_EQ(report.target, stage.target);
  EXPECT_EQ(report.age_ms, 250);
  host.force();
  EXPECT_FALSE(host.open_still());
  EXPECT_EQ(host.reason(), CloseReason::forced);
  std::string stream = host.take();
  if (stage.head_sent) {
    EXPECT_EQ(stream, "");
    EXPECT_EQ(host.wish(), CloseWish::cut);
    EXPECT_FALSE(read(before).back().whole);
  } else {
    Answer got = parse_answer(stream);
    EXPECT_EQ(got.status, 503);
    EXPECT_TRUE(got.closes());
    EXPECT_EQ(got.field("Retry-After"), "1");
    EXPECT_EQ(host.wish(), CloseWish::linger);
  }
  EXPECT_EQ(host.outliving(), 0u);
}

INSTANTIATE_TEST_SUITE_P(
    Stages, ForceTest,
    ::testing::Values(Stage{"Head", "GET /plaintext HT", "head", "", "", false},
                      Stage{"Body", "POST /describe?a=b HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhe",
                            "body", "POST", "/describe?a=b", false},
                      Stage{"Sleeping", get("/sleep?ms=5000"), "handling", "GET", "/sleep?ms=5000", false},
                      Stage{"Reading", "POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhe",
                            "handling", "POST", "/count", false},
                      Stage{"Streaming", get("/stream?n=5&ms=1000"), "writing", "GET", "/stream?n=5&ms=1000",
                            true},
                      Stage{"Echoing", "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhe",
                            "writing", "POST", "/echo", true}),
    [](const auto& stage) { return stage.param.name; });

TEST_F(SessionDrain, ForceDuringADiscardedBodyOwesNothing) {
  EXPECT_EQ(answer("POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhe").status, 404);
  AbortedExchange report;
  host.session().describe(report);  // the bytes that the head came in are gone
  EXPECT_EQ(report.state, "writing");
  EXPECT_EQ(report.method, "POST");
  EXPECT_EQ(report.target, "/nowhere");
  host.force();
  EXPECT_EQ(host.take(), "");
  EXPECT_EQ(host.wish(), CloseWish::linger);
}

TEST_F(SessionDrain, ForceLeavesACloseUnderWayAlone) {
  host.set_window(0);
  host.receive(get("/plaintext", "Connection: close\r\n"));
  host.force();
  EXPECT_TRUE(host.open_still());
  host.set_window(SIZE_MAX);
  EXPECT_EQ(parse_answer(host.take()).status, 200);
  EXPECT_EQ(host.reason(), CloseReason::finished);
}

}  // namespace
}  // namespace lastcall::test
