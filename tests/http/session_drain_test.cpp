// The stop, as one connection sees it.

#include <set>

#include "tests/http/session_support.hpp"

namespace lastcall::test {
namespace {

class SessionDrain : public SessionTest {
 protected:
  /// Whom the report would name, a line each.
  std::string report() {
    std::string text;
    for (const AbortedExchange& one : host.unanswered())
      text += one.state + " " + one.method + " " + one.target + "\n";
    return text;
  }
};

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

TEST_F(SessionDrain, AHandlerThatWatchesTheDrainTokenAnswersAtOnce) {
  host.on(Method::get, "/watch", [](Request& request, Response& response) -> Task<> {
    bool whole = co_await sleep_for(1h, request.drain_token());
    response.text(whole || request.aborted() ? "not this" : "bye");
  });
  host.receive(get("/watch"));
  host.drain();
  host.run_mail();
  Answer got = parse_answer(host.take());
  EXPECT_EQ(got.body, "bye");
  EXPECT_TRUE(got.closes());
}

TEST_F(SessionDrain, TheStopTokenIsRequestedWhenNobodyWaitsAnyMore) {
  std::vector<std::stop_token> tokens;
  int left = 0;
  host.on(Method::get, "/keep", [&tokens, &left](Request& request, Response&) -> Task<> {
    tokens.push_back(request.stop_token());
    co_await request.disconnected();
    EXPECT_TRUE(request.aborted());
    ++left;
  });
  host.receive(get("/keep"));
  host.drain();
  host.run_mail();
  EXPECT_EQ(left, 0);  // a drain is no reason to give up
  EXPECT_FALSE(tokens.at(0).stop_requested());
  host.force();
  EXPECT_EQ(left, 1);
  EXPECT_TRUE(tokens.at(0).stop_requested());
}

TEST_F(SessionDrain, TheStopTokenIsRequestedWhenTheClientIsGone) {
  std::stop_token token;
  int left = 0;
  host.on(Method::get, "/keep", [&token, &left](Request& request, Response&) -> Task<> {
    token = request.stop_token();
    co_await request.disconnected();
    ++left;
  });
  host.receive(get("/keep"));
  EXPECT_FALSE(token.stop_requested());
  host.vanish();
  EXPECT_EQ(left, 1);
  EXPECT_TRUE(token.stop_requested());
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

TEST_P(ForceTest, Is503WhereNoHeadWasSentAndAnEndInTheMiddleElsewhere) {
  const Stage& stage = GetParam();
  std::string before = host.ask(stage.request);
  host.drain();
  host.advance(250ms);
  const std::vector<AbortedExchange> report = host.unanswered();
  ASSERT_EQ(report.size(), 1u);
  EXPECT_EQ(report[0].state, stage.state);
  EXPECT_EQ(report[0].method, stage.method);
  EXPECT_EQ(report[0].target, stage.target);
  EXPECT_EQ(report[0].age_ms, 250);
  host.force();
  EXPECT_FALSE(host.open_still());
  EXPECT_EQ(host.reason(), CloseReason::forced);
  std::string stream = host.take();
  if (stage.head_sent) {
    EXPECT_EQ(stream, "");
    EXPECT_EQ(host.wish(), CloseWish::linger);
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
  EXPECT_EQ(report(), "");
  host.force();
  EXPECT_EQ(host.take(), "");
  EXPECT_EQ(host.wish(), CloseWish::linger);
}

// An answer that nobody takes is owed, with whatever body.
TEST_F(SessionDrain, AnswerToADiscardedBodyIsReportedUntilItIsSent) {
  host.set_window(10);
  host.receive("POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhe");
  EXPECT_EQ(report(), "writing POST /nowhere\n");  // the bytes that the head came in are gone
  host.set_window(SIZE_MAX);
  host.settle();
  EXPECT_EQ(report(), "");
}

TEST_F(SessionDrain, BodyOfAnAnsweredRequestHasFiveSecondsLeft) {
  EXPECT_EQ(answer("POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhe").status, 404);
  host.drain();
  host.advance(4999ms);
  EXPECT_TRUE(host.open_still());
  host.advance(1ms);
  EXPECT_FALSE(host.open_still());
  EXPECT_EQ(host.wish(), CloseWish::linger);
}

TEST_F(SessionDrain, ReportNamesWhoWaitsBehindAHandler) {
  host.receive(get("/sleep?ms=5000") + get("/plaintext?a=b") + post("/echo", "hello"));
  host.advance(100ms);
  host.receive(post_chunked("/describe", 3, "X: y\r\n") + get("/users/7"));
  std::string all =
      "handling GET /sleep?ms=5000\nhandling GET /plaintext?a=b\nhandling POST /echo\n"
      "handling POST /describe\nhandling GET /users/7\n";
  EXPECT_EQ(report(), all);
  host.receive("\r\n");  // is no request
  EXPECT_EQ(report(), all);
  host.receive("POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhe");
  EXPECT_EQ(report(), all + "body POST /count\n");
}

TEST_F(SessionDrain, ReportNamesAHeadThatIsNotWholeByItsState) {
  for (std::string_view part : {"G", "GET /plaint", "GET / HTTP/1.1\r\nHost: a\r\n", "nonsense\r\n\r\n",
                                "GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"}) {
    host.receive(get("/sleep?ms=5000") + std::string(part));
    EXPECT_EQ(report(), "handling GET /sleep?ms=5000\nhead  \n") << part;
    host.vanish();
    host.open();
  }
}

TEST_F(SessionDrain, ReportEndsWithTheRequestThatAsksForTheClose) {
  host.receive(get("/sleep?ms=5000") + get("/users/1", "Connection: close\r\n") + get("/users/2"));
  EXPECT_EQ(report(), "handling GET /sleep?ms=5000\nhandling GET /users/1\n");
  host.vanish();
  host.open();
  host.receive(get("/sleep?ms=5000", "Connection: close\r\n") + get("/users/2"));
  EXPECT_EQ(report(), "handling GET /sleep?ms=5000\n");
}

TEST_F(SessionDrain, ReportNamesAnswersThatAreNotSent) {
  host.set_window(10);
  host.receive(get("/plaintext") + get("/users/7") + get("/plaintext?a=b") + post("/nowhere", "hello"));
  host.receive(get("/plaintext") + get("/sleep?ms=5000") + get("/users/8"));
  EXPECT_EQ(report(),
            "writing GET /plaintext\nwriting GET /users/7\nwriting GET /plaintext?a=b\n"
            "writing POST /nowhere\nwriting GET /plaintext\n"
            "handling GET /sleep?ms=5000\nhandling GET /users/8\n");
  host.set_window(SIZE_MAX);
  EXPECT_EQ(read(host.take()).size(), 5u);
  EXPECT_EQ(report(), "handling GET /sleep?ms=5000\nhandling GET /users/8\n");
}

TEST_F(SessionDrain, ReportForgetsAnswersOneByOne) {
  EXPECT_EQ(answer(get("/users/0")).status, 200);
  const size_t lent = host.lent();  // what a warm pool of exchanges keeps
  std::string stream;
  host.set_window(1);
  for (int i = 0; i < 5; ++i) host.receive(get("/users/" + std::to_string(i)));  // a send each
  for (int taken = 0; taken < 5; ++taken) {
    std::string expected;
    for (int i = taken; i < 5; ++i) expected += "writing GET /users/" + std::to_string(i) + "\n";
    EXPECT_EQ(report(), expected);
    size_t whole = read(stream).size();
    while (read(stream).size() == whole || !read(stream).back().whole) stream += host.take(1);
    host.settle();
  }
  EXPECT_EQ(report(), "");
  EXPECT_FALSE(host.session().active());
  EXPECT_EQ(host.lent(), lent);
}

TEST_F(SessionDrain, ReportNamesTheLastAnswerOfAConnectionThatEnds) {
  host.set_window(10);
  struct Ending {
    std::string request, report;
  };
  for (const Ending& ending :
       {Ending{get("/users/7", "Connection: close\r\n"), "writing GET /users/7\n"},
        Ending{get("/throw-later"), "writing GET /throw-later\n"},
        Ending{get("/throw-later") + get("/users/8"), "writing GET /throw-later\nhandling GET /users/8\n"},
        Ending{"POST /describe HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n",
               "writing POST /describe\n"},
        Ending{"nonsense\r\n\r\n", "writing  \n"}}) {
    host.receive(ending.request);
    ASSERT_TRUE(host.open_still());
    EXPECT_EQ(report(), ending.report);
    host.vanish();
    host.open();
  }
}

TEST_F(SessionDrain, ReportNamesWhoAsksBehindAnAnswerThatSaysClose) {
  host.set_window(10);
  host.drain();
  host.receive(get("/plaintext"));
  host.receive(get("/users/7"));
  host.receive("GET /users");
  EXPECT_EQ(report(), "writing GET /plaintext\nhandling GET /users/7\nhead  \n");
  host.set_window(SIZE_MAX);
  EXPECT_TRUE(answer("").closes());
}

// One of a hundred and more is as good as another to whoever reads the report.
TEST_F(SessionDrain, ReportHasABound) {
  EXPECT_EQ(answer(get("/users/0")).status, 200);
  const size_t lent = host.lent();  // what a warm pool of exchanges keeps
  host.set_window(10);
  std::string requests;
  for (int i = 0; i < 1000; ++i) requests += get("/users/" + std::to_string(i));
  host.receive(get("/big?n=300000") + requests);
  std::vector<AbortedExchange> aborted = host.unanswered();
  EXPECT_EQ(aborted.size(), 100u);
  EXPECT_EQ(aborted[0].target, "/big?n=300000");
  EXPECT_EQ(aborted[1].target, "/users/0");
  std::set<std::string> targets;
  for (const AbortedExchange& one : aborted) targets.insert(one.target);
  EXPECT_EQ(targets.size(), 100u);
  host.set_window(SIZE_MAX);
  EXPECT_EQ(read(host.take()).size(), 1001u);
  host.set_window(10);
  host.receive(requests);  // answered as far as there is room
  aborted = host.unanswered();
  ASSERT_EQ(aborted.size(), 100u);
  for (size_t i = 0; i < 99; ++i) EXPECT_EQ(aborted[i].target, "/users/" + std::to_string(i));
  EXPECT_EQ(aborted[98].state, "writing");
  EXPECT_EQ(aborted[99].state, "handling") << "the first that has not had its turn";
  host.set_window(SIZE_MAX);
  EXPECT_EQ(read(host.take()).size(), 1000u);
  EXPECT_EQ(host.lent(), lent);
}

TEST_F(SessionDrain, ForceLetsWholeAnswersLeaveBeforeTheOneThatItBreaksOff) {
  host.set_window(100);
  host.receive(get("/big?n=30000") + get("/stream?n=5&ms=1000"));
  host.drain();
  host.force();
  EXPECT_TRUE(host.open_still());
  auto got = read(host.take());
  ASSERT_EQ(got.size(), 2u);
  EXPECT_TRUE(got[0].whole);
  EXPECT_FALSE(got[1].whole);
  EXPECT_EQ(host.reason(), CloseReason::forced);
  EXPECT_EQ(host.outliving(), 0u);
}

TEST_F(SessionDrain, ForceResetsABodyWithoutFrames) {
  host.receive(get("/stream?n=5&ms=1000", "", "1.0"));
  host.force();
  EXPECT_EQ(host.wish(), CloseWish::reset);
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
