#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <latch>
#include <stdexcept>
#include <thread>

#include <lastcall/core/clock.hpp>
#include <lastcall/core/log.hpp>
#include <lastcall/http/reload_thread.hpp>
#include <lastcall/http/server.hpp>

#include "tests/http/session_support.hpp"
#include "tests/support/raw_client.hpp"

namespace lastcall::test {
namespace {

using Names = std::vector<std::string>;

TEST(MergeOptions, NothingDiffers) {
  ServerOptions current;
  Result<ReloadOutcome> outcome = merge_options(current, ServerOptions());
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->changed, Names());
  EXPECT_EQ(outcome->ignored, Names());
}

TEST(MergeOptions, TakesWhatMayChangeAndNamesTheRest) {
  ServerOptions current;
  ServerOptions wished;
  wished.listen = {":1"};
  wished.report = "-";
  wished.idle_timeout = 3s;
  wished.limits.max_body_bytes = 7;
  wished.stop.deadline = 9s;
  Result<ReloadOutcome> outcome = merge_options(current, wished);
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->changed, (Names{"deadline", "idle-timeout", "max-body-bytes"}));
  EXPECT_EQ(outcome->ignored, (Names{"listen", "report"}));
  EXPECT_EQ(current.idle_timeout, 3s);
  EXPECT_EQ(current.limits.max_body_bytes, 7u);
  EXPECT_EQ(current.stop.deadline, 9s);
  EXPECT_EQ(current.listen, ServerOptions().listen);
  EXPECT_EQ(merge_options(current, wished)->ignored, (Names{"listen", "report"})) << "told each time";
}

// What was counted from the start on can have another limit; what was not, cannot.
TEST(MergeOptions, LimitsOfClientsChangeWhereThereAreSome) {
  ServerOptions current;
  current.max_in_flight = 5;
  ServerOptions wished;
  wished.max_in_flight = 7;
  wished.max_connections_per_client = 3;
  Result<ReloadOutcome> outcome = merge_options(current, wished);
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->changed, Names{"max-in-flight"});
  EXPECT_EQ(outcome->ignored, Names{"max-connections-per-client"});
  EXPECT_EQ(current.max_in_flight, 7u);
  wished.max_in_flight = 0;
  EXPECT_EQ(merge_options(current, wished)->ignored, (Names{"max-connections-per-client", "max-in-flight"}));
  EXPECT_EQ(current.max_in_flight, 7u);
}

TEST(MergeOptions, AMistakeTakesNothing) {
  ServerOptions current;
  ServerOptions wished;
  wished.idle_timeout = 3s;
  wished.write_timeout = -1ns;
  Result<ReloadOutcome> outcome = merge_options(current, wished);
  ASSERT_FALSE(outcome);
  EXPECT_TRUE(outcome.error().message.starts_with("write-timeout")) << outcome.error().message;
  EXPECT_EQ(current.idle_timeout, 75s);
  wished.write_timeout = 1s;
  wished.stop = {.announce = 25s, .deadline = 25s};
  EXPECT_FALSE(merge_options(current, wished));
  wished.stop.announce = 24s;
  EXPECT_TRUE(merge_options(current, wished));
}

TEST(ReloadThread, OneMoreAfterTheOneUnderWay) {
  std::atomic<int> begun{0};
  std::latch first_began(1);
  std::latch go_on(1);
  std::latch second_began(1);
  ReloadThread thread([&] {
    if (++begun == 1) {
      first_began.count_down();
      go_on.wait();
    } else {
      second_began.count_down();
    }
  });
  EXPECT_TRUE(thread.request());
  first_began.wait();
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(thread.request());
  go_on.count_down();
  second_began.wait();
  thread.close();
  EXPECT_FALSE(thread.request());
  EXPECT_TRUE(thread.wait_until(monotonic_now() + 20s));
  EXPECT_EQ(begun, 2);
}

TEST(ReloadThread, IsWaitedForNoLongerThanTheDeadline) {
  std::latch go_on(1);
  std::latch began(1);
  ReloadThread thread([&] {
    began.count_down();
    go_on.wait();
  });
  thread.request();
  began.wait();
  thread.request();
  thread.close();
  EXPECT_FALSE(thread.wait_until(monotonic_now()));
  go_on.count_down();
  EXPECT_TRUE(thread.wait_until(monotonic_now() + 20s));
}

class SessionReload : public SessionTest {
 protected:
  void reload(const SessionOptions& options) {
    host.environment().reload(options);
    host.session().on_reload(host.loop().now + 50ms);
  }
};

TEST_F(SessionReload, ShorterIdleTimeoutIsOfWhoIsIdleAlready) {
  EXPECT_EQ(answer(get("/plaintext")).status, 200);
  host.advance(3s);
  reload({.limits = {}, .idle_timeout = 10s});
  host.advance(6999ms);
  EXPECT_TRUE(host.open_still());
  host.advance(1ms);
  EXPECT_EQ(host.reason(), CloseReason::idle_timeout);
}

TEST_F(SessionReload, WhatWouldBeOverAlreadyIsOverSoon) {
  EXPECT_EQ(answer(get("/plaintext")).status, 200);
  host.advance(3s);
  reload({.limits = {}, .idle_timeout = 2s});
  host.advance(49ms);
  EXPECT_TRUE(host.open_still());
  host.advance(1ms);
  EXPECT_EQ(host.reason(), CloseReason::idle_timeout);
}

