// The client that tests of handlers use: what it answers, what it says when there is no answer, that it never
// hangs and never waits.

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <thread>

#include <lastcall/core/log.hpp>
#include <lastcall/http/test_client.hpp>
#include <lastcall/lastcall.hpp>

#include "tests/support/answers.hpp"
#include "tests/support/session_routes.hpp"

namespace lastcall::test {
namespace {

class TestClientTest : public ::testing::Test {
 protected:
  TestClientTest() {
    log_configure(LogFormat::text, LogLevel::off);
    add_routes([this](Method method, std::string_view pattern, Handler handler, RouteOptions options) {
      server.route(method, pattern, std::move(handler), options);
    });
  }

  static ServerOptions options() {
    ServerOptions options;
    options.offload_threads = options.offload_queue = 1;
    return options;
  }
  Server server{options()};
};

TEST_F(TestClientTest, AnswersAreWhatTheHandlerGave) {
  server.get("/made", [](const Request&, Response& response) {
    response.status(404).header("X-A", "1").header("x-b", "2").json("{}");
  });
  TestClient client(server);
  TestAnswer answer = client.get("/made");
  ASSERT_TRUE(answer) << answer.error;
  EXPECT_EQ(answer.status, 404);
  EXPECT_EQ(answer.reason, "Not Found");
  EXPECT_EQ(answer.header("x-a"), "1");
  EXPECT_EQ(answer.header("X-B"), "2");
  EXPECT_EQ(answer.header("X-C"), std::nullopt);
  EXPECT_EQ(answer.header("Content-Type"), "application/json");
  EXPECT_EQ(answer.header("Date"), "Thu, 01 Jan 1970 00:00:00 GMT");
  EXPECT_EQ(answer.body, "{}");
  EXPECT_EQ(client.get("/users/7").body, "7");
  EXPECT_EQ(client.now(), Instant{});
}

TEST_F(TestClientTest, RequestsAreWhatTheTestGave) {
  TestClient client(server);
  EXPECT_EQ(client.post("/describe", "hello", {{"Host", "b"}, {"X", "y"}}).body,
            "POST /describe\nHost=b\nX=y\nContent-Length=5\nhello\n");
  EXPECT_EQ(client.post("/describe", "").body, "POST /describe\nHost=test\nContent-Length=0\n\n");
  const TestAnswer chunked = client.request({.method = "POST",
                                             .target = "/count",
                                             .headers = {},
                                             .body = std::string(2 * kTestChunkBytes + 1, 'x'),
                                             .chunked = true});
  EXPECT_EQ(chunked.body, std::to_string(2 * kTestChunkBytes + 1));
  EXPECT_EQ(client.put("/describe", "").status, 405);
  EXPECT_EQ(client.patch("/describe", "").status, 405);
  EXPECT_EQ(client.del("/nowhere").status, 404);
  EXPECT_EQ(client.request({.method = "HEAD", .target = "/plaintext"}).header("Content-Length"), "13");
  EXPECT_EQ(client.request({.method = "bad method", .target = "/"}).status, 501);
}

TEST_F(TestClientTest, TornRequestsAreTheSameRequests) {
  TestClient client(server);
  const std::string body(3000, 'x');
  const std::string whole = client.post("/describe", body).body;
  for (size_t bytes : {1u, 2u, 7u, 1000u}) {
    client.tear(bytes);
    EXPECT_EQ(client.post("/describe", body).body, whole) << bytes;
    EXPECT_EQ(client.post("/echo", body).body, body) << bytes;
    EXPECT_EQ(client.request({"POST", "/echo", {}, body, true}).body, body) << bytes;
  }
}

TEST_F(TestClientTest, TearingReachesTheHandlerPieceByPiece) {
  size_t pieces = 0;
  server.post("/pieces", [&pieces](Request& request, Response&) -> Task<> {
    while (!(co_await request.read()).empty()) ++pieces;
  });
  TestClient client(server);
  client.tear(1);
  EXPECT_EQ(client.post("/pieces", "hello").status, 200);
  EXPECT_EQ(pieces, 5u);
  client.tear(0);
  EXPECT_EQ(client.post("/pieces", "hello").status, 200);
  EXPECT_EQ(pieces, 6u);
}

TEST_F(TestClientTest, ClockMovesAsFarAsTheHandlerNeeds) {
  TestClient client(server);
  EXPECT_EQ(client.get("/sleep?ms=2000").body, "slept");
  EXPECT_EQ(client.now(), Instant{2s});
  EXPECT_EQ(client.get("/stream?n=3&ms=500").body, "piece\npiece\npiece\n");
  EXPECT_EQ(client.now(), Instant{3s});
  EXPECT_EQ(client.get("/plaintext").header("Date"), "Thu, 01 Jan 1970 00:00:03 GMT");
}

TEST_F(TestClientTest, StartedRequestsRunSideBySide) {
  TestClient client(server);
  PendingAnswer slow = client.start("GET", "/sleep?ms=2000");
  PendingAnswer fast = client.start("GET", "/sleep?ms=1000");
  EXPECT_FALSE(fast.done());
  client.advance(999ms);
  EXPECT_FALSE(fast.done());
  client.advance(1ms);
  EXPECT_TRUE(fast.done());
  EXPECT_FALSE(slow.done());
  EXPECT_EQ(slow.get().body, "slept");
  EXPECT_EQ(fast.get().body, "slept");
  EXPECT_EQ(client.now(), Instant{2s});
}

TEST_F(TestClientTest, LongestWaitIsAnHour) {
  TestClient client(server);
  EXPECT_EQ(client.get("/sleep?ms=3600000").body, "slept");
  const TestAnswer none = client.get("/sleep?ms=3600001");
  EXPECT_FALSE(none);
  EXPECT_EQ(none.error, "no answer within an hour of simulated time");
  EXPECT_EQ(client.get("/plaintext").status, 200);
}

TEST_F(TestClientTest, HandlerThatWaitsForWhatNeverComesIsAnErrorAtOnce) {
  server.get("/never", [](Request& request, Response&) -> Task<> { co_await request.disconnected(); });
  TestClient client(server);
  TestConnection idle = client.connect();
  const TestAnswer none = client.get("/never");
  EXPECT_EQ(none.error, "the handler waits for something that never comes: no timer is armed");
  EXPECT_EQ(client.now(), Instant{});
}

TEST_F(TestClientTest, HandlersThatYieldWithoutEndDoNotHang) {
  server.get("/yields", [](Request& request, Response&) -> Task<> {
    while (!request.aborted()) co_await sleep_for(0s);
  });
  server.get("/offloads", [](Request& request, Response&) -> Task<> {
    while (!request.aborted()) co_await offload([] {});
  });
  server.get("/writes", [](Request&, Response& response) -> Task<> {
    while (co_await response.write("more and more")) {
    }
  });
  TestClient client(server);
  EXPECT_EQ(client.get("/yields").error, "no answer within an hour of simulated time");
  EXPECT_EQ(client.get("/offloads").error, "no answer within an hour of simulated time");
  EXPECT_EQ(client.get("/writes").error, "no answer as it should be: its body is longer than 64 MiB");
  PendingAnswer yields = client.start("GET", "/yields");
  client.advance(1s);
  PendingAnswer offloads = client.start("GET", "/offloads");
  client.advance(1s);
  EXPECT_FALSE(yields.done());
  EXPECT_FALSE(offloads.done());
}

TEST_F(TestClientTest, ThousandTurnsTakeNoTime) {
  server.get("/turns", [](Request& request, Response&) -> Task<> {
    for (int n = std::stoi(*request.query_param("n")); n > 0; --n) co_await sleep_for(0s);
  });
  TestClient client(server);
  EXPECT_EQ(client.get("/turns?n=1000").status, 200);
  EXPECT_EQ(client.now(), Instant{});
  client.advance(1s);
  EXPECT_EQ(client.get("/turns?n=1001").status, 200);
  EXPECT_EQ(client.now(), Instant{1001ms});
  client.advance(1s);
  EXPECT_EQ(client.get("/turns?n=1002").status, 200);
  EXPECT_EQ(client.now(), Instant{2004ms});
}

TEST_F(TestClientTest, OffloadRunsHereAndInOrder) {
  std::thread::id ran_on;
  std::string order;
  server.get("/offload/{name}", [&](Request& request, Response& response) -> Task<> {
    auto got = co_await offload([&] {
      ran_on = std::this_thread::get_id();
      order.append(*request.param("name"));
      return 7;
    });
    if (!got) response.status(503);
    if (got) response.text(std::to_string(*got));
  });
  TestClient client(server);
  PendingAnswer first = client.start("GET", "/offload/a");
  PendingAnswer second = client.start("GET", "/offload/b");
  EXPECT_EQ(client.get("/offload/c").status, 503);  // one thread, one place in the queue
  EXPECT_EQ(order, "");
  client.advance(0s);
  EXPECT_EQ(order, "ab");
  EXPECT_EQ(second.get().body, "7");
  EXPECT_EQ(first.get().body, "7");
  EXPECT_EQ(client.get("/offload/d").body, "7");
  EXPECT_EQ(ran_on, std::this_thread::get_id());
}

TEST_F(TestClientTest, HandlersThatThrow) {
  TestClient client(server);
  EXPECT_EQ(client.get("/throw").status, 500);
  EXPECT_EQ(client.get("/throw-later").error,
            "no answer as it should be: the connection ended in the middle of the answer");
}

TEST_F(TestClientTest, MistakesInRoutesAreToldByEveryRequest) {
  server.get("no-slash", [](const Request&, Response&) {});
  TestClient client(server);
  EXPECT_NE(client.error().find("no-slash"), std::string::npos) << client.error();
  EXPECT_EQ(client.get("/plaintext").error, client.error());
  EXPECT_TRUE(client.start("GET", "/plaintext").done());
}

TEST_F(TestClientTest, RawConnection) {
  TestClient client(server);
  TestConnection connection = client.connect();
  connection.torn(1);
  connection.send(get("/plaintext") + get("/users/1"));
  EXPECT_EQ(parse_answers(connection.take())->size(), 2u);
  connection.set_window(10);
  connection.send(get("/plaintext"));
  EXPECT_EQ(connection.take(5).size(), 5u);
  EXPECT_TRUE(connection.take().ends_with("Hello, World!"));
  connection.send("GET");
  client.advance(10s);
  EXPECT_TRUE(connection.take().starts_with("HTTP/1.1 408 "));
  EXPECT_FALSE(connection.open());
  TestConnection other = client.connect();
  other.send(get("/plaintext"));
  other.end_of_stream();
  EXPECT_FALSE(other.open());
  EXPECT_TRUE(other.take().starts_with("HTTP/1.1 200 "));
}

TEST_F(TestClientTest, ClientThatVanishes) {
  std::string seen;
  server.get("/watch", [&seen](Request& request, Response&) -> Task<> {
    const bool whole = co_await sleep_for(1h);
    seen = std::string(whole ? "whole" : "cut") + (request.aborted() ? " aborted" : "");
  });
  TestClient client(server);
  client.start("GET", "/watch").connection().vanish();
  EXPECT_EQ(seen, "cut aborted");
  seen.clear();
  static_cast<void>(client.start("GET", "/watch"));  // given up by its destruction
  EXPECT_EQ(seen, "cut aborted");
  PendingAnswer pending = client.start("GET", "/watch");
  pending.connection().vanish();
  EXPECT_EQ(pending.get().error, "the connection broke before an answer");
}

TEST_F(TestClientTest, PhasesOfAStop) {
  server.get("/tokens", [](Request& request, Response& response) -> Task<> {
    co_await until(request.drain_token());
    static_cast<void>(co_await response.write("drained"));
    co_await request.disconnected();
  });
  TestClient client(server);
  PendingAnswer pending = client.start("GET", "/tokens");
  PendingAnswer waiting = client.start("GET", "/sleep?ms=1000");
  EXPECT_FALSE(client.get("/plaintext").header("Connection"));
  client.drain();
  EXPECT_NE(pending.connection().take().find("drained"), std::string::npos);
  EXPECT_EQ(client.get("/plaintext").header("Connection"), "close");
  client.force();
  EXPECT_FALSE(pending.connection().open());
  EXPECT_EQ(waiting.get().status, 503);
  EXPECT_EQ(client.now(), Instant{});
}

// The answer is there; what the handler does behind it is its own affair, and still gets its time.
TEST_F(TestClientTest, HandlerGoesOnBehindItsAnswer) {
  std::string seen;
  server.get("/behind", [&seen](Request&, Response& response) -> Task<> {
    response.content_length(2);
    static_cast<void>(co_await response.write("ok"));
    seen = co_await sleep_for(1s) ? "whole" : "cut";
  });
  TestClient client(server);
  EXPECT_EQ(client.get("/behind").body, "ok");
  EXPECT_EQ(seen, "");
  client.advance(1s);
  EXPECT_EQ(seen, "whole");
}

TEST_F(TestClientTest, UnreadBodiesDoNotMatter) {
  TestClient client(server);
  EXPECT_EQ(client.post("/ignore", std::string(4 << 20, 'x')).body, "ignored");
  EXPECT_EQ(client.post("/describe", std::string(2 << 20, 'x')).status, 413);
  server.post("/early", [](Request&, Response& response) -> Task<> {
    response.content_length(2);
    static_cast<void>(co_await response.write("ok"));
    co_await sleep_for(1s);
  });
  TestClient other(server);
  EXPECT_EQ(other.post("/early", std::string(1 << 20, 'x')).body, "ok");
  other.advance(1h);
}

TEST_F(TestClientTest, ClientsAndServersSideBySide) {
  Server second;
  second.get("/plaintext", [](const Request&, Response& response) { response.text("second"); });
  TestClient a(server);
  TestClient b(server);
  TestClient c(second);
  a.advance(5s);
  EXPECT_EQ(b.now(), Instant{});
  EXPECT_EQ(a.get("/plaintext").body, "Hello, World!");
  EXPECT_EQ(b.get("/plaintext").body, "Hello, World!");
  EXPECT_EQ(c.get("/plaintext").body, "second");
}

TEST_F(TestClientTest, DestroyedWithHandlersThatWait) {
  struct Witness {
    int* count;
    ~Witness() { ++*count; }
  };
  int destroyed = 0;
  bool ran = false;
  server.get("/sleeps", [&](Request&, Response&) -> Task<> {
    Witness witness{&destroyed};
    while (true) co_await sleep_for(1h);
  });
  server.get("/offloads", [&](Request&, Response&) -> Task<> {
    Witness witness{&destroyed};
    co_await offload([&ran] { ran = true; });
  });
  {
    TestClient client(server);
    static_cast<void>(client.start("GET", "/sleeps"));
    static_cast<void>(client.start("GET", "/offloads"));
    EXPECT_EQ(destroyed, 0);
  }
  EXPECT_EQ(destroyed, 2);
  EXPECT_FALSE(ran);
}

TEST_F(TestClientTest, LimitsAreTheServers) {
  ServerOptions options;
  options.limits.max_body_bytes = 4;
  options.body_timeout = 3s;
  options.server_name = "strict";
  Server strict(options);
  strict.post("/", [](const Request&, Response&) {});
  TestClient client(strict);
  EXPECT_EQ(client.post("/", "1234").status, 200);
  EXPECT_EQ(client.post("/", "1234").header("Server"), "strict");
  EXPECT_EQ(client.post("/", "12345").status, 413);
  EXPECT_EQ(client.post("/", "1", {{"Content-Length", "2"}}).status, 408);
  EXPECT_EQ(client.now(), Instant{3s});
}

}  // namespace
}  // namespace lastcall::test
