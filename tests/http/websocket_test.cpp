// A WebSocket in a session: its handler, the client's bytes, senders, the stop, under the simulated clock.

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <lastcall/http/websocket.hpp>
#include <lastcall/http/websocket_connection.hpp>

#include "tests/http/session_support.hpp"
#include "tests/support/websocket_frames.hpp"

namespace lastcall::test {
namespace {

using namespace std::string_literals;

ServerFrame text(std::string payload) {
  return {.opcode = kText, .final = true, .payload = std::move(payload)};
}
ServerFrame pong(std::string payload) {
  return {.opcode = kPong, .final = true, .payload = std::move(payload)};
}

class WebSocketTest : public ::testing::Test {
 protected:
  /// A handler that does what `body` says with the socket, and tells how it ended.
  template <class Body>
  void serve(Body body, WebSocketOptions options = {}) {
    options_ = std::move(options);
    host.on(Method::get, "/ws", [this, body](Request& request, Response& response) -> Task<> {
      auto socket = WebSocket::accept(request, response, options_);
      if (!socket) co_return;
      sender = socket->sender();
      co_await body(*socket, request);
      code = socket->close_code();
      reason = socket->close_reason();
      ended = true;
    });
  }
  void serve_echo(WebSocketOptions options = {}) {
    serve(
        [this](WebSocket& socket, Request&) -> Task<> {
          while (auto message = co_await socket.receive()) {
            received.push_back(message->data);
            if (!co_await socket.send(*message)) break;
          }
        },
        std::move(options));
  }

  /// Opens; the answer's head is taken.
  void open(std::string_view fields = "", std::string_view behind = "") {
    host.receive(handshake_request("/ws", fields).append(behind));
    const std::string answer = stream_with(host.take());
    const size_t end = answer.find("\r\n\r\n");
    ASSERT_NE(end, std::string::npos) << answer;
    head = answer.substr(0, end + 4);
    ASSERT_TRUE(head.starts_with("HTTP/1.1 101 ")) << head;
    left = answer.substr(end + 4);
  }
  std::string stream_with(std::string bytes) { return std::exchange(left, {}) + bytes; }
  /// What the server has sent since.
  std::vector<ServerFrame> frames() {
    left += host.take();
    return take_frames(left);
  }
  std::vector<ServerFrame> ask(std::string_view bytes) {
    host.receive(bytes);
    return frames();
  }
  /// That it was one close frame of that code, and nothing else.
  void expect_close(const std::vector<ServerFrame>& all, uint16_t expected) {
    ASSERT_EQ(all.size(), 1u);
    EXPECT_EQ(all[0].opcode, kClose);
    EXPECT_EQ(all[0].close_code(), expected);
  }

