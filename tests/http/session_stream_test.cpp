// Coroutine handlers: reading and writing in pieces, back-pressure, clients that leave.

#include <stdexcept>

#include "tests/http/session_support.hpp"

namespace lastcall::test {
namespace {

using SessionStream = SessionTest;

TEST_F(SessionStream, PiecesLeaveAsTheyAreWritten) {
  auto first = host.ask(get("/stream?n=3&ms=1000"));
  EXPECT_TRUE(first.ends_with("Transfer-Encoding: chunked\r\n\r\n6\r\npiece\n\r\n")) << first;
  host.advance(1s);
  EXPECT_EQ(host.take(), "6\r\npiece\n\r\n");
  host.advance(1s);
  EXPECT_EQ(host.take(), "6\r\npiece\n\r\n0\r\n\r\n");
  EXPECT_FALSE(host.session().active());
}

TEST_F(SessionStream, EchoAnswersPieceByPiece) {
  std::string stream = host.ask("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello");
  EXPECT_TRUE(stream.ends_with("Content-Length: 10\r\n\r\nhello")) << stream;
  EXPECT_EQ(host.ask("world" + get("/users/7")).substr(0, 5), "world");
  EXPECT_FALSE(host.session().active());
}

TEST_F(SessionStream, EchoHoldsBothSidesBackInBoundedMemory) {
  constexpr size_t kBytes = 8 << 20;
  host.set_window(4096);
  std::string request = post("/echo", std::string(kBytes, 'e'));
  host.receive(request);
  EXPECT_TRUE(host.link().input_paused());
  EXPECT_GT(host.unread(), kBytes - 1'000'000);
  EXPECT_LT(host.most_prepared(), size_t{200 * 1024});
  std::string stream;
  size_t most_lent = 0;
  for (std::string piece; !(piece = host.take(100'000)).empty(); stream += piece) {
    most_lent = std::max(most_lent, host.lent());
  }
  EXPECT_EQ(parse_answer(stream).body.size(), kBytes);
  EXPECT_LT(most_lent, size_t{1 << 20});
  EXPECT_FALSE(host.link().input_paused());
}

TEST_F(SessionStream, HandlerThatDoesNotReadHoldsTheClientBack) {
  host.on(Method::post, "/late", [](Request& request, Response& response) -> Task<> {
    co_await sleep_for(1s);
    size_t bytes = 0;
    for (std::string_view piece; !(piece = co_await request.read()).empty();) bytes += piece.size();
    response.text(std::to_string(bytes));
  });
  host.receive(post("/late", std::string(1 << 20, 'x')));
  EXPECT_TRUE(host.link().input_paused());
  EXPECT_LT(host.lent(), size_t{400'000});
  host.advance(1s);
  EXPECT_EQ(parse_answer(host.take()).body, "1048576");
}

TEST_F(SessionStream, PipelinedRequestWaitsForTheOneBefore) {
  host.receive(get("/sleep?ms=1000") + get("/plaintext") + get("/sleep?ms=1000") + get("/users/7"));
  EXPECT_EQ(host.take(), "");
  host.advance(1s);
  auto got = read(host.take());
  ASSERT_EQ(got.size(), 2u);
  EXPECT_EQ(got[0].body, "slept");
  EXPECT_EQ(got[1].body, "Hello, World!");
  host.advance(1s);
  EXPECT_EQ(read(host.take()).size(), 2u);
}

TEST_F(SessionStream, PipelineBehindAHandlerIsHeldBack) {
  host.receive(get("/sleep?ms=1000"));
  for (int i = 0; i < 10'000; ++i) host.receive(get("/plaintext"));
  EXPECT_GT(host.unread(), size_t{100'000});
  EXPECT_LT(host.lent(), size_t{400'000});
  host.advance(1s);
  EXPECT_EQ(read(host.take()).size(), 10'001u);
}

TEST_F(SessionStream, HandlerEndsWithoutReadingALargeBody) {
  host.receive("POST /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
  Answer got = parse_answer(host.take());
  EXPECT_EQ(got.body, "ignored");
  EXPECT_TRUE(got.closes());
  EXPECT_EQ(host.wish(), CloseWish::linger);
}

TEST_F(SessionStream, ThrowingBeforeTheHeadIsA500) {
  host.on(Method::get, "/throw-soon", [](Request&, Response& response) -> Task<> {
    response.status(201).text("not this");
    co_await sleep_for(1s);
    throw std::runtime_error("on purpose");
  });
  host.receive(get("/throw-soon") + get("/plaintext"));
  host.advance(1s);
  auto got = read(host.take());
  ASSERT_EQ(got.size(), 2u);
  EXPECT_EQ(got[0].status, 500);
  EXPECT_EQ(got[0].body.find("not this"), std::string::npos);
  EXPECT_EQ(got[1].status, 200);
}

TEST_F(SessionStream, ThrowingAfterTheHeadEndsTheConnectionWithoutALastChunk) {
  host.receive(get("/throw-later") + get("/plaintext"));
  EXPECT_FALSE(host.open_still());
  EXPECT_EQ(host.wish(), CloseWish::linger);
  EXPECT_EQ(host.reason(), CloseReason::failed);
  auto got = read(host.take());
  ASSERT_EQ(got.size(), 1u);
  EXPECT_FALSE(got[0].whole);
  EXPECT_EQ(got[0].body, "something");
}

TEST_F(SessionStream, AnnouncedLengthThatIsNotReachedEndsTheConnection) {
  host.on(Method::get, "/short", [](Request&, Response& response) -> Task<> {
    response.content_length(10);
    static_cast<void>(co_await response.write("short"));
  });
  host.receive(get("/short"));
  EXPECT_EQ(host.wish(), CloseWish::linger);
  EXPECT_EQ(host.reason(), CloseReason::failed);
  EXPECT_FALSE(read(host.take()).at(0).whole);
}

// A body that lasts to the end of its connection would be taken for whole.
TEST_F(SessionStream, ThrowingInABodyWithoutFramesIsAReset) {
  host.receive(get("/throw-later", "", "1.0"));
  EXPECT_EQ(host.wish(), CloseWish::reset);
  EXPECT_EQ(host.reason(), CloseReason::failed);
}

/// Everything that can break an answer off in its middle.
class BrokenOff : public SessionTest {
 protected:
  /// What a slow client gets of three answers before one that breaks off, and of that.
  void expect_three_whole_answers(const std::function<void()>& break_off, CloseReason reason) {
    SCOPED_TRACE(static_cast<int>(reason));
    host.set_window(100);
    host.receive(get("/big?n=30000") + get("/users/7") + post("/describe", "hello"));
    break_off();
    EXPECT_TRUE(host.open_still());  // there is something to send
    auto got = read(host.take());
    ASSERT_EQ(got.size(), 4u);
    for (size_t i = 0; i < 3; ++i) EXPECT_TRUE(got[i].whole) << i;
    EXPECT_FALSE(got[3].whole);
    EXPECT_FALSE(host.open_still());
    EXPECT_EQ(host.wish(), CloseWish::linger);
    EXPECT_EQ(host.reason(), reason);
    EXPECT_EQ(host.outliving(), 0u);
    host.open();
  }
  const std::string echo =
      "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
};

TEST_F(BrokenOff, ByItsHandler) {
  expect_three_whole_answers([&] { host.receive(get("/throw-later")); }, CloseReason::failed);
}

TEST_F(BrokenOff, ByItsHandlerThatWritesTooLittleOrTooMuch) {
  host.on(Method::get, "/write/{text}", [](Request& request, Response& response) -> Task<> {
    response.content_length(10);
    static_cast<void>(co_await response.write("some"));
    static_cast<void>(co_await response.write(*request.param("text")));
  });
  expect_three_whole_answers([&] { host.receive(get("/write/short")); }, CloseReason::failed);
  expect_three_whole_answers([&] { host.receive(get("/write/too-much")); }, CloseReason::failed);
}

TEST_F(BrokenOff, ByABodyThatIsRefused) {
  expect_three_whole_answers(
      [&] {
        host.receive(echo);
        host.receive("nonsense\r\n");
      },
      CloseReason::failed);
}

TEST_F(BrokenOff, ByABodyThatEnds) {
  expect_three_whole_answers(
      [&] {
        host.receive(echo);
        host.end_of_stream();
      },
      CloseReason::peer_closed);
}

TEST_F(BrokenOff, ByABodyThatDoesNotCome) {
  expect_three_whole_answers(
      [&] {
        host.receive(echo);
        host.advance(30s);
      },
      CloseReason::timed_out);
}

TEST_F(SessionStream, AnnouncedLengthWithoutAByteIsA500) {
  host.on(Method::get, "/nothing", [](const Request&, Response& response) { response.content_length(10); });
  EXPECT_EQ(answer(get("/nothing")).status, 500);
  EXPECT_TRUE(host.open_still());
  std::string text = host.ask("HEAD /nothing HTTP/1.1\r\nHost: a\r\n\r\n");  // to HEAD it is an answer
  EXPECT_TRUE(text.ends_with("Content-Length: 10\r\n\r\n")) << text;
}

TEST_F(SessionStream, MoreThanTheAnnouncedLengthThrowsInTheHandler) {
  bool thrown = false;
  host.on(Method::get, "/long", [&thrown](Request&, Response& response) -> Task<> {
    response.content_length(5);
    static_cast<void>(co_await response.write("12345"));
    try {
      static_cast<void>(co_await response.write("6"));
    } catch (const std::length_error&) {
      thrown = true;
      throw;
    }
  });
  std::string stream = host.ask(get("/long"));
  EXPECT_TRUE(thrown);
  EXPECT_EQ(stream.find("123456"), std::string::npos);
  EXPECT_EQ(host.reason(), CloseReason::failed);
}

TEST_F(SessionStream, NoBodyIsFramedWhereThereIsNone) {
  host.on(Method::get, "/empty", [](Request&, Response& response) -> Task<> {
    response.status(204).content_length(0);
    static_cast<void>(co_await response.write(""));
  });
  auto got = answers(get("/empty") + "HEAD /empty HTTP/1.1\r\nHost: a\r\n\r\n" + get("/plaintext"));
  ASSERT_EQ(got.size(), 3u);
  EXPECT_EQ(got[0].count("Content-Length") + got[0].count("Transfer-Encoding"),
            0u);  // RFC 9110 8.6, RFC 9112 6.1
  EXPECT_EQ(got[2].status, 200);
}

TEST_F(SessionStream, PeerThatOnlyEndsItsSideGetsItsAnswer) {
  host.receive(get("/sleep?ms=1000"));
  host.end_of_stream();
  EXPECT_TRUE(host.open_still());
  host.advance(1s);
  Answer got = parse_answer(host.take());
  EXPECT_EQ(got.body, "slept");
  EXPECT_TRUE(got.closes());
  EXPECT_FALSE(host.open_still());
}

TEST_F(SessionStream, PeerThatEndsItsSideGetsAllItsAnswers) {
  host.receive(get("/sleep?ms=1000") + get("/plaintext") + get("/sleep?ms=1") + get("/users/7"));
  host.end_of_stream();
  host.advance(2s);
  auto got = read(host.take());
  ASSERT_EQ(got.size(), 4u);
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(got[i].closes(), i == 3) << i;
  EXPECT_FALSE(host.open_still());
}

TEST_F(SessionStream, PeerThatEndsItsSideWhileAnswersWaitForRoomGetsThem) {
  host.set_window(0);
  std::string requests;
  for (int i = 0; i < 20; ++i) requests += get("/big?n=20000");
  host.receive(requests + "GET /hal");
  host.end_of_stream();
  EXPECT_TRUE(host.open_still());
  host.set_window(SIZE_MAX);
  EXPECT_EQ(read(host.take()).size(), 20u);
  EXPECT_FALSE(host.open_still());  // half a request will never be whole
}

TEST_F(SessionStream, PeerThatEndsItsSideInARequestIsDone) {
  for (std::string_view request :
       {"GET / HT", "POST /describe HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhello",
        "POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhello"}) {
    std::string stream = host.ask(get("/plaintext") + std::string(request));
    host.end_of_stream();
    EXPECT_FALSE(host.open_still()) << request;
    EXPECT_EQ(host.reason(), CloseReason::peer_closed);
    EXPECT_EQ(parse_answer(stream + host.take()).body, "Hello, World!");
    EXPECT_EQ(host.outliving(), 0u);
    host.open();
  }
}

TEST_F(SessionStream, EarlierAnswersSurviveABodyThatBreaksOff) {
  host.set_window(0);
  host.receive(get("/plaintext") + "POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhello");
  host.end_of_stream();
  host.set_window(SIZE_MAX);
  EXPECT_EQ(parse_answer(host.take()).body, "Hello, World!");
}

TEST_F(SessionStream, PeerThatVanishesCutsTheWaitShort) {
  std::string seen;
  host.on(Method::get, "/watch", [&seen](Request& request, Response& response) -> Task<> {
    seen += co_await sleep_for(1h) ? "whole " : "cut ";
    seen += request.aborted() ? "aborted " : "";
    seen += co_await response.write("x") ? "written " : "unwritten ";
    try {
      static_cast<void>(co_await response.write("x"));
    } catch (const std::system_error&) {
      seen += "thrown";
    }
  });
  host.receive(get("/watch"));
  host.vanish();
  EXPECT_EQ(seen, "cut aborted unwritten thrown");
  EXPECT_EQ(host.outliving(), 0u);
  host.open();
  EXPECT_EQ(answer(get("/plaintext")).status, 200);
}

TEST_F(SessionStream, HandlerThatWaitsOnOutlivesItsConnectionAndIsCounted) {
  bool ended = false;
  std::string target;
  host.on(Method::get, "/stubborn/{id}", [&](Request& request, Response&) -> Task<> {
    co_await sleep_for(1s);
    co_await sleep_for(1s);
    target = std::string(*request.param("id")) + " " + request.peer();  // its references are good to the end
    ended = true;
  });
  host.receive(get("/stubborn/7"));
  host.vanish();
  EXPECT_EQ(host.outliving(), 1u);
  host.open();
  EXPECT_EQ(answer(get("/plaintext")).status, 200);  // with an exchange of its own
  host.advance(1s);
  EXPECT_TRUE(ended);
  EXPECT_EQ(target, "7 ?");
  EXPECT_EQ(host.outliving(), 0u);
}

TEST_F(SessionStream, PeerThatVanishesWhileItIsReadFrom) {
  for (std::string_view target : {"/count", "/echo", "/describe"}) {
    host.receive("POST " + std::string(target) + " HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhello");
    host.vanish();
    EXPECT_EQ(host.outliving(), 0u) << target;
    host.open();
  }
}

TEST_F(SessionStream, PeerThatVanishesWhileItIsWrittenTo) {
  host.set_window(0);
  host.receive(post("/echo", std::string(400'000, 'x')));
  EXPECT_TRUE(host.session().active());
  host.vanish();
  EXPECT_EQ(host.outliving(), 0u);
}

TEST_F(SessionStream, HandlerWaitingForAThreadOutlivesItsConnection) {
  bool ran = false, resumed = false;
  host.on(Method::get, "/offload", [&](Request& request, Response& response) -> Task<> {
    auto got = co_await offload([&ran] { return ran = true; });
    resumed = got.has_value() && request.aborted();
    response.text("for nobody");
  });
  host.receive(get("/offload"));
  host.vanish();
  EXPECT_EQ(host.outliving(), 1u);
  ASSERT_TRUE(host.pool().join_until(kNever));
  host.run_mail();
  EXPECT_TRUE(ran && resumed);
  EXPECT_EQ(host.outliving(), 0u);
}

TEST_F(SessionStream, HandlersStillWaitingAreDestroyedWithTheirEnvironment) {
  struct Witness {
    bool* destroyed;
    ~Witness() { *destroyed = true; }
  };
  bool destroyed = false;
  {
    SessionHost other;
    other.on(Method::get, "/stubborn", [&destroyed](Request&, Response&) -> Task<> {
      Witness witness{&destroyed};
      for (;;) co_await sleep_for(1h);
    });
    other.receive(get("/stubborn"));
    other.vanish();
    EXPECT_EQ(other.outliving(), 1u);
  }
  EXPECT_TRUE(destroyed);
}

}  // namespace
}  // namespace lastcall::test
