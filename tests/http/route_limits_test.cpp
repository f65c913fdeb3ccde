// What a route may set apart: how long a body and a handler may take, how many requests there may be at one
// time; and what a full worker pool makes of a request.

#include <atomic>
#include <semaphore>
#include <stdexcept>

#include <lastcall/http/stream.hpp>
#include <lastcall/net/worker_pool.hpp>

#include "tests/http/session_support.hpp"

namespace lastcall::test {
namespace {

struct RouteLimits : SessionTest {
  /// A second connection's answers, beside those of the host's.
  std::string ask_beside(std::string_view bytes) {
    MemoryConnection connection(host.reactor());
    connection.receive(bytes);
    return connection.take();
  }
  void expect_busy(const Answer& got) {
    EXPECT_EQ(got.status, 503);
    EXPECT_EQ(got.field("Retry-After"), "1");
  }
};

TEST_F(RouteLimits, BodyTimeoutIsTheRoutes) {
  host.on(Method::post, "/patient", [](const Request&, Response&) {}, {.body_timeout = 60s});
  host.on(Method::post, "/hasty", [](const Request&, Response&) {}, {.body_timeout = 2s});
  host.on(Method::post, "/hasty-task", [](Request& request, Response&) -> Task<> { co_await request.read(); },
          {.body_timeout = 2s});
  host.on(Method::post, "/hasty-ignore", [](Request&, Response&) -> Task<> { co_return; },
          {.body_timeout = 2s});
  for (auto [target, seconds] : {std::pair("/patient", 60s), {"/hasty", 2s}, {"/hasty-task", 2s}}) {
    host.receive("POST " + std::string(target) + " HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n");
    host.advance(seconds - 1ms);
    EXPECT_TRUE(host.open_still()) << target;
    host.advance(1ms);
    EXPECT_EQ(parse_answer(host.take()).status, 408) << target;
    host.open();
  }
  EXPECT_EQ(answer("POST /hasty-ignore HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n").status, 200);
  host.advance(1999ms);
  EXPECT_TRUE(host.open_still());
  host.advance(1ms);
  EXPECT_EQ(host.reason(), CloseReason::timed_out);
}

TEST_F(RouteLimits, HandlerThatIsLateIsAnswered503) {
  std::string seen;
  host.on(Method::get, "/late",
          [&seen](Request& request, Response& response) -> Task<> {
            response.header("X", "y");
            const bool whole = co_await sleep_for(1h, request.stop_token());
            seen = whole ? "whole" : "cut";
            if (request.aborted() && request.stop_token().stop_requested()) seen += " stopped";
          },
          {.handler_timeout = 5s});
  host.receive(get("/late"));
  host.advance(4999ms);
  EXPECT_EQ(host.take(), "");
  host.advance(1ms);
  host.run_mail();
  Answer got = parse_answer(host.take());
  expect_busy(got);
  EXPECT_TRUE(got.closes());
  EXPECT_EQ(got.count("X"), 0u);
  EXPECT_EQ(seen, "cut stopped");
  EXPECT_EQ(host.reason(), CloseReason::timed_out);
  EXPECT_EQ(host.wish(), CloseWish::linger);
  EXPECT_EQ(host.outliving(), 0u);
}

TEST_F(RouteLimits, HandlerInTimeIsNotDisturbed) {
  host.on(Method::get, "/sleep5",
          [](Request&, Response& response) -> Task<> {
            co_await sleep_for(5s);
            response.text("slept");
          },
          {.handler_timeout = 5001ms});
  for (int i = 0; i < 2; ++i) {  // its timer is gone with it: the connection lives on
    host.receive(get("/sleep5"));
    host.advance(5s);
    EXPECT_EQ(parse_answer(host.take()).body, "slept");
    host.advance(10s);
    EXPECT_TRUE(host.open_still());
  }
  host.receive(get("/sleep5"));
  host.vanish();
  host.open();
  host.advance(10s);
  EXPECT_TRUE(host.loop().timers.size() == 0);
}

TEST_F(RouteLimits, AnswerOfALateHandlerBreaksOff) {
  host.on(Method::get, "/late",
          [](Request&, Response& response) -> Task<> {
            static_cast<void>(co_await response.write("part"));
            co_await sleep_for(1h);
          },
          {.handler_timeout = 5s});
  host.receive(get("/late"));
  host.advance(5s);
  auto got = read(host.take());
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(got[0].status, 200);
  EXPECT_FALSE(got[0].whole);
  EXPECT_EQ(host.reason(), CloseReason::timed_out);
  EXPECT_EQ(host.outliving(), 0u);
}

TEST_F(RouteLimits, LateHandlerThatReadsOrWritesOrWillNotEnd) {
  bool ended = false;
  const RouteOptions options{.handler_timeout = 5s};
  host.on(
      Method::post, "/read", [](Request& request, Response&) -> Task<> { co_await request.read_all(); },
      options);
  host.on(
      Method::get, "/stubborn",
      [&ended](Request&, Response&) -> Task<> {
        co_await sleep_for(10s);
        co_await sleep_for(10s);
        ended = true;
      },
      options);
  host.receive("POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhello");
  host.advance(5s);
  expect_busy(parse_answer(host.take()));
  host.open();
  host.receive(get("/stubborn"));
  host.advance(5s);
  expect_busy(parse_answer(host.take()));
  EXPECT_EQ(host.outliving(), 1u);
  host.advance(10s);
  EXPECT_TRUE(ended);
  EXPECT_EQ(host.outliving(), 0u);
}

TEST_F(RouteLimits, ConnectionThatHasLeftHttpIsNotLate) {
  host.on(Method::get, "/hold",
          [](Request&, Response& response) -> Task<> {
            Stream& own = response.hijack();
            while (!(co_await own.read()).empty()) {
            }
          },
          {.handler_timeout = 5s});
  host.receive(get("/hold"));
  host.advance(1h);
  EXPECT_TRUE(host.open_still());
}

TEST_F(RouteLimits, InFlightAtItsLimit) {
  host.on(Method::get, "/two",
          [](Request&, Response& response) -> Task<> {
            co_await sleep_for(1s);
            response.text("done");
          },
          {.max_in_flight = 2});
  MemoryConnection second(host.reactor());
  host.receive(get("/two"));
  second.receive(get("/two"));
  const Answer refused = parse_answer(ask_beside(get("/two")));
  expect_busy(refused);
  EXPECT_FALSE(refused.closes());
  EXPECT_EQ(parse_answer(ask_beside(get("/plaintext"))).status, 200);
  host.advance(1s);
  EXPECT_EQ(parse_answer(host.take()).body, "done");
  EXPECT_EQ(parse_answer(second.take()).body, "done");
  for (int i = 0; i < 3; ++i) {
    host.receive(get("/two"));
    host.advance(1s);
    EXPECT_EQ(parse_answer(host.take()).body, "done");
  }
}

TEST_F(RouteLimits, InFlightIsLeftHoweverARequestEnds) {
  const RouteOptions one{.max_in_flight = 1};
  host.on(
      Method::get, "/throws", [](const Request&, Response&) { throw std::runtime_error("x"); }, one);
  host.on(
      Method::post, "/body", [](const Request&, Response& response) { response.text("ok"); }, one);
  host.on(
      Method::get, "/stubborn",
      [](Request&, Response&) -> Task<> {
        co_await sleep_for(1s);
        co_await sleep_for(1s);
      },
      one);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(answer(get("/throws")).status, 500);
  const std::string request = post("/body", "hello");
  host.receive(request.substr(0, request.size() - 1));  // one whose body is on its way counts
  const Answer refused = parse_answer(ask_beside(request));
  expect_busy(refused);
  host.vanish();
  host.open();
  EXPECT_EQ(answer(request).body, "ok");
  EXPECT_EQ(answers(request + request).size(), 2u);
  host.receive(request.substr(0, request.size() - 1));
  host.advance(30s);
  EXPECT_EQ(parse_answer(host.take()).status, 408);
  host.open();
  EXPECT_EQ(answer(request).body, "ok");
  host.receive(get("/stubborn"));
  host.vanish();
  host.open();
  expect_busy(answer(get("/stubborn")));  // the handler still runs
  host.advance(1s);
  host.receive(get("/stubborn"));
  EXPECT_EQ(host.take(), "");
}

TEST_F(RouteLimits, InFlightRefusalReadsTheBodyAndGoesOn) {
  host.on(Method::post, "/none", [](const Request&, Response&) {}, {.max_in_flight = 0});
  auto got = answers(post("/none", "hello") + post_chunked("/none", 3) + get("/plaintext"));
  ASSERT_EQ(got.size(), 3u);
  expect_busy(got[0]);
  expect_busy(got[1]);
  EXPECT_EQ(got[2].body, "Hello, World!");
}

TEST_F(RouteLimits, RefusedOffloadWhoseValueIsTakenIs503) {
  const auto value = [](Request&, Response& response) -> Task<> {
    response.header("X", "y");
    response.text(std::to_string((co_await offload([] { return 7; })).value()));
  };
  host.on(Method::get, "/value", value);
  host.on(Method::get, "/started", [](Request&, Response& response) -> Task<> {
    static_cast<void>(co_await response.write("part"));
    (co_await offload([] {})).value();
  });
  host.pool().close();
  const Answer got = answer(get("/value"));
  expect_busy(got);
  EXPECT_FALSE(got.closes());
  EXPECT_EQ(got.count("X"), 0u);
  EXPECT_FALSE(read(host.ask(get("/started"))).at(0).whole);
  EXPECT_EQ(host.reason(), CloseReason::failed);
}

TEST_F(RouteLimits, PoolOfOnesOwn) {
  std::binary_semaphore go{0};
  std::string name(16, '\0');
  WorkerPool db("db", {.threads = 1, .queue = 1});
  host.on(Method::get, "/db", [&](Request&, Response& response) -> Task<> {
    const int seven = (co_await offload(db, [&] {
                        ::pthread_getname_np(::pthread_self(), name.data(), name.size());
                        go.acquire();
                        return 7;
                      })).value();
    response.text(std::to_string(seven));
  });
  MemoryConnection second(host.reactor());
  host.receive(get("/db"));
  second.receive(get("/db"));
  expect_busy(parse_answer(ask_beside(get("/db"))));
  EXPECT_EQ(host.pool().threads(), 0u);
  EXPECT_EQ(host.pool().running(), 2u);  // the server's stop waits for them
  go.release(2);
  ASSERT_TRUE(host.pool().join_until(kNever));
  host.run_mail();
  EXPECT_EQ(parse_answer(host.take()).body, "7");
  EXPECT_EQ(parse_answer(second.take()).body, "7");
  EXPECT_STREQ(name.c_str(), "db-0");
  expect_busy(answer(get("/db")));  // past its stop
}

TEST_F(RouteLimits, PoolOfOnesOwnMayGoFirst) {
  bool ran = false;
  auto db = std::make_unique<WorkerPool>("db", WorkerPoolOptions{.threads = 1, .queue = 1});
  host.on(Method::get, "/db", [&](Request& request, Response&) -> Task<> {
    auto got = co_await offload(*db, [] { return 7; });
    ran = got.has_value() && request.aborted();
  });
  host.receive(get("/db"));
  host.vanish();
  EXPECT_EQ(host.outliving(), 1u);
  db.reset();  // waits for what it has taken
  host.run_mail();
  EXPECT_TRUE(ran);
  EXPECT_EQ(host.outliving(), 0u);
}

}  // namespace
}  // namespace lastcall::test