  SessionHost host;
  WebSocketOptions options_;
  std::optional<WebSocket::Sender> sender;
  std::vector<std::string> received;
  std::string head, left, reason;
  uint16_t code = 0;
  bool ended = false;
};

TEST_F(WebSocketTest, OpensAndEchoes) {
  serve_echo();
  open();
  EXPECT_NE(head.find("\r\nSec-WebSocket-Accept: "s.append(kSampleAccept) + "\r\n"), std::string::npos)
      << head;
  EXPECT_NE(head.find("\r\nUpgrade: websocket\r\n"), std::string::npos) << head;
  EXPECT_NE(head.find("\r\nConnection: Upgrade\r\n"), std::string::npos) << head;
  EXPECT_EQ(head.find("Sec-WebSocket-Protocol"), std::string::npos);
  EXPECT_EQ(ask(client_frame(kText, "hello")), std::vector{text("hello")});
  const std::string bytes("\x00\xff", 2);
  EXPECT_EQ(ask(client_frame(kBinary, bytes)),
            (std::vector{ServerFrame{.opcode = kBinary, .final = true, .payload = bytes}}));
  EXPECT_TRUE(host.open_still());
}

TEST_F(WebSocketTest, RefusedHandshakesAreAnsweredAndTheConnectionGoesOn) {
  serve_echo({.allowed_origins = {"https://good.example"}});
  Answer answer = parse_answer(host.ask("GET /ws HTTP/1.1\r\nHost: a\r\n\r\n"), "GET");
  EXPECT_EQ(answer.status, 426);
  EXPECT_EQ(answer.field("Sec-WebSocket-Version"), "13");
  EXPECT_EQ(answer.field("Upgrade"), "websocket");
  EXPECT_EQ(answer.field("Connection"), "Upgrade");
  answer = parse_answer(host.ask(handshake_request("/ws", "Sec-WebSocket-Key: again\r\n")), "GET");
  EXPECT_EQ(answer.status, 400);
  answer = parse_answer(host.ask(handshake_request("/ws", "Origin: https://evil.example\r\n")), "GET");
  EXPECT_EQ(answer.status, 403);
  answer = parse_answer(host.ask(handshake_request("/ws", "Content-Length: 2\r\n") + "\x81\x80"), "GET");
  EXPECT_EQ(answer.status, 400);
  open("Origin: https://good.example\r\n");
}

TEST_F(WebSocketTest, ChoosesASubprotocol) {
  serve_echo({.subprotocols = {"chat.v2", "chat.v1"}});
  open("Sec-WebSocket-Protocol: chat.v1, chat.v2\r\n");
  EXPECT_NE(head.find("\r\nSec-WebSocket-Protocol: chat.v2\r\n"), std::string::npos) << head;
}

TEST_F(WebSocketTest, FramesBehindTheHandshakeAreRead) {
  serve_echo();
  open("", client_frame(kText, "early") + client_frame(kPing, "p"));
  EXPECT_EQ(frames(), (std::vector{pong("p"), text("early")})) << "the ping is answered as it comes";
}

TEST_F(WebSocketTest, TornAtEveryByte) {
  serve_echo();
  open();
  const std::string wire = client_frame(kText, "a", {.final = false}) + client_frame(kPing, "p") +
                           client_frame(kContinuation, "b") + client_close(1000, "bye");
  for (const char byte : wire) host.receive({&byte, 1});
  const auto all = frames();
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[0], pong("p"));
  EXPECT_EQ(all[1], text("ab"));
  EXPECT_EQ(all[2].close_code(), 1000);
  EXPECT_EQ(reason, "bye");
}

TEST_F(WebSocketTest, TheClientCloses) {
  serve_echo();
  open();
  expect_close(ask(client_close(4321, "done")), 4321);
  EXPECT_TRUE(ended);
  EXPECT_EQ(code, 4321);
  EXPECT_EQ(reason, "done");
  EXPECT_FALSE(host.open_still());
  EXPECT_EQ(host.reason(), CloseReason::finished);
  EXPECT_EQ(host.wish(), CloseWish::linger);
  EXPECT_FALSE(sender->send_text("late"));
}

TEST_F(WebSocketTest, ACloseWithoutACodeIsAnsweredWithout) {
  serve_echo();
  open();
  const auto all = ask(client_frame(kClose, ""));
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].payload, "");
  EXPECT_EQ(code, 1005);
}

TEST_F(WebSocketTest, MessagesBeforeTheCloseAreReceived) {
  serve([this](WebSocket& socket, Request&) -> Task<> {
    co_await sleep_for(1s);
    while (auto message = co_await socket.receive()) received.push_back(message->data);
  });
  open();
  expect_close(ask(client_frame(kText, "one") + client_frame(kText, "two") + client_close(1000)), 1000);
  EXPECT_FALSE(ended);
  EXPECT_TRUE(host.open_still());
  host.advance(1s);
  EXPECT_EQ(received, (std::vector<std::string>{"one", "two"}));
  EXPECT_TRUE(ended);
  EXPECT_FALSE(host.open_still());
}