TEST_F(SessionReload, IsNoMoreTimeThanThereWas) {
  EXPECT_EQ(answer(get("/plaintext")).status, 200);
  host.advance(74'980ms);
  reload({.limits = {}, .idle_timeout = 2s});
  host.advance(20ms);
  EXPECT_EQ(host.reason(), CloseReason::idle_timeout);
}

TEST_F(SessionReload, LongerIdleTimeoutToo) {
  EXPECT_EQ(answer(get("/plaintext")).status, 200);
  host.advance(3s);
  reload({.limits = {}, .idle_timeout = 100s});
  host.advance(96'999ms);
  EXPECT_TRUE(host.open_still());
  host.advance(1ms);
  EXPECT_FALSE(host.open_still());
}

TEST_F(SessionReload, FromNoTimeoutAndBack) {
  EXPECT_EQ(answer(get("/plaintext")).status, 200);
  reload({.limits = {}, .idle_timeout = Duration::max()});
  host.advance(1000h);
  EXPECT_TRUE(host.open_still());
  reload({.limits = {}, .idle_timeout = 5s});
  host.advance(4999ms);
  EXPECT_TRUE(host.open_still());
  host.advance(1ms);
  EXPECT_FALSE(host.open_still());
}

TEST_F(SessionReload, AHeadUnderWayKeepsItsTime) {
  host.receive("GET / HT");
  host.advance(3s);
  reload({.limits = {}, .header_timeout = 1s, .idle_timeout = 1s});
  host.advance(6999ms);
  EXPECT_TRUE(host.open_still());
  host.advance(1ms);
  EXPECT_EQ(parse_answer(host.take()).status, 408);
}

TEST_F(SessionReload, ABodyUnderWayKeepsItsLength) {
  host.receive("POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n12");
  reload({.limits = {.max_body_bytes = 1}});
  EXPECT_EQ(parse_answer(host.ask("345")).status, 200);
  EXPECT_EQ(
      parse_answer(host.ask("POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n12345")).status,
      413);
}

TEST_F(SessionReload, WhoNeverSpokeKeepsTheTimeForAHead) {
  reload({.limits = {}, .header_timeout = 1s, .idle_timeout = 1s});
  host.advance(9999ms);
  EXPECT_TRUE(host.open_still());
}

class ServerReload : public ::testing::TestWithParam<IoChoice> {
 protected:
  [[nodiscard]] static ServerOptions options() {
    ServerOptions options;
    options.listen = {"127.0.0.1:0"};
    options.reactors = 2;
    options.io = GetParam();
    options.stop.idle_grace = 20ms;
    return options;
  }
};
INSTANTIATE_TEST_SUITE_P(Io, ServerReload, ::testing::Values(IoChoice::epoll, IoChoice::automatic),
                         [](const auto& io) { return io.param == IoChoice::epoll ? "epoll" : "automatic"; });

TEST_P(ServerReload, OnlyWhileItServes) {
  log_configure(LogFormat::text, LogLevel::off);
  Server server(options());
  EXPECT_FALSE(server.reload(options()));
  ASSERT_TRUE(server.start());
  EXPECT_TRUE(server.reload(options()));
  server.stop();
  EXPECT_EQ(server.reload(options()).error().code, kServerClosed);
  ASSERT_TRUE(server.shutdown());
  EXPECT_EQ(server.reload(options()).error().code, kServerClosed);
}

TEST_P(ServerReload, FromManyThreadsAndHandlersWhileItStops) {
  log_configure(LogFormat::text, LogLevel::off);
  Server server(options());
  server.get("/reload", [&](const Request&, Response& response) {
    ServerOptions wished = options();
    wished.idle_timeout = 5s;
    response.status(server.reload(wished) ? 200 : 503);
  });
  auto addresses = server.start();
  ASSERT_TRUE(addresses);
  RawClient client(addresses->at(0));
  EXPECT_EQ(client.ask("GET /reload HTTP/1.1\r\nHost: a\r\n\r\n").status, 200);
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&server, i] {
      ServerOptions wished = options();
      for (int k = 0;; ++k) {
        wished.idle_timeout = 1s * (k % 7 + i + 1);
        if (!server.reload(wished)) return;
      }
    });
  }
  Result<DrainReport> report = server.shutdown();
  ASSERT_TRUE(report);
  EXPECT_EQ(report->exit_code, 0);
}

TEST_P(ServerReload, TheStopGoesByTheNewOptions) {
  log_configure(LogFormat::text, LogLevel::off);
  ServerOptions given = options();
  given.stop.idle_grace = 20s;
  Server server(given);
  server.get("/", [](const Request&, Response& response) { response.text("hello"); });
  auto addresses = server.start();
  ASSERT_TRUE(addresses);
  RawClient client(addresses->at(0));
  EXPECT_EQ(client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").status, 200);
  ASSERT_TRUE(server.reload(options()));
  const Instant began = monotonic_now();
  ASSERT_TRUE(server.shutdown());
  EXPECT_LT(monotonic_now() - began, 10s);
}

TEST_P(ServerReload, HookIsNotEmptyAndComesBefore) {
  Server server(options());
  EXPECT_THROW(server.on_reload({}), std::invalid_argument);
}

}  // namespace
}  // namespace lastcall::test
