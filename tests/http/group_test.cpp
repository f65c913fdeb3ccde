// Functions before, after and around handlers, for all routes of a server and for groups of them.

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>

#include <lastcall/core/log.hpp>
#include <lastcall/http/group_scope.hpp>
#include <lastcall/http/test_client.hpp>
#include <lastcall/lastcall.hpp>

namespace lastcall::test {
namespace {

class GroupTest : public ::testing::Test {
 protected:
  GroupTest() { log_configure(LogFormat::text, LogLevel::off); }

  Before note_before(std::string name, bool pass = true) {
    return [this, name, pass](const Request&, Response& response) {
      trace += name + " ";
      if (!pass) response.status(403).text("refused");
      return pass;
    };
  }
  After note_after(std::string name) {
    return [this, name](const Request&, Response& response) {
      trace += name + " ";
      if (!response.head_sent()) response.header("X-After", name);
    };
  }
  Around note_around(std::string name) {
    return [this, name](Request&, Response&, Next next) -> Task<> {
      trace += name + "( ";
      co_await next();
      trace += name + ") ";
    };
  }
  auto sync() {
    return [this](const Request& request, Response& response) {
      trace += "handler ";
      response.text(request.body());
    };
  }
  auto task() {
    return [this](Request&, Response& response) -> Task<> {
      co_await sleep_for(1s);
      trace += "handler ";
      response.text("slept");
    };
  }
  /// What ran for a GET, in its order.
  std::string traced(std::string_view target) {
    trace.clear();
    TestClient client(server);
    answer = client.get(target);
    return trace;
  }

