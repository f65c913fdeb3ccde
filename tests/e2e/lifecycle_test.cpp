// Background tasks and the stop by request, as `lastcall demo` has them.

#include "tests/e2e/fixture.hpp"
#include "tests/support/websocket_client.hpp"

namespace lastcall::e2e {
namespace {

using ::testing::HasSubstr;

class LifecycleRoutes : public EndToEnd {};
LASTCALL_ON_BOTH_BACKENDS(LifecycleRoutes);

TEST_P(LifecycleRoutes, BackgroundIsAnsweredAtOnceAndAwaitedByTheStop) {
  start();
  HttpAnswer answer = connect().ask(post_request("/background?ms=400", ""));
  EXPECT_EQ(answer.status, 202);
  begin_stop();
  ASSERT_TRUE(server().wait_for_event("completing_background_tasks"));
  EXPECT_EQ(wait_exit(), 0);
  EXPECT_EQ(report()["background"], Json({{"completed", 1}, {"failed", 0}, {"abandoned", 0}}));
  EXPECT_GE(report()["duration_ms"], 200);
}

TEST_P(LifecycleRoutes, BackgroundThatTakesTooLongIsAbandonedAtTheDeadline) {
  start({"--deadline", "700ms"});
  EXPECT_EQ(connect().ask(post_request("/background?ms=60000", "")).status, 202);
  EXPECT_EQ(stop(), 2);
  EXPECT_EQ(report()["background"], Json({{"completed", 0}, {"failed", 0}, {"abandoned", 1}}));
  EXPECT_LT(report()["duration_ms"], 760);
}

TEST_P(LifecycleRoutes, BackgroundWantsANumber) {
  start();
  EXPECT_EQ(connect().ask(post_request("/background?ms=x", "")).status, 400);
  EXPECT_EQ(connect().ask(get_request("/background?ms=1")).status, 405);
}

TEST_P(LifecycleRoutes, ShutdownIsNotThereUnlessItIsAllowed) {
  start();
  EXPECT_EQ(connect().ask(post_request("/shutdown", "")).status, 404);
}

TEST_P(LifecycleRoutes, ShutdownAnswersInFullWhileOthersAreServed) {
  start({"--allow-remote-shutdown"});
  RawClient slow = connect();
  slow.send(get_request("/sleep?ms=300"));
  settle();
  RawClient caller = connect();
  HttpAnswer answer = caller.ask(post_request("/shutdown", ""));
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, "stopping\n");
  caller.close();
  EXPECT_EQ(slow.read_answer().body, "slept 300 ms\n");
  slow.close();
  EXPECT_EQ(wait_exit(), 0);
  EXPECT_EQ(report()["reason"], "POST /shutdown");
}

TEST_P(LifecycleRoutes, ShutdownByRequestAndBySignalAtOnceAreOneStop) {
  start({"--allow-remote-shutdown"});
  RawClient slow = connect();
  slow.send(get_request("/sleep?ms=200"));
  settle();
  RawClient first = connect();
  RawClient second = connect();
  first.send(post_request("/shutdown", ""));
  second.send(post_request("/shutdown", ""));
  server().signal(SIGTERM);
  EXPECT_EQ(first.read_answer().body, "stopping\n");
  EXPECT_EQ(second.read_answer().body, "stopping\n");
  EXPECT_EQ(slow.read_answer().body, "slept 200 ms\n");
  for (RawClient* client : {&first, &second, &slow}) client->close();
  EXPECT_EQ(wait_exit(), 0);
}

TEST_P(LifecycleRoutes, EventsEndWithAByeWhenTheStopBegins) {
  start();
  RawClient client = connect();
  client.send(get_request("/events"));
  ASSERT_THAT(client.read_until("data: 1\n\n"), HasSubstr("Content-Type: text/event-stream\r\n"));
  ASSERT_THAT(client.read_until("data: 2\n\n"), HasSubstr("event: tick\nid: 2\n"));
  begin_stop();
  EXPECT_THAT(client.read_until("\r\n0\r\n\r\n"), HasSubstr("event: bye\ndata: the server is stopping\n\n"));
  client.close();
  EXPECT_EQ(wait_exit(), 0);
  EXPECT_TRUE(report()["aborted"].empty());
}

TEST_P(LifecycleRoutes, WebSocketEchoesAndIsClosedWith1001WhenTheStopBegins) {
  start();
  test::WebSocketClient socket(address(), "/ws");
  ASSERT_TRUE(socket.opened());
  socket.send_text("hello");
  EXPECT_EQ(socket.receive()->payload, "hello");
  socket.send_binary(std::string("\0\xff", 2));
  EXPECT_EQ(socket.receive()->payload, std::string("\0\xff", 2));
  begin_stop();
  const auto close = socket.receive();
  ASSERT_TRUE(close);
  EXPECT_EQ(close->opcode, test::kClose);
  EXPECT_EQ(close->close_code(), 1001);
  EXPECT_EQ(socket.finish(1001), StreamEnd::eof);
  EXPECT_EQ(wait_exit(), 0);
  EXPECT_TRUE(report()["aborted"].empty());
}

TEST_P(LifecycleRoutes, WebSocketRouteTellsOthersToUpgrade) {
  start();
  HttpAnswer answer = get("/ws");
  EXPECT_EQ(answer.status, 426);
  EXPECT_EQ(answer.header("Sec-WebSocket-Version"), "13");
}

}  // namespace
}  // namespace lastcall::e2e
