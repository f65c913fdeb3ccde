// Connections that leave HTTP, as one session sees them.

#include <algorithm>
#include <stdexcept>
#include <system_error>

#include "tests/http/session_support.hpp"

namespace lastcall::test {
namespace {

constexpr std::string_view kOffer = "Connection: Upgrade\r\nUpgrade: echo\r\n";

class StreamTest : public SessionTest {
 protected:
  StreamTest() {
    // Says back what comes, and "bye" at the peer's end.
    host.on(Method::get, "/echo", [this](Request&, Response& response) -> Task<> {
      Stream& stream = response.switch_protocols("echo");
      for (std::string_view piece; !(piece = co_await stream.read()).empty();) {
        heard += piece;
        if (!co_await stream.write(piece)) break;
      }
      static_cast<void>(co_await stream.write("bye"));
      ++ended;
    });
    // Takes the connection and waits until nobody is there.
    host.on(Method::get, "/hold", [this](Request&, Response& response) -> Task<> {
      held = &response.hijack();
      for (std::string_view piece; !(piece = co_await held->read()).empty();) heard += piece;
      held = nullptr;
      ++ended;
    });
  }
  ~StreamTest() override {  // while there is what the handlers refer to
    if (host.open_still()) host.vanish();
  }

  /// What follows the 101.
  static std::string behind_head(const std::string& sent) {
    EXPECT_TRUE(sent.starts_with("HTTP/1.1 101 Switching Protocols\r\n")) << sent;
    size_t end = sent.find("\r\n\r\n");
    return end == std::string::npos ? "no head" : sent.substr(end + 4);
  }
  [[nodiscard]] static std::string upgrade(std::string_view target = "/echo") { return get(target, kOffer); }
  /// The one line of the report.
  std::string report() {
    std::string text;
    for (const AbortedExchange& one : host.unanswered())
      text += one.state + " " + one.method + " " + one.target + " " + std::to_string(one.age_ms) + "\n";
    return text;
  }