TEST_F(WebSocketTest, TheHandlerClosesAndWaitsForTheClient) {
  serve([](WebSocket& socket, Request&) -> Task<> { co_await socket.close(4000, "enough"); });
  open();
  const auto all = frames();
  expect_close(all, 4000);
  EXPECT_EQ(all[0].payload.substr(2), "enough");
  EXPECT_FALSE(ended);
  EXPECT_TRUE(ask(client_frame(kText, "crossing") + client_frame(kPing, "p")).empty())
      << "nothing follows a close frame";
  EXPECT_FALSE(ended);
  EXPECT_TRUE(ask(client_close(4000)).empty());
  EXPECT_TRUE(ended);
  EXPECT_EQ(code, 4000);
  EXPECT_FALSE(host.open_still());
}

TEST_F(WebSocketTest, AnUnansweredCloseIsWaitedForNoLongerThanItsTime) {
  serve([](WebSocket& socket, Request&) -> Task<> { co_await socket.close(); }, {.close_timeout = 3s});
  open();
  expect_close(frames(), 1000);
  host.advance(2999ms);
  EXPECT_FALSE(ended);
  EXPECT_TRUE(host.open_still());
  host.advance(1ms);
  EXPECT_TRUE(ended);
  EXPECT_EQ(code, 1006);
  EXPECT_FALSE(host.open_still());
}

TEST_F(WebSocketTest, WhatNobodyMaySendIsAnError) {
  std::vector<std::string> errors;
  serve([&](WebSocket& socket, Request&) -> Task<> {
    for (const uint16_t bad : std::initializer_list<uint16_t>{0, 999, 1005, 1006, 1015, 5000}) {
      try {
        co_await socket.close(bad);
      } catch (const std::invalid_argument&) {
        errors.push_back(std::to_string(bad));
      }
    }
    for (const std::string& bad : {std::string(124, 'x'), "\xff"s}) {
      try {
        co_await socket.close(1000, bad);
      } catch (const std::invalid_argument&) {
        errors.emplace_back("reason");
      }
    }
    try {
      static_cast<void>(co_await socket.send_text("\xff"));
    } catch (const std::invalid_argument&) {
      errors.emplace_back("text");
    }
    try {
      socket.sender().send_text("\xff");
    } catch (const std::invalid_argument&) {
      errors.emplace_back("sender");
    }
    co_await socket.close(1000, std::string(123, 'x'));
  });
  open();
  EXPECT_EQ(errors.size(), 10u);
  expect_close(frames(), 1000);
}

TEST_F(WebSocketTest, AHandlerThatEndsCloses) {
  serve([](WebSocket& socket, Request&) -> Task<> { static_cast<void>(co_await socket.send_text("bye")); });
  open();
  const auto all = frames();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0], text("bye"));
  EXPECT_EQ(all[1].close_code(), 1000);
  EXPECT_EQ(host.wish(), CloseWish::linger) << "reads to the client's end, its close frame among it";
}

TEST_F(WebSocketTest, AHandlerThatThrowsClosesWith1011) {
  serve([](WebSocket& socket, Request&) -> Task<> {
    static_cast<void>(co_await socket.receive());
    throw std::runtime_error("handler");
  });
  open();
  expect_close(ask(client_frame(kText, "x")), 1011);
  EXPECT_FALSE(host.open_still());
}

TEST_F(WebSocketTest, BrokenRulesCloseWithTheirCode) {
  const std::vector<std::pair<std::string, uint16_t>> cases{
      {client_frame(kText, "x", {.masked = false}), 1002},
      {client_frame(3, ""), 1002},
      {client_frame(kText, "\xff"), 1007},
      {client_frame(kBinary, std::string(101, 'x')), 1009},
      {client_close(1006), 1002},
  };
  serve_echo({.max_message_bytes = 100});
  for (const auto& [wire, expected] : cases) {
    ended = false;
    open();
    expect_close(ask(wire + client_frame(kText, "never read")), expected);
    EXPECT_TRUE(ended);
    EXPECT_EQ(code, 1006) << "the client has not closed";
    EXPECT_TRUE(received.empty());
    ASSERT_FALSE(host.open_still());
    host.open();
  }
}

