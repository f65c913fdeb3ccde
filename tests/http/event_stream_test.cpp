#include <lastcall/http/event_stream.hpp>

#include "tests/http/session_support.hpp"

namespace lastcall::test {
namespace {

class EventStreamTest : public SessionTest {
 protected:
  /// What one send puts on the wire.
  std::string sent(ServerSentEvent event) {
    host.on(Method::get, "/events", [event](Request&, Response& response) -> Task<> {
      EventStream stream(response);
      EXPECT_TRUE(co_await stream.send(event));
    });
    Answer got = answer(get("/events"));
    EXPECT_EQ(got.field("Content-Type"), "text/event-stream");
    EXPECT_EQ(got.field("Cache-Control"), "no-store");
    return got.body;
  }
};

TEST_F(EventStreamTest, DataAlone) {
  EXPECT_EQ(sent({.data = "hello"}), "data: hello\n\n");
}

TEST_F(EventStreamTest, EveryField) {
  EXPECT_EQ(sent({.data = "x", .event = "tick", .id = "7", .retry = 1500ms}),
            "event: tick\nid: 7\nretry: 1500\ndata: x\n\n");
}

TEST_F(EventStreamTest, EmptyDataIsALineToo) {
  EXPECT_EQ(sent({.data = ""}), "data: \n\n");
}

TEST_F(EventStreamTest, LinesHoweverTheyEnd) {
  EXPECT_EQ(sent({.data = "a\nb\r\nc\rd\n"}), "data: a\ndata: b\ndata: c\ndata: d\ndata: \n\n");
}

TEST_F(EventStreamTest, ALineEndInATypeOrAnIdIsRefused) {
  for (std::string_view bad :
       {std::string_view("a\nb"), std::string_view("a\r"), std::string_view("a\0b", 3)}) {
    bool by_type = false;
    bool by_id = false;
    SessionHost other;
    other.on(Method::get, "/events", [&, bad](Request&, Response& response) -> Task<> {
      EventStream stream(response);
      try {
        static_cast<void>(stream.send({.data = "x", .event = bad}));
      } catch (const std::invalid_argument&) {
        by_type = true;
      }
      try {
        static_cast<void>(stream.send({.data = "x", .id = bad}));
      } catch (const std::invalid_argument&) {
        by_id = true;
      }
      co_return;
    });
    static_cast<void>(other.ask(get("/events")));
    EXPECT_TRUE(by_type);
    EXPECT_TRUE(by_id);
  }
}

TEST_F(EventStreamTest, CommentsAreLinesThatClientsDrop) {
  host.on(Method::get, "/events", [](Request&, Response& response) -> Task<> {
    EventStream stream(response);
    EXPECT_TRUE(co_await stream.comment("still\nhere"));
  });
  EXPECT_EQ(answer(get("/events")).body, ": still\n: here\n\n");
}

TEST_F(EventStreamTest, EventsComeOneByOneAndEndCleanlyAtTheDrain) {
  host.on(Method::get, "/events", [](Request& request, Response& response) -> Task<> {
    EventStream stream(response);
    for (int n = 1; !request.drain_token().stop_requested(); ++n) {
      if (!co_await stream.send({.data = std::to_string(n)})) co_return;
      co_await sleep_for(1s, request.drain_token());
    }
    static_cast<void>(co_await stream.send({.data = "", .event = "bye"}));
  });
  host.receive(get("/events"));
  std::string first = host.take();
  EXPECT_TRUE(first.ends_with("data: 1\n\n\r\n")) << first;
  host.advance(1s);
  EXPECT_EQ(host.take(), "9\r\ndata: 2\n\n\r\n");
  host.advance(500ms);
  EXPECT_EQ(host.take(), "");
  host.drain();
  host.run_mail();
  EXPECT_EQ(host.take(), "13\r\nevent: bye\ndata: \n\n\r\n0\r\n\r\n");
}

TEST_F(EventStreamTest, AClientThatGoesAwayEndsTheHandler) {
  bool ended = false;
  host.on(Method::get, "/events", [&ended](Request&, Response& response) -> Task<> {
    EventStream stream(response);
    while (co_await stream.send({.data = "tick"})) co_await sleep_for(1s);
    ended = true;
  });
  host.receive(get("/events"));
  host.advance(3s);
  EXPECT_FALSE(ended);
  host.vanish();
  EXPECT_TRUE(ended);
}

}  // namespace
}  // namespace lastcall::test