  std::string trace;
  Server server;
  TestAnswer answer;
};

TEST_F(GroupTest, RunInTheOrderOfRegistrationAndBack) {
  server.after(note_after("a1")).before(note_before("b1")).after(note_after("a2")).before(note_before("b2"));
  server.get("/sync", sync()).get("/task", task());
  EXPECT_EQ(traced("/sync"), "b1 b2 handler a2 a1 ");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.header("X-After"), "a2");
  EXPECT_EQ(traced("/task"), "b1 b2 handler a2 a1 ");
  EXPECT_EQ(answer.body, "slept");
}

TEST_F(GroupTest, FirstAroundIsTheOutermost) {
  server.around(note_around("o")).before(note_before("b")).after(note_after("a")).around(note_around("i"));
  server.get("/sync", sync()).get("/task", task());
  EXPECT_EQ(traced("/sync"), "b o( i( handler i) o) a ");
  EXPECT_EQ(traced("/task"), "b o( i( handler i) o) a ");
}

TEST_F(GroupTest, ApplyToWhatIsRegisteredLater) {
  server.get("/first", sync());
  server.before(note_before("b"));
  server.get("/second", sync());
  server.after(note_after("a"));
  server.get("/third", sync());
  EXPECT_EQ(traced("/first"), "handler ");
  EXPECT_EQ(traced("/second"), "b handler ");
  EXPECT_EQ(traced("/third"), "b handler a ");
}

TEST_F(GroupTest, GroupsNest) {
  server.before(note_before("server"));
  Group api = server.group("/api");
  Group v1 = api.group("/v1");
  Group plain = server.group("");
  api.before(note_before("api")).after(note_after("api-end"));
  v1.before(note_before("v1")).around(note_around("v1")).after(note_after("v1-end"));
  api.get("/x", sync()).get("", sync());
  v1.get("/users/{id}", sync()).any("/any", task());
  plain.get("/plain", sync());
  EXPECT_EQ(traced("/api/x"), "server api handler api-end ");
  EXPECT_EQ(traced("/api"), "server api handler api-end ");
  EXPECT_EQ(traced("/api/v1/users/7"), "server api v1 v1( handler v1) v1-end api-end ");
  EXPECT_EQ(traced("/api/v1/any"), "server api v1 v1( handler v1) v1-end api-end ");
  EXPECT_EQ(traced("/plain"), "server handler ");
  EXPECT_EQ(traced("/x"), "");
  EXPECT_EQ(answer.status, 404);
}

TEST_F(GroupTest, EveryMethod) {
  Group api = server.group("/api/{kind}");
  const auto handler = [](const Request& request, Response& response) {
    response.text(std::string(request.method_name()).append(*request.param("kind")));
  };
  api.get("/x", handler).post("/x", handler).put("/x", handler).del("/x", handler).patch("/x", handler);
  TestClient client(server);
  EXPECT_EQ(client.get("/api/a/x").body, "GETa");
  EXPECT_EQ(client.post("/api/a/x", "").body, "POSTa");
  EXPECT_EQ(client.put("/api/a/x", "").body, "PUTa");
  EXPECT_EQ(client.del("/api/a/x").body, "DELETEa");
  EXPECT_EQ(client.patch("/api/a/x", "").body, "PATCHa");
}

TEST_F(GroupTest, RefusalBeforeSkipsTheHandlerButNothingAfter) {
  server.after(note_after("a1")).before(note_before("b1"));
  Group closed = server.group("/closed");
  closed.before(note_before("no", false)).before(note_before("b3")).around(note_around("o"));
  closed.after(note_after("a2"));
  closed.get("/sync", sync()).get("/task", task());
  for (std::string_view target : {"/closed/sync", "/closed/task"}) {
    EXPECT_EQ(traced(target), "b1 no a2 a1 ") << target;
    EXPECT_EQ(answer.status, 403);
    EXPECT_EQ(answer.body, "refused");
  }
  Group simple = server.group("/simple");
  simple.before(note_before("no", false)).get("", sync());
  EXPECT_EQ(traced("/simple"), "b1 no a1 ");
  EXPECT_EQ(answer.status, 403);
}

TEST_F(GroupTest, AroundMayAnswerInsteadOrWait) {
  server.group("/instead")
      .around([](Request&, Response& response, Next) -> Task<> {
        response.status(429);
        co_return;
      })
      .get("", sync());
  server.group("/waits")
      .around([](Request&, Response&, Next next) -> Task<> {
        co_await sleep_for(1s);
        co_await next();
        co_await sleep_for(1s);
      })
      .get("", task());
  TestClient client(server);
  EXPECT_EQ(client.get("/instead").status, 429);
  EXPECT_EQ(client.get("/waits").body, "slept");
  EXPECT_EQ(client.now(), Instant{3s});
  EXPECT_EQ(trace, "handler ");
}

TEST_F(GroupTest, SynchronousHandlerInsideAnAroundHasItsWholeBody) {
  server.around(note_around("o"));
  server.post("/echo", sync(), {.max_body_bytes = 1 << 20});
  TestClient client(server);
  const std::string body(300'000, 'x');  // more than a coroutine is sent ahead
  EXPECT_EQ(client.post("/echo", body).body, body);
  EXPECT_EQ(client.request({"POST", "/echo", {}, body, true}).body, body);
  client.tear(1);
  EXPECT_EQ(client.post("/echo", "hello").body, "hello");
  EXPECT_EQ(client.post("/echo", "").body, "");
  EXPECT_EQ(client.post("/echo", "", {{"Content-Length", "5"}}).status, 408);
  EXPECT_EQ(client.post("/echo", "x", {{"Content-Length", "1048577"}}).status, 413);
  trace.clear();
  PendingAnswer gone = client.start({"POST", "/echo", {{"Content-Length", "5"}}, "hel"});
  gone.connection().vanish();
  EXPECT_EQ(trace, "o( o) ");  // not called with a part of it
}

TEST_F(GroupTest, BodyThatIsTooLongIsRefusedInsideAnAround) {
  server.around(note_around("o"));
  server.post("/echo", sync(), {.max_body_bytes = 1000});
  TestClient client(server);
  EXPECT_EQ(client.request({"POST", "/echo", {}, std::string(1000, 'x'), true}).status, 200);
  trace.clear();
  EXPECT_EQ(client.request({"POST", "/echo", {}, std::string(1001, 'x'), true}).status, 413);
  EXPECT_EQ(trace, "o( o) ");
}

TEST_F(GroupTest, ReadAll) {
  server.post("/all", [](Request& request, Response& response) -> Task<> {
    const std::string all(co_await request.read_all());
    const bool same = all == request.body() && all == co_await request.read_all();
    const bool again = all == co_await request.read() && (co_await request.read()).empty();
    response.text(std::to_string(all.size()) + (same && again ? " same" : " differs"));
  });
  server.post("/rest", [](Request& request, Response& response) -> Task<> {
    std::string all(co_await request.read());
    const bool part = all.size() < 5;
    co_await sleep_for(1s);
    all.append(co_await request.read_all());
    response.text(part ? "part " + all : std::to_string(all.size()));
  });
  TestClient client(server);
  EXPECT_EQ(client.post("/all", std::string(500'000, 'x')).body, "500000 same");
  EXPECT_EQ(client.post("/all", "").body, "0 same");
  EXPECT_EQ(client.post("/rest", std::string(500'000, 'x')).body, "500000");
  client.tear(1);
  EXPECT_EQ(client.post("/rest", "hello").body, "part hello");
}

/// What came before it was asked for, and what comes while it waits.
TEST_F(GroupTest, ReadEach) {
  server.post("/late", [](Request& request, Response& response) -> Task<> {
    std::string all(co_await request.read());
    co_await sleep_for(1s);
    auto append = [&all](std::string_view piece) { all += piece; };
    const bool whole = co_await request.read_each(append);
    const bool nothing = co_await request.read_each([&all](std::string_view) { all += "too much"; });
    const bool empty = request.body().empty() && (co_await request.read()).empty();
    response.text((whole && nothing && empty ? "whole " : "broken ") + all);
  });
  server.post("/each", [](Request& request, Response& response) -> Task<> {
    size_t pieces = 0;
    size_t most_kept = 0;
    std::string all;
    const bool whole = co_await request.read_each([&](std::string_view piece) {
      ++pieces;
      all += piece;
      most_kept = std::max(most_kept, request.body().size());
    });
    response.text(std::to_string(most_kept) + (whole && pieces > 1 ? " kept of " : " broken ") + all);
  });
  TestClient client(server);
  const std::string large(500'000, 'x');
  EXPECT_EQ(client.post("/late", large).body, "whole " + large);
  EXPECT_EQ(client.post("/late", "").body, "whole ");
  EXPECT_EQ(client.post("/each", large).body, "0 kept of " + large);
  EXPECT_EQ(client.request({"POST", "/each", {}, large, true}).body, "0 kept of " + large);  // chunked
  client.tear(1);
  EXPECT_EQ(client.post("/each", "hello").body, "0 kept of hello");
}

/// What it holds lives as long as its name, and is destroyed once.
TEST_F(GroupTest, WhatReadEachCallsMayHoldSomething) {
  auto held = std::make_shared<int>(1);
  server.post("/held", [held](Request& request, Response& response) -> Task<> {
    size_t bytes = 0;
    auto count = [held, &bytes](std::string_view piece) { bytes += piece.size(); };
    const bool whole = co_await request.read_each(count);
    response.text(std::to_string(bytes) + (whole ? " whole " : " part ") + std::to_string(held.use_count()));
  });
  TestClient client(server);
  const std::string first = client.post("/held", std::string(100'000, 'x')).body;
  EXPECT_TRUE(first.starts_with("100000 whole ")) << first;
  EXPECT_EQ(client.post("/held", std::string(100'000, 'x')).body, first);
}

TEST_F(GroupTest, WhatReadEachCallsMayThrow) {
  server.post("/throws", [](Request& request, Response& response) -> Task<> {
    std::string before;
    std::string what;
    try {
      static_cast<void>(co_await request.read_each([&before](std::string_view piece) {
        if (before.size() == 2) throw std::runtime_error("on purpose");
        before += piece;
      }));
    } catch (const std::runtime_error& error) {
      what = error.what();
    }
    response.text(before + " " + what + " " + std::string(co_await request.read_all()));
  });
  server.post("/lets-through", [](Request& request, Response&) -> Task<> {
    static_cast<void>(
        co_await request.read_each([](std::string_view) { throw std::runtime_error("on purpose"); }));
  });
  TestClient client(server);
  client.tear(1);
  EXPECT_EQ(client.post("/throws", "abcde").body, "ab on purpose de");
  EXPECT_EQ(client.post("/lets-through", "abcde").status, 500);
  EXPECT_EQ(client.request({"POST", "/lets-through", {}, "abcde", true}).status, 500);
}

TEST_F(GroupTest, Exceptions) {
  const auto throws = [](const Request&, Response&) { throw std::runtime_error("on purpose"); };
  server.after(note_after("a"));
  server.get("/sync", throws);
  server.get("/task", [](Request&, Response&) -> Task<> {
    co_await sleep_for(1s);
    throw std::runtime_error("on purpose");
  });
  server.group("/before")
      .before([](const Request&, Response&) -> bool { throw std::runtime_error("on purpose"); })
      .get("", sync());
  server.group("/after").after(throws).get("", sync());
  server.group("/around")
      .around([](Request&, Response&, Next) -> Task<> {
        throw std::runtime_error("on purpose");
        co_return;
      })
      .get("", sync());
  server.group("/caught")
      .around([](Request&, Response& response, Next next) -> Task<> {
        try {
          co_await next();
        } catch (const std::runtime_error& error) {
          response.status(502).text(error.what());
        }
      })
      .get("", throws);
  for (std::string_view target : {"/sync", "/task", "/before", "/around"}) {
    EXPECT_EQ(traced(target), "") << target;
    EXPECT_EQ(answer.status, 500) << target;
    EXPECT_FALSE(answer.header("X-After"));
  }
  EXPECT_EQ(traced("/after"), "handler ");
  EXPECT_EQ(answer.status, 500);
  EXPECT_EQ(traced("/caught"), "a ");
  EXPECT_EQ(answer.status, 502);
  EXPECT_EQ(answer.body, "on purpose");
}

TEST_F(GroupTest, NextIsForOneCall) {
  server.around([](Request&, Response&, Next next) -> Task<> {
    co_await next();
    co_await next();
  });
  server.get("/", sync());
  EXPECT_EQ(traced("/"), "handler ");
  EXPECT_EQ(answer.status, 500);
}

TEST_F(GroupTest, AfterAnAnswerThatIsUnderWay) {
  server.after(note_after("a"));
  server.get("/stream", [](Request&, Response& response) -> Task<> {
    static_cast<void>(co_await response.write("piece"));
  });
  EXPECT_EQ(traced("/stream"), "a ");
  EXPECT_EQ(answer.body, "piece");
}

TEST_F(GroupTest, OptionsAreDefaults) {
  Group small = server.group("/small", {.max_body_bytes = 4, .body_timeout = 3s});
  Group inner = small.group("/inner", {.max_body_bytes = 6});
  small.post("/default", sync()).post("/own", sync(), {.max_body_bytes = 5});
  inner.post("", sync());
  TestClient client(server);
  EXPECT_EQ(client.post("/small/default", "1234").status, 200);
  EXPECT_EQ(client.post("/small/default", "12345").status, 413);
  EXPECT_EQ(client.post("/small/own", "12345").status, 200);
  EXPECT_EQ(client.post("/small/own", "123456").status, 413);
  EXPECT_EQ(client.post("/small/inner", "123456").status, 200);
  EXPECT_EQ(client.post("/small/inner", "1234567").status, 413);
  EXPECT_EQ(client.post("/small/inner", "", {{"Content-Length", "1"}}).status, 408);
  EXPECT_EQ(client.now(), Instant{3s});
}

TEST_F(GroupTest, MistakesNameThePrefix) {
  const auto mistake = [](std::string_view prefix, std::string_view inner, std::string_view pattern) {
    Server other;
    other.group(prefix).group(inner).get(pattern, [](const Request&, Response&) {});
    return TestClient(other).error();
  };
  EXPECT_EQ(mistake("/a", "/b", "/c"), "");
  EXPECT_EQ(mistake("/a", "", ""), "");
  EXPECT_NE(mistake("a", "/b", "/c").find("'a/b'"), std::string::npos);
  EXPECT_NE(mistake("/a/", "", "/c").find("'/a/'"), std::string::npos);
  EXPECT_NE(mistake("/", "", "/c").find("'/'"), std::string::npos);
  EXPECT_NE(mistake("/a", "b", "/c").find("'/ab'"), std::string::npos);
  EXPECT_NE(mistake("/a", "", "c").find("'c'"), std::string::npos);
  EXPECT_NE(mistake("", "", ""), "");
  EXPECT_NE(mistake("/{a}", "", "/{a}"), "");
}

TEST_F(GroupTest, RefusesNewRequestsWhileStopping) {
  server.before([this](const Request& request, Response& response) {
    if (!server.stopping() || request.header("X-Session")) return true;
    response.status(503).header("Retry-After", "1").text("stopping\n");
    return false;
  });
  server.get("/", sync()).get("/slow", task());
  TestClient client(server);
  PendingAnswer slow = client.start("GET", "/slow");
  EXPECT_EQ(client.get("/").status, 200);
  client.drain();
  EXPECT_TRUE(server.drain_token().stop_requested());
  EXPECT_EQ(client.get("/").status, 503);
  EXPECT_EQ(client.get("/", {{"X-Session", "7"}}).status, 200);
  EXPECT_EQ(slow.get().body, "slept");
}

TEST_F(GroupTest, SynchronousHandlersStaySoWithoutAnAround) {
  GroupScope scope;
  EXPECT_TRUE(std::holds_alternative<SyncHandler>(scope.wrap(Handler(sync())).function));
  scope.add(note_before("b"));
  EXPECT_TRUE(std::holds_alternative<SyncHandler>(scope.wrap(Handler(sync())).function));
  EXPECT_TRUE(std::holds_alternative<TaskHandler>(scope.wrap(Handler(task())).function));
  scope.add(note_around("o"));
  EXPECT_TRUE(std::holds_alternative<TaskHandler>(scope.wrap(Handler(sync())).function));
}

}  // namespace
}  // namespace lastcall::test