TEST_F(WebSocketTest, TheClientsEndWithoutACloseFrame) {
  serve_echo();
  open();
  host.receive(client_frame(kText, "last") + client_frame(kText, "half").substr(0, 4));
  host.end_of_stream();
  EXPECT_EQ(received, std::vector<std::string>{"last"});
  EXPECT_TRUE(ended);
  EXPECT_EQ(code, 1006);
  EXPECT_FALSE(host.open_still());
}

TEST_F(WebSocketTest, TheClientVanishes) {
  serve_echo();
  open();
  host.vanish();
  EXPECT_TRUE(ended);
  EXPECT_EQ(code, 1006);
  EXPECT_FALSE(sender->send_text("late"));
  EXPECT_EQ(host.outliving(), 0u);
}

TEST_F(WebSocketTest, TheClientVanishesWhileTheHandlerIsElsewhere) {
  serve([](WebSocket& socket, Request&) -> Task<> {
    co_await offload([] {});
    EXPECT_FALSE(co_await socket.send_text("nobody"));
    EXPECT_FALSE(co_await socket.receive());
  });
  open();
  host.vanish();
  EXPECT_FALSE(sender->send_text("late"));
  while (!ended) host.run_mail();
}

// Control frames do not wait for the handler.
TEST_F(WebSocketTest, PingsAreAnsweredWhileTheHandlerIsElsewhere) {
  serve([](WebSocket&, Request&) -> Task<> { co_await sleep_for(1h); });
  open();
  EXPECT_EQ(ask(client_frame(kText, "waits") + client_frame(kPing, "p")), std::vector{pong("p")});
}

TEST_F(WebSocketTest, PingsComeAndUnansweredOnesEndIt) {
  serve_echo({.ping_interval = 30s, .close_timeout = 5s});
  open();
  host.advance(29999ms);
  EXPECT_TRUE(frames().empty());
  host.advance(1ms);
  EXPECT_EQ(frames(), (std::vector{ServerFrame{.opcode = kPing, .final = true, .payload = ""}}));
  EXPECT_TRUE(ask(client_frame(kPong, "")).empty());
  host.advance(30s);
  EXPECT_EQ(frames().size(), 1u) << "the next one";
  host.advance(29999ms);
  EXPECT_TRUE(frames().empty());
  host.advance(1ms);
  expect_close(frames(), 1011);
  EXPECT_FALSE(ended);
  host.advance(5s);
  EXPECT_TRUE(ended);
  EXPECT_FALSE(host.open_still());
}

TEST_F(WebSocketTest, WithoutAnIntervalNoPings) {
  serve_echo({.ping_interval = 0s});
  open();
  host.advance(10h);
  EXPECT_TRUE(frames().empty());
  EXPECT_TRUE(host.open_still());
}

// A pong may be behind messages that the handler does not receive: its silence is not the client's.
TEST_F(WebSocketTest, AHeldBackClientIsNotTakenForDead) {
  serve(
      [this](WebSocket& socket, Request&) -> Task<> {
        co_await sleep_for(10min);
        while (auto message = co_await socket.receive()) received.push_back(message->data);
      },
      {.ping_interval = 30s});
  open();
  host.advance(30s);
  EXPECT_EQ(frames().size(), 1u);
  std::string wire;
  for (size_t i = 0; i < WebSocketConnection::kMaxWaitingMessages; ++i) wire += client_frame(kText, "m");
  host.receive(wire + client_frame(kPong, ""));
  host.advance(5min);
  EXPECT_TRUE(frames().empty());
  host.advance(5min);
  EXPECT_EQ(received.size(), WebSocketConnection::kMaxWaitingMessages);
  EXPECT_FALSE(ended);
}

