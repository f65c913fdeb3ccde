// Requests and answers on one connection: persistence, order, methods, limits.

#include "tests/http/session_support.hpp"

namespace lastcall::test {
namespace {

constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

TEST_F(SessionTest, AnswersWithServerDateAndLength) {
  EXPECT_EQ(host.ask(get("/plaintext")),
            "HTTP/1.1 200 OK\r\nServer: lastcall\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
            "Content-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, World!");
  host.advance(61s);
  EXPECT_EQ(answer(get("/plaintext")).field("Date"), "Thu, 01 Jan 1970 00:01:01 GMT");
}

struct Persistence {
  const char* version;
  const char* fields;
  const char* connection;  // of the answer
  bool stays_open;
};

class PersistenceTest : public SessionTest, public ::testing::WithParamInterface<Persistence> {};

TEST_P(PersistenceTest, IsWhatVersionAndConnectionAskFor) {
  const Persistence& given = GetParam();
  Answer got = answer(get("/plaintext", given.fields, given.version));
  EXPECT_EQ(got.status, 200);
  EXPECT_EQ(got.field("Connection"), given.connection);
  EXPECT_EQ(host.open_still(), given.stays_open);
  if (!given.stays_open) {
    EXPECT_EQ(host.reason(), CloseReason::finished);
    EXPECT_EQ(host.wish(), CloseWish::direct);  // the client asked for it, and sends nothing more
  }
}

INSTANTIATE_TEST_SUITE_P(Matrix, PersistenceTest,
                         ::testing::Values(Persistence{"1.1", "", "", true},
                                           Persistence{"1.1", "Connection: keep-alive\r\n", "", true},
                                           Persistence{"1.1", "Connection: close\r\n", "close", false},
                                           Persistence{"1.1", "Connection: x, Close\r\n", "close", false},
                                           Persistence{"1.0", "", "close", false},
                                           Persistence{"1.0", "Connection: keep-alive\r\n", "keep-alive",
                                                       true},
                                           Persistence{"1.0", "Connection: close\r\n", "close", false}));

TEST_F(SessionTest, StreamToHttp10LastsUntilTheClose) {
  auto got = answers(get("/stream?n=3", "Connection: keep-alive\r\n", "1.0"));
  host.advance(1s);
  ASSERT_EQ(got.size(), 1u);
  std::string rest = got[0].body + host.take();
  EXPECT_TRUE(got[0].until_close);
  EXPECT_EQ(rest, "piece\npiece\npiece\n");
  EXPECT_FALSE(host.open_still());
}

TEST_F(SessionTest, PipelinedRequestsAreAnsweredInOrder) {
  std::string requests;
  for (int i = 0; i < 50; ++i) requests += get("/users/" + std::to_string(i));
  auto got = answers(requests);
  ASSERT_EQ(got.size(), 50u);
  for (size_t i = 0; i < got.size(); ++i) EXPECT_EQ(got[i].body, std::to_string(i));
  EXPECT_TRUE(host.open_still());
  EXPECT_FALSE(host.session().active());
}

TEST_F(SessionTest, PipelinedRequestsWaitWhileAnswersAreNotTaken) {
  host.set_window(0);
  std::string requests;
  for (int i = 0; i < 40; ++i) requests += get("/big?n=20000");
  host.receive(requests);
  // 64 KiB and the answer that went past them; then the same again, behind what is being sent.
  EXPECT_LT(host.most_prepared(), size_t{64 * 1024 + 21'000});
  EXPECT_LT(host.lent(), size_t{300'000});
  host.set_window(1 << 20);
  EXPECT_EQ(read(host.take()).size(), 40u);
  EXPECT_TRUE(host.open_still());
}

TEST_F(SessionTest, InputWaitingForItsTurnIsBounded) {
  host.set_window(0);
  for (int i = 0; i < 20'000; ++i) host.receive(get("/plaintext"));
  EXPECT_GT(host.unread(), size_t{100'000});  // held back in the socket
  EXPECT_LT(host.lent(), size_t{600'000});
  host.set_window(SIZE_MAX);
  EXPECT_EQ(read(host.take()).size(), 20'000u);
  EXPECT_EQ(host.unread(), 0u);
}

// Whatever the pieces, the answers are the same bytes.
class CutTest : public SessionTest, public ::testing::WithParamInterface<std::string> {};

TEST_P(CutTest, AtEveryByteChangesNothing) {
  const std::string& request = GetParam();
  std::string whole = host.ask(request + get("/plaintext"));
  ASSERT_FALSE(read(whole).empty());
  EXPECT_EQ(read(whole).back().body, "Hello, World!");
  for (size_t cut = 1; cut < request.size(); ++cut) {
    std::string first = host.ask(request.substr(0, cut));
    EXPECT_TRUE(host.session().active() || cut <= 2) << cut;
    ASSERT_EQ(first + host.ask(request.substr(cut) + get("/plaintext")), whole) << "cut at " << cut;
    ASSERT_FALSE(host.session().active());
  }
  std::string bytewise;
  for (char c : request + get("/plaintext")) bytewise += host.ask(std::string_view(&c, 1));
  EXPECT_EQ(bytewise, whole);
}

INSTANTIATE_TEST_SUITE_P(Requests, CutTest,
                         ::testing::Values(get("/users/42%20x?a=b", "X: y\r\n"), "\r\n" + get("/plaintext"),
                                           post("/describe", "the body\r\n\r\n"), post("/describe", ""),
                                           post_chunked("/describe", 3, "X-Sum: 1\r\nY: 2\r\n"),
                                           post("/count", "the body"),
                                           post_chunked("/count", 3, "X-Sum: 1\r\n"),
                                           post("/nowhere", "not wanted"), post_chunked("/plaintext", 2),
                                           post("/ignore", "not read"), get("/throw")));

TEST_F(SessionTest, StreamedEchoIsTheSameBodyHoweverItIsCut) {
  std::string request = post_chunked("/echo", 4, "X: y\r\n");
  for (size_t cut = 1; cut < request.size(); ++cut) {
    std::string stream = host.ask(request.substr(0, cut));
    stream += host.ask(request.substr(cut));
    Answer got = parse_answer(stream);
    ASSERT_EQ(got.body, "hellohellohellohello") << cut;
  }
}

TEST_F(SessionTest, HeadHasTheFieldsOfGetAndNoBody) {
  std::string text = host.ask("HEAD /plaintext HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_TRUE(text.ends_with("Content-Length: 13\r\n\r\n")) << text;
  // A handler that streams is told at its first write, and does not go through the rest for nothing.
  auto got = answers("HEAD /stream?n=2 HTTP/1.1\r\nHost: a\r\n\r\n" + get("/plaintext"), {"HEAD", "GET"});
  ASSERT_EQ(got.size(), 2u);
  EXPECT_EQ(got[0].field("Transfer-Encoding"), "chunked");
  EXPECT_EQ(got[1].body, "Hello, World!");
}

TEST_F(SessionTest, HeadOfWhatIsNotThere) {
  Answer got = answer("HEAD /nowhere HTTP/1.1\r\nHost: a\r\n\r\n", "HEAD");
  EXPECT_EQ(got.status, 404);
  EXPECT_NE(got.field("Content-Length"), "0");
  EXPECT_TRUE(host.open_still());
}

TEST_F(SessionTest, OptionsSaysWhatIsAllowed) {
  Answer got = answer("OPTIONS /plaintext HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(got.status, 204);
  EXPECT_EQ(got.field("Allow"), "GET, HEAD, OPTIONS");
  EXPECT_EQ(got.count("Content-Length"), 0u);  // RFC 9110 8.6
  got = answer("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(got.status, 204);
  EXPECT_NE(got.field("Allow").find("DELETE"), std::string::npos);
  EXPECT_EQ(answer("OPTIONS /nowhere HTTP/1.1\r\nHost: a\r\n\r\n").status, 404);
}

TEST_F(SessionTest, WrongMethodSaysWhichAreRight) {
  Answer got = answer("DELETE /plaintext HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(got.status, 405);
  EXPECT_EQ(got.field("Allow"), "GET, HEAD, OPTIONS");
  EXPECT_TRUE(host.open_still());
}

TEST_F(SessionTest, ConnectIsNotImplemented) {
  EXPECT_EQ(answer("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n").status, 501);
  EXPECT_FALSE(host.open_still());
}

TEST_F(SessionTest, UnwantedBodyIsDiscardedUpToALimit) {
  for (std::string_view target : {"/nowhere", "/plaintext", "/ignore"}) {
    auto got = answers(post(target, std::string(200 * 1024, 'x')) + get("/plaintext"));
    ASSERT_EQ(got.size(), 2u) << target;
    EXPECT_FALSE(got[0].closes());
    EXPECT_EQ(got[1].body, "Hello, World!");
  }
}

TEST_F(SessionTest, UnwantedBodyBeyondTheLimitEndsTheConnection) {
  std::string_view head = "POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n";
  Answer got = answer(head);
  EXPECT_EQ(got.status, 404);
  EXPECT_TRUE(got.closes());
  EXPECT_FALSE(host.open_still());
  EXPECT_EQ(host.wish(), CloseWish::linger);  // the answer must survive the body
  EXPECT_EQ(host.reason(), CloseReason::finished);
}

TEST_F(SessionTest, UnwantedChunkedBodyBeyondTheLimitEndsTheConnection) {
  Answer got = answer("POST /nowhere HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
  EXPECT_EQ(got.status, 404);
  std::string chunk = "4000\r\n" + std::string(0x4000, 'x') + "\r\n";
  size_t taken = 0;
  for (; taken < 100 && host.open_still(); ++taken) host.receive(chunk);
  EXPECT_EQ(taken, 17u);
  EXPECT_EQ(host.take(), "");
  EXPECT_EQ(host.wish(), CloseWish::linger);
  EXPECT_EQ(host.reason(), CloseReason::finished);
}

TEST_F(SessionTest, AnnouncedBodyOverTheLimitIsRefusedAtOnce) {
  Answer got = answer("POST /describe HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n");
  EXPECT_EQ(got.status, 413);
  EXPECT_TRUE(got.closes());
  EXPECT_EQ(host.reason(), CloseReason::refused);
  EXPECT_EQ(host.wish(), CloseWish::linger);
}

TEST_F(SessionTest, ChunkedBodyOverTheLimitIsRefusedWhenItGetsThere) {
  for (std::string_view target : {"/describe", "/count"}) {
    host.receive("POST " + std::string(target) +
                 " HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    std::string chunk = "10000\r\n" + std::string(0x10000, 'x') + "\r\n";
    for (int i = 0; i < 16; ++i) host.receive(chunk);
    EXPECT_TRUE(host.open_still());
    EXPECT_EQ(answer("1\r\n").status, 413) << target;
    EXPECT_EQ(host.reason(), CloseReason::refused);
    EXPECT_EQ(host.outliving(), 0u);
    host.open();
  }
}

TEST_F(SessionTest, BodyAtTheLimitIsTaken) {
  EXPECT_EQ(answer(post("/count", std::string(1 << 20, 'x'))).body, "1048576");
  EXPECT_EQ(answer(post("/describe", std::string(1 << 20, 'x'))).status, 200);
}

TEST_F(SessionTest, RefusesWhatIsNoRequestAfterTheAnswersBefore) {
  auto got = answers(get("/plaintext") + "GET / HTTP/1.1\nHost: a\n\n" + get("/plaintext"));
  ASSERT_EQ(got.size(), 2u);
  EXPECT_EQ(got[0].status, 200);
  EXPECT_EQ(got[1].status, 400);
  EXPECT_TRUE(got[1].closes());
  EXPECT_EQ(host.wish(), CloseWish::linger);
  EXPECT_EQ(host.reason(), CloseReason::refused);
}

TEST_F(SessionTest, BadChunkIsRefusedWithoutCallingTheHandler) {
  auto got = answers("POST /describe HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n");
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(got[0].status, 400);
}

TEST_F(SessionTest, ExpectIsAnsweredWhenTheBodyIsWanted) {
  for (std::string_view target : {"/describe", "/count", "/echo"}) {
    std::string request = post(target, "hello", "Expect: 100-continue\r\n");
    std::string_view head = std::string_view(request).substr(0, request.size() - 5);
    EXPECT_EQ(host.ask(head), kContinue) << target;
    EXPECT_EQ(answer("hello").status, 200);
    EXPECT_TRUE(host.open_still());
  }
}

TEST_F(SessionTest, ExpectIsNotAnsweredWhenTheBodyIsHere) {
  for (std::string_view target : {"/describe", "/count", "/echo"}) {
    auto got = answers(post(target, "hello", "Expect: 100-continue\r\n"));
    ASSERT_EQ(got.size(), 1u) << target;
    EXPECT_EQ(got[0].status, 200);
  }
}

TEST_F(SessionTest, ExpectWithABodyNobodyWantsEndsTheConnection) {
  for (std::string_view target : {"/nowhere", "/ignore"}) {
    Answer got = answer("POST " + std::string(target) +
                        " HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    EXPECT_GE(got.status, 200) << target;
    EXPECT_TRUE(got.closes());  // whether the body comes now, nobody can know
    EXPECT_EQ(host.wish(), CloseWish::linger);
    host.open();
  }
}

TEST_F(SessionTest, ExpectTooLargeIsRefusedWithoutContinue) {
  auto got = answers(
      "POST /describe HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\nExpect: 100-continue\r\n\r\n");
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(got[0].status, 413);
}

TEST_F(SessionTest, ThrowingHandlerIsA500AndTheConnectionLives) {
  auto got = answers(get("/throw") + get("/plaintext"));
  ASSERT_EQ(got.size(), 2u);
  EXPECT_EQ(got[0].status, 500);
  EXPECT_FALSE(got[0].closes());
  EXPECT_EQ(got[1].status, 200);
}

TEST_F(SessionTest, OverloadIsAnswered503) {
  host.session().refuse_overload();
  host.settle();
  Answer got = parse_answer(host.take());
  EXPECT_EQ(got.status, 503);
  EXPECT_EQ(got.field("Retry-After"), "1");
  EXPECT_TRUE(got.closes());
  EXPECT_EQ(host.reason(), CloseReason::overloaded);
  EXPECT_EQ(host.wish(), CloseWish::linger);
}

TEST_F(SessionTest, RequestBytesAreCopiedWhereTheyMustOutliveTheirEvent) {
  // Head and body in different events: the host frees each block when on_bytes() returns.
  std::string request = post("/describe?q=1", "hello", "X-Long: " + std::string(5000, 'y') + "\r\n");
  std::string stream = host.ask(request.substr(0, request.size() - 5));
  stream += host.ask("hello");
  EXPECT_NE(parse_answer(stream).body.find("X-Long=" + std::string(5000, 'y') + "\nhello"),
            std::string::npos);
}

/// Exchanges are used again: nothing of one request may be found by the next.
TEST_F(SessionTest, ADecodedPathIsOfItsOwnRequest) {
  host.on(Method::get, "/files/{name}",
          [](const Request& request, Response& response) { response.text(std::string(request.path())); });
  EXPECT_EQ(answer(get("/files/a%20b")).body, "/files/a b");
  EXPECT_EQ(answer(get("/files/c%20d")).body, "/files/c d");
  EXPECT_EQ(answer(get("/files/e")).body, "/files/e");
}

TEST_F(SessionTest, WritingToNobodyIsForgivenToItsOwnRequestOnly) {
  host.on(Method::get, "/write", [](Request&, Response& response) -> Task<> {
    for (;;) co_await response.write("more than a HEAD has room for");
  });
  host.on(Method::get, "/throw-waiting", [](Request&, Response&) -> Task<> {
    co_await sleep_for(1s);
    throw std::runtime_error("on purpose");
  });
  EXPECT_EQ(answer("HEAD /write HTTP/1.1\r\nHost: a\r\n\r\n", "HEAD").status, 200);
  host.receive(get("/throw-waiting"));
  host.advance(2s);
  EXPECT_EQ(parse_answer(host.take()).status, 500);
}

/// Who said that it sends nothing more, and did: to close over that would be a reset.
TEST_F(SessionTest, WhatComesBehindTheLastRequestIsReadToItsEnd) {
  auto got = answers(get("/plaintext", "Connection: close\r\n") + get("/users/1"));
  ASSERT_EQ(got.size(), 1u);
  EXPECT_TRUE(got[0].closes());
  EXPECT_EQ(host.wish(), CloseWish::linger);
}

TEST_F(SessionTest, WhileTheStopIsAnnouncedARisingShareOfTheAnswersSaysClose) {
  host.advance(1s);
  host.loop().announce_began = host.loop().now;
  host.loop().announce_ends = host.loop().now + 10s;
  const auto sent_away = [this](int requests) {
    int closed = 0;
    for (int i = 0; i < requests; ++i) {
      if (!host.open_still()) host.open();
      if (answer(get("/plaintext")).closes()) ++closed;
    }
    return closed;
  };
  EXPECT_EQ(sent_away(100), 0);
  host.advance(2500ms);
  EXPECT_EQ(sent_away(100), 25);
  host.advance(5s);
  EXPECT_EQ(sent_away(100), 75);
  host.advance(2500ms);
  EXPECT_EQ(sent_away(100), 100);
}

TEST_F(SessionTest, ReadEachSaysThatTheBodyBrokeOff) {
  std::string seen;
  host.on(Method::post, "/each", [&seen](Request& request, Response&) -> Task<> {
    const bool whole = co_await request.read_each([&seen](std::string_view piece) { seen += piece; });
    seen += whole ? " whole" : request.aborted() ? " aborted" : " neither";
  });
  host.receive("POST /each HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhel");
  host.receive("lo");
  host.end_of_stream();
  EXPECT_EQ(seen, "hello aborted");
}

TEST_F(SessionTest, WhatReadEachCallsIsNotCalledAgainOnceItThrew) {
  int calls = 0;
  host.on(Method::post, "/each", [&calls](Request& request, Response& response) -> Task<> {
    try {
      static_cast<void>(co_await request.read_each([&calls](std::string_view) {
        ++calls;
        throw std::runtime_error("on purpose");
      }));
    } catch (const std::runtime_error&) {
    }
    response.text(std::string(co_await request.read_all()));
  });
  const Answer got = answer(
      "POST /each HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
      "3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n");
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(got.body, "def");
}

/// … and the handler does not wait for the rest: neither where the piece comes later nor where it was there.
TEST_F(SessionTest, AHandlerWhoseReadEachThrewGoesOnAtOnce) {
  int threw = 0;
  const auto reads = [&threw](Duration before) {
    return [&threw, before](Request& request, Response&) -> Task<> {
      co_await sleep_for(before);
      try {
        static_cast<void>(
            co_await request.read_each([](std::string_view) { throw std::runtime_error("on purpose"); }));
      } catch (const std::runtime_error&) {
        ++threw;
      }
    };
  };
  host.on(Method::post, "/before", reads(0s)).on(Method::post, "/behind", reads(1s));
  for (const std::string target : {"/before", "/behind"}) {
    threw = 0;
    if (!host.open_still()) host.open();
    host.receive("POST " + target + " HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhel");
    host.advance(2s);
    EXPECT_EQ(threw, 1) << target;
    host.vanish();
  }
}

}  // namespace
}  // namespace lastcall::test
