#include <gtest/gtest.h>
#include <unistd.h>

#include <future>
#include <string>
#include <thread>
#include <vector>

#include <lastcall/core/log.hpp>
#include <lastcall/core/probe.hpp>
#include <lastcall/http/server.hpp>

#include "tests/support/raw_client.hpp"

// The server as a program embeds it: threads and sockets are real.
namespace lastcall::testing {
namespace {

class ServerTest : public ::testing::TestWithParam<IoChoice> {
 protected:
  void SetUp() override {
    log_configure(LogFormat::text, LogLevel::off);
    if (GetParam() != IoChoice::io_uring) return;
    if (Result<void> probed = probe_uring(); !probed) GTEST_SKIP() << probed.error().message;
  }

  [[nodiscard]] static std::string address() {
    return "unix:" + ::testing::TempDir() + "lastcall-server-" + std::to_string(::getpid()) + ".sock";
  }
  [[nodiscard]] static ServerOptions options() {
    ServerOptions options;
    options.listen = {address()};
    options.reactors = 2;
    options.io = GetParam();
    options.stop.idle_grace = 20ms;
    return options;
  }
  /// A connection, as soon as the server listens.
  [[nodiscard]] static RawClient connect(const std::string& to = address()) {
    for (;;) {
      RawClient client(to);
      if (client.connected()) return client;
      std::this_thread::yield();
    }
  }
  static std::string get(const std::string& target) {
    return "GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n";
  }
};

INSTANTIATE_TEST_SUITE_P(Io, ServerTest, ::testing::Values(IoChoice::epoll, IoChoice::io_uring),
                         [](const auto& io) { return io.param == IoChoice::epoll ? "epoll" : "io_uring"; });

TEST_P(ServerTest, ShutdownReturnsTheReport) {
  Server server(options());
  server.get("/hello", [](const Request&, Response& response) { response.text("hello"); });
  auto exit_code = std::async(std::launch::async, [&] { return server.run(); });
  RawClient client = connect();
  EXPECT_EQ(client.ask(get("/hello")).body, "hello");
  const Result<DrainReport> report = server.shutdown();
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(exit_code.get(), 0);
  EXPECT_EQ(report->reason, "shutdown");
  EXPECT_EQ(report->io, GetParam() == IoChoice::epoll ? "epoll" : "io_uring");
  EXPECT_EQ(report->exit_code, 0);
  ASSERT_EQ(report->reactors.size(), 2u);
  EXPECT_EQ(report->reactors[0].accepted + report->reactors[1].accepted, 1u);
  EXPECT_EQ(report->reactors[0].idle_closed + report->reactors[1].idle_closed, 1u);
  ASSERT_EQ(report->gate.listeners.size(), 1u);
  EXPECT_EQ(report->gate.listeners[0].tier, "unix");
  EXPECT_GE(report->duration_ms, 20);
}

TEST_P(ServerTest, ManyShutdownsAreOne) {
  Server server(options());
  auto exit_code = std::async(std::launch::async, [&] { return server.run(); });
  RawClient client = connect();
  std::vector<std::future<Result<DrainReport>>> calls;
  for (int i = 0; i < 8; ++i)
    calls.push_back(std::async(std::launch::async, [&] { return server.shutdown(); }));
  std::vector<std::string> reports;
  for (auto& call : calls) {
    const Result<DrainReport> report = call.get();
    ASSERT_TRUE(report);
    reports.push_back(to_json(*report));
  }
  reports.push_back(to_json(server.shutdown().value()));  // long after
  for (const std::string& report : reports) EXPECT_EQ(report, reports[0]);
  EXPECT_EQ(exit_code.get(), 0);
}

TEST_P(ServerTest, ALaterShutdownOnlyShortens) {
  Server server(options());
  std::promise<void> waiting;
  server.get("/wait", [&](Request&, Response&) -> Task<> {
    waiting.set_value();
    co_await sleep_for(1h);
  });
  auto exit_code = std::async(std::launch::async, [&] { return server.run(); });
  RawClient client = connect();
  client.send(get("/wait"));
  waiting.get_future().wait();
  auto patient = std::async(std::launch::async, [&] { return server.shutdown({.deadline = 1h}); });
  auto hasty = std::async(std::launch::async, [&] { return server.shutdown({.deadline = 100ms}); });
  const Result<DrainReport> report = patient.get();
  ASSERT_TRUE(report);
  EXPECT_EQ(to_json(*report), to_json(hasty.get().value()));
  EXPECT_LT(report->duration_ms, 60'000);
  EXPECT_EQ(report->exit_code, 2);
  ASSERT_EQ(report->aborted.size(), 1u);
  EXPECT_EQ(report->aborted[0].target, "/wait");
  EXPECT_EQ(client.read_answer().status, 503);
  EXPECT_EQ(exit_code.get(), 2);
}

TEST_P(ServerTest, AStoppedServerDoesNotRunAgain) {
  Server server(options());
  auto exit_code = std::async(std::launch::async, [&] { return server.run(); });
  RawClient client = connect();
  ASSERT_TRUE(server.shutdown());
  EXPECT_EQ(exit_code.get(), 0);
  EXPECT_EQ(server.run(), 1);
  EXPECT_EQ(server.shutdown()->exit_code, 0) << "still the report of the stop";
}

TEST_P(ServerTest, ShutDownBeforeItRanItNeverRuns) {
  Server server(options());
  const Result<DrainReport> report = server.shutdown();
  ASSERT_TRUE(report);
  EXPECT_EQ(report->exit_code, 0);
  EXPECT_TRUE(report->reactors.empty());
  EXPECT_EQ(server.run(), 1);
  EXPECT_FALSE(RawClient(address()).connected());
}

TEST_P(ServerTest, WhatCouldNotStartHasNoReport) {
  ServerOptions wrong = options();
  wrong.listen = {"nonsense"};
  Server server(wrong);
  EXPECT_EQ(server.run(), 1);
  const Result<DrainReport> report = server.shutdown();
  ASSERT_FALSE(report);
  EXPECT_NE(report.error().message.find("nonsense"), std::string::npos) << report.error().message;
}

// A pool thread that waited for the stop would be waited for by it.
TEST_P(ServerTest, ShutdownInWorkOfTheServersOwnPoolIsAnError) {
  Server server(options());
  std::string said;
  server.get("/", [&](Request&, Response& response) -> Task<> {
    static_cast<void>(co_await offload([&] {
      const Result<DrainReport> report = server.shutdown();
      said = report ? "stopped" : report.error().message;
    }));
    response.text("done");
  });
  auto exit_code = std::async(std::launch::async, [&] { return server.run(); });
  RawClient client = connect();
  EXPECT_EQ(client.ask(get("/")).body, "done");
  ASSERT_TRUE(server.shutdown({.deadline = 2s}));
  EXPECT_EQ(exit_code.get(), 0);
  EXPECT_NE(said.find("call stop()"), std::string::npos) << said;
}

// The thread of main() was there before, and does not block the signals.
TEST_P(ServerTest, SignalsReachARunOnAnotherThread) {
  Server server(options());
  server.get("/", [](const Request&, Response& response) { response.text("hello"); });
  auto exit_code = std::async(std::launch::async, [&] { return server.run(); });
  RawClient client = connect();
  EXPECT_EQ(client.ask(get("/")).body, "hello");
  ASSERT_EQ(::kill(::getpid(), SIGTERM), 0);
  EXPECT_EQ(exit_code.get(), 0);
  EXPECT_EQ(server.shutdown()->reason, "SIGTERM");
}

TEST_P(ServerTest, AdminListenerIsNotReadyAsSoonAsAStopIsAsked) {
  ServerOptions with_admin = options();
  with_admin.admin = address() + ".admin";
  Server server(with_admin);
  auto exit_code = std::async(std::launch::async, [&] { return server.run(); });
  RawClient client = connect();
  RawClient watcher = connect(with_admin.admin);
  while (watcher.ask(get("/readyz")).status == 503) std::this_thread::yield();  // it is being started
  EXPECT_EQ(watcher.ask(get("/readyz")).status, 200);
  server.stop({.announce = 10s, .deadline = 20s});
  EXPECT_EQ(watcher.ask(get("/readyz")).status, 503);
  EXPECT_EQ(watcher.ask(get("/livez")).status, 200);
  client.close();
  ASSERT_TRUE(server.shutdown({.deadline = 2s}));
  EXPECT_EQ(exit_code.get(), 0);
  EXPECT_FALSE(RawClient(with_admin.admin).connected());
}

TEST_P(ServerTest, AdminListenerThatCannotListenIsAnError) {
  ServerOptions wrong = options();
  wrong.admin = wrong.listen[0];
  Server server(wrong);
  EXPECT_EQ(server.run(), 1);
  const Result<DrainReport> report = server.shutdown();
  ASSERT_FALSE(report);
  EXPECT_NE(report.error().message.find("--admin"), std::string::npos) << report.error().message;
  EXPECT_NE(report.error().message.find(address()), std::string::npos) << report.error().message;
}

TEST_P(ServerTest, ShutdownInAHandlerIsAnErrorAndStopIsNot) {
  Server server(options());
  std::string said;
  server.post("/shutdown", [&](const Request&, Response& response) {
    const Result<DrainReport> report = server.shutdown();
    said = report ? "stopped" : report.error().message;
    server.stop();
    response.text("stopping");
  });
  auto exit_code = std::async(std::launch::async, [&] { return server.run(); });
  RawClient client = connect();
  EXPECT_EQ(client.ask("POST /shutdown HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").body, "stopping");
  EXPECT_EQ(exit_code.get(), 0);
  EXPECT_NE(said.find("call stop()"), std::string::npos) << said;
}

}  // namespace
}  // namespace lastcall::testing