TEST_F(WebSocketTest, WhatWaitsForTheHandlerIsBounded) {
  serve(
      [this](WebSocket& socket, Request&) -> Task<> {
        co_await sleep_for(1s);
        while (auto message = co_await socket.receive()) received.push_back(message->data);
      },
      {.max_message_bytes = 10'000});
  open();
  const std::string message = client_frame(kBinary, std::string(10'000, 'x'));
  for (int i = 0; i < 100; ++i) host.receive(message);
  EXPECT_TRUE(host.link().input_paused());
  EXPECT_GE(host.unread(), 100 * message.size() - 2 * 10'000 - 3 * Stream::kMaxUnreadBytes);
  host.advance(1s);
  EXPECT_EQ(received.size(), 100u);
  EXPECT_FALSE(host.link().input_paused());
}

TEST_F(WebSocketTest, MessagesThatWaitAreCounted) {
  serve([this](WebSocket& socket, Request&) -> Task<> {
    co_await sleep_for(1s);
    while (auto message = co_await socket.receive()) received.push_back(message->data);
  });
  open();
  std::string wire;
  for (size_t i = 0; i < WebSocketConnection::kMaxWaitingMessages - 1; ++i) wire += client_frame(kText, "");
  EXPECT_EQ(ask(wire + client_frame(kPing, "1")), std::vector{pong("1")});
  EXPECT_TRUE(ask(client_frame(kText, "") + client_frame(kPing, "2")).empty()) << "held back";
  host.advance(1s);
  EXPECT_EQ(frames(), std::vector{pong("2")});
  EXPECT_EQ(received.size(), WebSocketConnection::kMaxWaitingMessages);
}

TEST_F(WebSocketTest, AnIdleSocketHoldsNoBuffer) {
  serve_echo();
  open();
  static_cast<void>(ask(client_frame(kText, std::string(200'000, 'x'))));
  const size_t with_head = host.lent();
  EXPECT_LE(with_head, 4096u) << "the head of its request";
}

TEST_F(WebSocketTest, SendingWaitsForTheClient) {
  int sent = 0;
  serve([&](WebSocket& socket, Request&) -> Task<> {
    const std::string message(10'000, 'm');
    static_cast<void>(co_await socket.receive());
    for (; sent < 100; ++sent) {
      if (!co_await socket.send_binary(message)) break;
    }
  });
  open();
  host.set_window(1000);
  host.receive(client_frame(kText, "go"));
  const int first = sent;
  EXPECT_LT(first, 20);
  EXPECT_LE(host.most_prepared(), Stream::kMaxPreparedBytes);
  left += host.take(200'000);
  EXPECT_GT(sent, first);
  EXPECT_LT(sent, 100);
  left += host.take();
  const auto all = take_frames(left);
  EXPECT_EQ(sent, 100);
  ASSERT_EQ(all.size(), 101u);
  EXPECT_EQ(all[99].payload.size(), 10'000u);
  EXPECT_EQ(all[100].close_code(), 1000);
  EXPECT_TRUE(left.empty());
}

TEST_F(WebSocketTest, ALargeMessageLeavesInPieces) {
  host.set_window(5000);
  const std::string large(1'000'000, 'l');
  serve([&](WebSocket& socket, Request&) -> Task<> {
    EXPECT_TRUE(co_await socket.send_text(large));
    EXPECT_TRUE(co_await socket.send_text("next"));
    while (auto message = co_await socket.receive()) {
    }
  });
  open();
  EXPECT_EQ(frames(), (std::vector{text(large), text("next")}));
  EXPECT_LE(host.most_prepared(), Stream::kMaxPreparedBytes);
}

TEST_F(WebSocketTest, SendingToNobodyForeverIsAnError) {
  int sent = 0;
  serve([&](WebSocket& socket, Request&) -> Task<> {
    static_cast<void>(co_await socket.receive());
    for (;;) {
      ++sent;
      static_cast<void>(co_await socket.send_text("x"));
    }
  });
  open();
  host.receive(client_close(1000));
  EXPECT_EQ(sent, 2);
  EXPECT_FALSE(host.open_still());
}

// ---- The stop.

TEST_F(WebSocketTest, TheStopSends1001AndWaitsForTheClient) {
  serve_echo();
  open();
  host.drain();
  expect_close(frames(), 1001);
  EXPECT_TRUE(host.open_still());
  EXPECT_FALSE(ended);
  EXPECT_FALSE(sender->send_text("late"));
  host.advance(4999ms);
  EXPECT_TRUE(host.open_still());
  EXPECT_TRUE(ask(client_close(1001)).empty());
  EXPECT_TRUE(ended);
  EXPECT_EQ(code, 1001);
  EXPECT_FALSE(host.open_still());
}

TEST_F(WebSocketTest, TheStopWaitsNoLongerThanTheTimeForTheClose) {
  serve_echo({.close_timeout = 5s});
  open();
  host.drain();
  expect_close(frames(), 1001);
  host.advance(4999ms);
  EXPECT_FALSE(ended);
  host.advance(1ms);
  EXPECT_TRUE(ended);
  EXPECT_EQ(code, 1006);
  EXPECT_FALSE(host.open_still());
  EXPECT_EQ(host.reason(), CloseReason::finished);
}

TEST_F(WebSocketTest, TheStopFindsTheHandlerElsewhere) {
  bool told = false;
  serve([&](WebSocket& socket, Request& request) -> Task<> {
    static_cast<void>(co_await sleep_for(1h, request.stop_token()));
    EXPECT_TRUE(socket.closing());
    told = true;
    EXPECT_FALSE(co_await socket.receive());
  });
  open();
  host.drain();
  expect_close(frames(), 1001);
  EXPECT_TRUE(ask(client_close(1001)).empty());
  EXPECT_FALSE(told) << "it has time to end, as long as the close may take";
  host.advance(5s);
  host.run_mail();
  EXPECT_TRUE(told);
  EXPECT_TRUE(ended);
  EXPECT_FALSE(host.open_still());
  EXPECT_EQ(host.outliving(), 0u);
}

TEST_F(WebSocketTest, WhatTheClientHadSentBeforeTheStopIsReceived) {
  serve_echo();
  open();
  host.drain();
  expect_close(frames(), 1001);
  EXPECT_TRUE(ask(client_frame(kText, "crossing")).empty());
  EXPECT_EQ(received, std::vector<std::string>{"crossing"});
  EXPECT_TRUE(ended) << "an echo that cannot be sent";
}

TEST_F(WebSocketTest, OpenedDuringTheStopItIsClosedAtOnce) {
  serve_echo();
  host.drain();
  open();
  expect_close(frames(), 1001);
  EXPECT_TRUE(ask(client_close(1001)).empty());
  EXPECT_TRUE(ended);
}

TEST_F(WebSocketTest, TheForceEndsIt) {
  serve_echo();
  open();
  host.drain();
  host.force();
  EXPECT_TRUE(ended);
  EXPECT_FALSE(host.open_still());
  EXPECT_EQ(host.reason(), CloseReason::forced);
}

// ---- Senders.

TEST_F(WebSocketTest, ASenderOnAnotherThread) {
  serve_echo();
  open();
  std::thread([this] {
    for (int i = 0; i < 100; ++i) EXPECT_TRUE(sender->send_text(std::to_string(i)));
    EXPECT_TRUE(sender->send_binary("\xff"));
  }).join();
  EXPECT_TRUE(frames().empty()) << "the reactor has not looked";
  host.run_mail();
  const auto all = frames();
  ASSERT_EQ(all.size(), 101u);
  for (size_t i = 0; i < 100; ++i) EXPECT_EQ(all[i], text(std::to_string(i)));
  EXPECT_EQ(all[100].opcode, kBinary);
}

TEST_F(WebSocketTest, SendersOnManyThreadsWhileTheSocketGoes) {
  serve_echo();
  open();
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([copy = *sender] {
      while (copy.send_text("x")) std::this_thread::yield();
    });
  }
  for (int i = 0; i < 20; ++i) {
    host.run_mail();
    static_cast<void>(host.take());
  }
  host.vanish();
  for (std::thread& thread : threads) thread.join();
  host.run_mail();
  EXPECT_TRUE(ended);
}

TEST_F(WebSocketTest, WhatASenderWasPromisedLeavesBeforeTheClose) {
  serve_echo();
  open();
  EXPECT_TRUE(sender->send_text("first"));
  host.drain();
  const auto all = frames();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0], text("first"));
  EXPECT_EQ(all[1].close_code(), 1001);
  host.run_mail();
  EXPECT_TRUE(frames().empty());
}

TEST_F(WebSocketTest, SendersOutliveSocketAndServer) {
  std::optional<WebSocket::Sender> copy;
  {
    SessionHost own;
    own.on(Method::get, "/ws", [&](Request& request, Response& response) -> Task<> {
      auto socket = WebSocket::accept(request, response);
      copy = socket->sender();
      EXPECT_TRUE(copy == socket->sender());
      while (auto message = co_await socket->receive()) {
      }
    });
    own.receive(handshake_request("/ws"));
    EXPECT_TRUE(copy->send_text("on its way"));
    own.vanish();
    EXPECT_FALSE(copy->send_text("late"));
  }
  EXPECT_FALSE(copy->send_text("much later"));
}

TEST_F(WebSocketTest, ASlowClientIsClosedWith1008) {
  host.set_window(1000);
  serve_echo({.max_queued_bytes = 200'000, .close_timeout = 5s});
  open();
  const std::string message(10'000, 's');
  int taken = 0;
  while (sender->send_text(message)) {
    host.run_mail();
    ASSERT_LT(++taken, 100);
  }
  EXPECT_GE(taken, 18);
  EXPECT_LE(taken, 21);
  auto all = frames();
  ASSERT_FALSE(all.empty());
  EXPECT_EQ(all.back().close_code(), 1008);
  EXPECT_EQ(all.back().payload.substr(2), "too slow");
  host.advance(5s);
  EXPECT_TRUE(ended);
  EXPECT_FALSE(host.open_still());
}

TEST_F(WebSocketTest, MailToABusyReactorIsBoundedToo) {
  serve_echo({.max_queued_bytes = 100'000});
  open();
  int taken = 0;
  while (sender->send_text("")) ASSERT_LT(++taken, 10'000);
  EXPECT_GT(taken, 1000);
  EXPECT_FALSE(sender->send_text(""));
  host.run_mail();
  auto all = frames();
  ASSERT_EQ(all.size(), static_cast<size_t>(taken) + 1);
  EXPECT_EQ(all.back().close_code(), 1008);
}

TEST_F(WebSocketTest, AMessageThatIsTooLargeForTheQueueIsRefusedAlone) {
  serve_echo({.max_queued_bytes = 1000});
  open();
  EXPECT_FALSE(sender->send_text(std::string(1001, 'x')));
  EXPECT_TRUE(sender->send_text("small"));
  host.run_mail();
  EXPECT_EQ(frames(), std::vector{text("small")});
}

TEST_F(WebSocketTest, PingsOfAClientThatTakesNothingDoNotPileUp) {
  host.set_window(1000);
  serve_echo({.max_queued_bytes = 100'000});
  open();
  const std::string ping = client_frame(kPing, std::string(125, 'p'));
  for (int i = 0; i < 2000; ++i) host.receive(ping);
  auto all = frames();
  ASSERT_FALSE(all.empty());
  EXPECT_EQ(all.back().close_code(), 1008);
  EXPECT_LT(all.size(), 1000u);
}

}  // namespace
}  // namespace lastcall::test