  std::string heard;
  Stream* held = nullptr;
  int ended = 0;
};

TEST_F(StreamTest, TheAnswerIs101AndThenTheBytesAreTheHandlers) {
  const std::string head = host.ask(upgrade());
  EXPECT_TRUE(head.starts_with("HTTP/1.1 101 Switching Protocols\r\nServer: lastcall\r\nDate: ")) << head;
  EXPECT_TRUE(head.ends_with("\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")) << head;
  EXPECT_EQ(head.find("Content-"), std::string::npos);
  EXPECT_EQ(host.ask("GET / HTTP/1.1\r\n"), "GET / HTTP/1.1\r\n");
  EXPECT_EQ(host.ask("\r\n\xff"), "\r\n\xff");
  EXPECT_TRUE(host.session().active());
}

TEST_F(StreamTest, FieldsOfTheHandlerGoWithThe101) {
  host.on(Method::get, "/fields", [](Request&, Response& response) -> Task<> {
    response.header("Sec-Thing", "7").text("not sent");
    Stream& stream = response.switch_protocols("two");
    static_cast<void>(co_await stream.write("hi"));
  });
  const std::string sent = host.ask(get("/fields", "Upgrade: One/1.0 ,TWO\r\nConnection: x, upgrade\r\n"));
  EXPECT_EQ(behind_head(sent), "hi");
  EXPECT_NE(sent.find("\r\nSec-Thing: 7\r\n"), std::string::npos);
  EXPECT_EQ(host.wish(), CloseWish::linger);
}

TEST_F(StreamTest, CutAtEveryByteItIsTheSame) {
  const std::string input = get("/plaintext") + upgrade() + "hello" + get("/plaintext");
  for (size_t cut = 0; cut <= input.size(); ++cut) {
    SCOPED_TRACE(cut);
    heard.clear();
    host.receive(input.substr(0, cut));
    host.receive(input.substr(cut));
    std::string sent = host.take();
    const size_t head = sent.find("HTTP/1.1 101");
    ASSERT_NE(head, std::string::npos);
    EXPECT_TRUE(sent.substr(0, head).ends_with("Hello, World!"));
    EXPECT_EQ(behind_head(sent.substr(head)), "hello" + get("/plaintext"));
    host.vanish();
    host.open();
  }
}

TEST_F(StreamTest, ByteByByte) {
  for (char byte : upgrade() + "hello") host.receive({&byte, 1});
  EXPECT_EQ(behind_head(host.take()), "hello");
}

TEST_F(StreamTest, AHijackSendsNothingByItself) {
  EXPECT_EQ(host.ask(get("/hold") + "raw"), "");
  EXPECT_EQ(heard, "raw");
  ASSERT_NE(held, nullptr);
  EXPECT_TRUE(held->append("own words"));
  host.settle();
  EXPECT_EQ(host.take(), "own words");
}

TEST_F(StreamTest, WhatCameBehindTheRequestWhileTheHandlerSleptIsUnread) {
  host.on(Method::get, "/later", [this](Request&, Response& response) -> Task<> {
    co_await sleep_for(1s);
    Stream& late = response.hijack();
    heard = co_await late.read();
    static_cast<void>(co_await late.write("done"));
  });
  host.receive(get("/plaintext") + get("/later") + "one");
  host.receive("two");
  host.end_of_stream();
  host.advance(1s);
  EXPECT_EQ(heard, "onetwo");
  EXPECT_TRUE(host.take().ends_with("Hello, World!done"));
  EXPECT_EQ(host.reason(), CloseReason::finished);
}

TEST_F(StreamTest, AfterTheBodyWasRead) {
  host.on(Method::post, "/body", [this](Request& request, Response& response) -> Task<> {
    std::string body;
    for (std::string_view piece; !(piece = co_await request.read()).empty();) body += piece;
    Stream& own = response.hijack();
    EXPECT_TRUE((co_await request.read()).empty());  // takes nothing of the stream's
    heard = body + "|" + std::string(co_await own.read());
  });
  host.receive(post("/body", "12345") + "678");
  EXPECT_EQ(heard, "12345|678");
  host.open();
  std::string chunked = post_chunked("/body", 2) + "678";
  for (char byte : chunked) host.receive({&byte, 1});
  EXPECT_EQ(heard, "hellohello|6");
}

TEST_F(StreamTest, EndOfThePeersSideEndsReadsNotTheHandler) {
  host.receive(upgrade() + "hello");
  host.end_of_stream();
  EXPECT_EQ(behind_head(host.take()), "hellobye");
  EXPECT_EQ(ended, 1);
  EXPECT_EQ(host.reason(), CloseReason::finished);

  host.open();
  host.on(Method::get, "/after", [this](Request&, Response& response) -> Task<> {
    Stream& own = response.hijack();
    while (!(co_await own.read()).empty()) {
    }
    EXPECT_TRUE((co_await own.read()).empty());  // for good
    co_await sleep_for(1h);
    EXPECT_FALSE(own.aborted());
    EXPECT_TRUE(co_await own.write("still here"));
    ++ended;
  });
  host.receive(get("/after"));
  host.end_of_stream();
  host.advance(30min);
  EXPECT_TRUE(host.open_still());
  host.advance(30min);
  EXPECT_EQ(host.take(), "still here");
  EXPECT_EQ(ended, 2);
}

TEST_F(StreamTest, EndOfStreamBeforeTheUpgradeHadItsTurn) {
  host.receive(get("/sleep?ms=1000") + upgrade() + "hello");
  host.end_of_stream();
  host.advance(1s);
  const std::string sent = host.take();
  EXPECT_EQ(behind_head(sent.substr(sent.find("HTTP/1.1 101"))), "hellobye");
}

TEST_F(StreamTest, AHandlerThatEndsClosesInOrderWithWhatIsQueued) {
  host.set_window(10);
  host.on(Method::get, "/last", [](Request&, Response& response) -> Task<> {
    static_cast<void>(co_await response.hijack().write(std::string(1000, 'x')));
  });
  host.receive(get("/last") + "unread " + get("/plaintext"));
  EXPECT_TRUE(host.open_still());
  host.receive("more");  // is not looked at
  EXPECT_EQ(host.take(), std::string(1000, 'x'));
  EXPECT_EQ(host.wish(), CloseWish::linger);
  EXPECT_EQ(host.reason(), CloseReason::finished);
}

TEST_F(StreamTest, AHandlerThatThrowsClosesTheSame) {
  host.on(Method::get, "/throws", [](Request&, Response& response) -> Task<> {
    Stream& own = response.switch_protocols("echo");
    static_cast<void>(co_await own.write("so far"));
    static_cast<void>(co_await own.read());
    throw std::runtime_error("on purpose");
  });
  EXPECT_EQ(behind_head(host.ask(upgrade("/throws"))), "so far");
  host.receive("x" + get("/plaintext"));
  EXPECT_EQ(host.take(), "");
  EXPECT_EQ(host.wish(), CloseWish::linger);
  EXPECT_EQ(host.reason(), CloseReason::failed);
}

TEST_F(StreamTest, NoTimeoutsOfRequestsApply) {
  host.receive(upgrade());
  EXPECT_EQ(host.session().deadline(), kNever);
  host.advance(24h);
  EXPECT_EQ(behind_head(host.ask("hello")), "hello");
}

TEST_F(StreamTest, WhatTheHandlerDoesNotReadIsHeldBack) {
  host.on(Method::get, "/slow", [this](Request&, Response& response) -> Task<> {
    Stream& own = response.hijack();
    for (;;) {
      co_await sleep_for(1s);
      std::string_view piece = co_await own.read();
      if (piece.empty()) break;
      EXPECT_GE(piece.size(), size_t{1});
      EXPECT_LT(piece.size(), Stream::kMaxUnreadBytes + 16 * 1024);  // one receive past the limit
      heard += piece;
    }
    ++ended;
  });
  host.receive(get("/slow"));
  host.receive(std::string(Stream::kMaxUnreadBytes - 1, 'x'));
  EXPECT_FALSE(host.link().input_paused());
  host.receive("x");
  EXPECT_TRUE(host.link().input_paused());
  host.receive(std::string(1 << 20, 'y'));
  EXPECT_EQ(host.unread(), size_t{1 << 20});
  EXPECT_LT(host.lent(), size_t{400'000});
  host.advance(1s);
  EXPECT_EQ(heard.size(), Stream::kMaxUnreadBytes);
  EXPECT_TRUE(host.link().input_paused());  // full again
  host.advance(60s);
  EXPECT_EQ(heard.size(), Stream::kMaxUnreadBytes + (1 << 20));
  EXPECT_FALSE(host.link().input_paused());
  EXPECT_EQ(ended, 0);
}

TEST_F(StreamTest, AStashThatIsFullStaysHeldBackUntilItIsRead) {
  host.on(Method::get, "/later", [this](Request&, Response& response) -> Task<> {
    co_await sleep_for(1s);
    Stream& own = response.hijack();
    co_await sleep_for(1s);
    for (std::string_view piece; !(piece = co_await own.read()).empty();) heard += piece;
  });
  host.receive(get("/later") + std::string(1 << 20, 'x'));
  EXPECT_TRUE(host.link().input_paused());
  host.advance(1s);
  EXPECT_TRUE(host.link().input_paused());
  host.advance(1s);
  EXPECT_EQ(heard.size(), size_t{1 << 20});
}

TEST_F(StreamTest, WritingWaitsForAPeerThatDoesNotTake) {
  size_t written = 0;
  host.on(Method::get, "/pour", [&](Request&, Response& response) -> Task<> {
    Stream& own = response.hijack();
    const std::string piece(1024, 'x');
    for (; written < 1000; ++written) {
      if (!co_await own.write(piece)) break;
    }
    ++ended;
  });
  host.set_window(0);
  host.receive(get("/pour"));
  // One batch is with the kernel as soon as the writer waits, a second one is being made.
  EXPECT_EQ(written, 2 * Stream::kMaxPreparedBytes / 1024 - 1);
  EXPECT_LE(host.most_prepared(), Stream::kMaxPreparedBytes);
  host.set_window(4096);
  std::string all;
  for (std::string piece; !(piece = host.take(4096)).empty();) all += piece;
  EXPECT_EQ(all.size(), size_t{1000 * 1024});
  EXPECT_EQ(ended, 1);
}

TEST_F(StreamTest, BothWaysHeldBackItStillMoves) {
  host.set_window(100);
  host.receive(upgrade());
  EXPECT_EQ(behind_head(host.take(10'000)), "");
  host.receive(std::string(4 << 20, 'e'));
  EXPECT_TRUE(host.link().input_paused());
  EXPECT_LT(host.lent(), size_t{400'000});
  size_t got = 0;
  for (std::string piece; !(piece = host.take(50'000)).empty();) got += piece.size();
  EXPECT_EQ(got, size_t{4 << 20});
}

TEST_F(StreamTest, AppendTakesAllOrNothingUpToItsLimit) {
  host.set_window(0);
  host.receive(get("/hold"));
  EXPECT_TRUE(held->append("with the kernel"));
  host.settle();
  EXPECT_EQ(held->queued(), 15u);
  EXPECT_FALSE(held->append(std::string(Stream::kMaxAppendedBytes + 1, 'x')));
  EXPECT_TRUE(held->append(std::string(Stream::kMaxAppendedBytes - 1, 'x')));
  EXPECT_FALSE(held->append("xx"));
  EXPECT_TRUE(held->append("x"));
  EXPECT_FALSE(held->append("x"));
  EXPECT_EQ(held->queued(), 15 + Stream::kMaxAppendedBytes);
  EXPECT_TRUE(held->append(""));
  host.set_window(1'000'000);
  EXPECT_EQ(host.take().size(), 15 + Stream::kMaxAppendedBytes);
  EXPECT_EQ(held->queued(), 0u);
  EXPECT_TRUE(held->append(std::string(Stream::kMaxAppendedBytes, 'x')));
}

TEST_F(StreamTest, AppendGoesOnBesideAWriterThatWaits) {
  Stream* own = nullptr;
  host.on(Method::get, "/larger", [&](Request&, Response& response) -> Task<> {
    own = &response.hijack();
    static_cast<void>(co_await own->write(std::string(Stream::kMaxPreparedBytes, 'v')));
    static_cast<void>(co_await own->write(std::string(Stream::kMaxPreparedBytes, 'w')));
    own = nullptr;
  });
  host.set_window(0);
  host.receive(get("/larger"));
  ASSERT_NE(own, nullptr);
  EXPECT_TRUE(own->append("!"));
  host.set_window(1'000'000);
  const std::string sent = host.take();
  EXPECT_EQ(sent.size(), 2 * Stream::kMaxPreparedBytes + 1);
  EXPECT_EQ(sent.back(), '!');
}

TEST_F(StreamTest, AnIdleStreamHoldsNoBuffers) {
  host.receive(get("/plaintext"));
  static_cast<void>(host.take());
  host.receive(upgrade());
  static_cast<void>(host.take());
  const size_t kept_head = host.lent();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(host.ask(std::string(40'000, 'x')).size(), 40'000u);
  EXPECT_EQ(host.lent(), kept_head);
}

TEST_F(StreamTest, WriteAfterThePeerHasGone) {
  std::string said;
  host.on(Method::get, "/loop", [&](Request&, Response& response) -> Task<> {
    Stream& own = response.hijack();
    static_cast<void>(co_await own.read());
    said += own.aborted() ? "aborted " : "there ";
    said += (co_await own.write("x")) ? "taken " : "refused ";
    try {
      for (;;) static_cast<void>(co_await own.write("x"));
    } catch (const std::system_error& error) {
      said += error.code() == std::errc::broken_pipe ? "EPIPE" : "?";
      EXPECT_FALSE(own.append("x"));
      EXPECT_EQ(own.queued(), 0u);
      throw;
    }
  });
  host.receive(get("/loop"));
  host.vanish();
  EXPECT_EQ(said, "aborted refused EPIPE");
  EXPECT_EQ(host.outliving(), 0u);
}

TEST_F(StreamTest, WhatCameBeforeThePeerWentIsHandedOut) {
  host.on(Method::get, "/late", [this](Request&, Response& response) -> Task<> {
    Stream& own = response.hijack();
    static_cast<void>(co_await own.read());
    co_await sleep_for(1s);
    for (std::string_view piece; !(piece = co_await own.read()).empty();) heard += piece;
    ++ended;
  });
  host.receive(get("/late") + "first");
  host.receive("second");
  host.vanish();
  EXPECT_EQ(heard, "second");
  EXPECT_EQ(ended, 1);
}

TEST_F(StreamTest, AWriterThatWaitsIsToldThatThePeerHasGone) {
  bool taken = true;
  host.on(Method::get, "/pour", [&](Request&, Response& response) -> Task<> {
    Stream& own = response.hijack();
    while (taken) taken = co_await own.write(std::string(100'000, 'x'));
    ++ended;
  });
  host.set_window(0);
  host.receive(get("/pour"));
  EXPECT_EQ(ended, 0);
  host.vanish();
  EXPECT_EQ(ended, 1);
}

TEST_F(StreamTest, HijackingAfterThePeerHasGoneIsAStreamWithNobody) {
  host.on(Method::post, "/gone", [this](Request& request, Response& response) -> Task<> {
    static_cast<void>(co_await request.read());
    Stream& own = response.hijack();
    EXPECT_TRUE(own.aborted());
    EXPECT_TRUE((co_await own.read()).empty());
    EXPECT_FALSE(co_await own.write("x"));
    own.leave_at_stop();
    ++ended;
  });
  host.receive("POST /gone HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
  host.vanish();
  EXPECT_EQ(ended, 1);
  EXPECT_EQ(host.outliving(), 0u);
}

class StreamMisuse : public StreamTest {
 protected:
  /// What `misuse` threw: "" for nothing.
  std::string error_of(std::string_view request, std::function<void(Response&)> misuse, bool body = false) {
    std::string what;
    host.on(body ? Method::post : Method::get, body ? "/body" : "/misuse",
            [&what, misuse = std::move(misuse)](Request&, Response& response) -> Task<> {
              try {
                misuse(response);
              } catch (const std::logic_error& error) {
                what = error.what();
                throw;
              }
              co_return;
            });
    host.receive(request);
    return what;
  }
};

TEST_F(StreamMisuse, Twice) {
  EXPECT_EQ(error_of(get("/misuse"),
                     [](Response& response) {
                       response.hijack();
                       response.hijack();
                     }),
            "the connection was hijacked before");
  EXPECT_EQ(host.take(), "");  // no answer into a stream
  EXPECT_EQ(host.reason(), CloseReason::failed);
}

TEST_F(StreamMisuse, BeforeTheBodyIsRead) {
  EXPECT_EQ(error_of(
                post("/body", "hello"), [](Response& response) { response.hijack(); }, true),
            "the request's body was not read to its end");
  EXPECT_EQ(parse_answer(host.take()).status, 500);
}

TEST_F(StreamMisuse, InASynchronousHandler) {
  std::string what;
  host.on(Method::get, "/sync", [&](const Request&, Response& response) {
    try {
      response.hijack();
    } catch (const std::logic_error& error) {
      what = error.what();
      response.text("as before");
    }
  });
  EXPECT_EQ(answer(get("/sync")).body, "as before");
  EXPECT_EQ(what, "only a coroutine handler can hijack its connection");
  EXPECT_EQ(answer(get("/plaintext")).status, 200);
}

TEST_F(StreamMisuse, BehindAnAnswer) {
  std::string what;
  host.on(Method::get, "/begun", [&](Request&, Response& response) -> Task<> {
    static_cast<void>(co_await response.write("x"));
    try {
      response.hijack();
    } catch (const std::logic_error& error) {
      what = error.what();
    }
  });
  EXPECT_EQ(answer(get("/begun")).body, "x");
  EXPECT_EQ(what, "an answer has begun on this connection");
}

TEST_F(StreamMisuse, AnAnswerOnAStream) {
  std::string what;
  host.on(Method::get, "/answers", [&](Request&, Response& response) -> Task<> {
    Stream& own = response.hijack();
    response.text("nobody sees this");
    try {
      static_cast<void>(co_await response.write("nor this"));
    } catch (const std::logic_error& error) {
      what = error.what();
    }
    static_cast<void>(co_await own.write("this"));
  });
  EXPECT_EQ(host.ask(get("/answers")), "this");
  EXPECT_EQ(what, "the connection was hijacked");
}

TEST_F(StreamMisuse, AProtocolThatWasNotOffered) {
  const auto take = [](Response& response) { response.switch_protocols("echo"); };
  const std::string refused = "the client did not offer this protocol";
  for (std::string_view fields :
       {"", "Upgrade: echo\r\n", "Connection: Upgrade\r\n", "Connection: upgrade\r\nUpgrade: echoes, ech\r\n",
        "Connection: upgrade\r\nUpgrade: echo/1\r\n", "Connection: upgrade\r\nUpgrade: ,\r\n"}) {
    SCOPED_TRACE(fields);
    SessionHost other;
    std::string what;
    other.on(Method::get, "/misuse", [&](Request&, Response& response) -> Task<> {
      try {
        take(response);
      } catch (const std::logic_error& error) {
        what = error.what();
      }
      co_return;
    });
    EXPECT_EQ(parse_answer(other.ask(get("/misuse", fields))).status, 200);
    EXPECT_EQ(what, refused);
  }
  EXPECT_EQ(error_of(get("/misuse", kOffer, "1.0"), take), refused);  // RFC 9110 7.8
}

TEST_F(StreamMisuse, AProtocolThatIsNone) {
  for (std::string_view name : {"", "a b", "a\r\nX: y", "/1", "a/", "a/b/c"}) {
    SessionHost other;
    bool refused = false;
    other.on(Method::get, "/misuse", [&](Request&, Response& response) -> Task<> {
      try {
        response.switch_protocols(name);
      } catch (const std::invalid_argument&) {
        refused = true;
      }
      co_return;
    });
    other.receive(get("/misuse", "Connection: upgrade\r\nUpgrade: a/b, a\r\n"));
    EXPECT_TRUE(refused) << name;
  }
}

// The stop.

TEST_F(StreamTest, TheDrainIsToldAndWaits) {
  host.on(Method::get, "/told", [this](Request& request, Response& response) -> Task<> {
    Stream& own = response.hijack();
    co_await until(request.drain_token());
    static_cast<void>(co_await own.write("going away"));
    while (!(co_await own.read()).empty()) {
    }
    ++ended;
  });
  host.receive(get("/told"));
  host.drain();
  host.run_mail();
  EXPECT_EQ(host.take(), "going away");
  host.advance(1h);
  EXPECT_TRUE(host.open_still());
  EXPECT_TRUE(host.session().active());
  host.end_of_stream();
  EXPECT_EQ(ended, 1);
  EXPECT_EQ(host.reason(), CloseReason::finished);
}

TEST_F(StreamTest, ACallbackOfTheDrainMayAppend) {
  host.on(Method::get, "/callback", [](Request& request, Response& response) -> Task<> {
    Stream& own = response.hijack();
    std::stop_callback callback(request.drain_token(), [&own] { own.append("1001"); });
    while (!(co_await own.read()).empty()) {
    }
  });
  host.receive(get("/callback"));
  host.drain();
  EXPECT_EQ(host.take(), "1001");
}

TEST_F(StreamTest, DuringTheDrainItCanStillBegin) {
  host.drain();
  EXPECT_EQ(behind_head(host.ask(upgrade() + "hello")), "hello");
  EXPECT_TRUE(host.open_still());
}

TEST_F(StreamTest, TheForceIsReportedAndTellsTheHandler) {
  host.set_window(5);
  host.receive(get("/hold") + get("/plaintext"));
  host.advance(1500ms);
  ASSERT_TRUE(held->append("what is queued leaves"));
  host.settle();
  EXPECT_EQ(report(), "hijacked GET /hold 1500\n");
  EXPECT_EQ(host.session().unanswered().second, std::string("/hold"));
  host.force();
  EXPECT_EQ(ended, 1);
  EXPECT_EQ(host.take(), "what is queued leaves");
  EXPECT_EQ(host.reason(), CloseReason::forced);
  EXPECT_EQ(host.wish(), CloseWish::linger);
}

TEST_F(StreamTest, TheAnswerBeforeItIsReportedByItself) {
  host.set_window(0);
  host.receive(get("/users/7") + get("/hold"));
  EXPECT_EQ(report(), "writing GET /users/7 0\nhijacked GET /hold 0\n");
}

TEST_F(StreamTest, OneThatLeavesAtTheStopIsClosedAsItDrains) {
  std::string said;
  host.on(Method::get, "/leaves", [&](Request& request, Response& response) -> Task<> {
    Stream& own = response.hijack();
    own.leave_at_stop();
    std::stop_callback callback(request.stop_token(), [&said] { said += "told "; });
    static_cast<void>(co_await own.write("last words"));
    while (!(co_await own.read()).empty()) {
    }
    said += "ended";
  });
  host.receive(get("/leaves"));
  EXPECT_EQ(host.take(), "last words");
  EXPECT_TRUE(host.open_still());
  host.drain();
  EXPECT_FALSE(host.open_still());
  EXPECT_EQ(said, "told ended");
  EXPECT_EQ(host.reason(), CloseReason::finished);
  EXPECT_EQ(host.wish(), CloseWish::linger);
  EXPECT_EQ(host.outliving(), 0u);
}

TEST_F(StreamTest, OneThatOptsOutWhileDrainingLeavesAtOnce) {
  host.on(Method::get, "/leaves", [this](Request& request, Response& response) -> Task<> {
    Stream& own = response.hijack();
    co_await until(request.drain_token());
    own.append("queued");
    own.leave_at_stop();
    EXPECT_TRUE(own.aborted());
    EXPECT_TRUE(request.stop_token().stop_requested());
    co_await sleep_for(1s);  // the stop waits for code, if not for the connection
    ++ended;
  });
  host.receive(get("/leaves"));
  host.drain();
  host.run_mail();
  EXPECT_EQ(host.take(), "queued");
  EXPECT_FALSE(host.open_still());
  EXPECT_EQ(host.outliving(), 1u);
  host.advance(1s);
  EXPECT_EQ(ended, 1);
  EXPECT_EQ(host.outliving(), 0u);
}

TEST_F(StreamTest, ExchangesAreReusedWithoutATrace) {
  for (int i = 0; i < 3; ++i) {
    host.receive(upgrade() + "hello");
    host.end_of_stream();
    EXPECT_EQ(behind_head(host.take()), "hellobye");
    host.open();
    EXPECT_EQ(answer(get("/plaintext")).body, "Hello, World!");
    EXPECT_EQ(answer(post("/echo", "body")).body, "body");
    host.vanish();
    host.open();
  }
}

}  // namespace
}  // namespace lastcall::test
