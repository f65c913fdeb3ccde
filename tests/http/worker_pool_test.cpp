// A worker pool of one's own and the servers that offload to it: which of them may end first, over real
// sockets and threads.

#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <memory>
#include <string>
#include <thread>

#include <lastcall/core/log.hpp>
#include <lastcall/core/probe.hpp>
#include <lastcall/lastcall.hpp>

#include "tests/support/raw_client.hpp"

namespace lastcall::testing {
namespace {

class OwnPool : public ::testing::TestWithParam<IoChoice> {
 protected:
  void SetUp() override {
    log_configure(LogFormat::text, LogLevel::off);
    if (GetParam() != IoChoice::io_uring) return;
    if (Result<void> probed = probe_uring(); !probed) GTEST_SKIP() << probed.error().message;
  }
  [[nodiscard]] static ServerOptions options() {
    ServerOptions options;
    options.listen = {"127.0.0.1:0"};
    options.reactors = 2;
    options.io = GetParam();
    options.stop.idle_grace = 0ms;
    return options;
  }
  static constexpr std::string_view kGet = "GET /db HTTP/1.1\r\nHost: a\r\n\r\n";
};

INSTANTIATE_TEST_SUITE_P(Io, OwnPool, ::testing::Values(IoChoice::epoll, IoChoice::io_uring),
                         [](const auto& io) { return io.param == IoChoice::epoll ? "epoll" : "io_uring"; });

TEST_P(OwnPool, OutlivesTheServerWhoseStopWaitsForIt) {
  std::latch inside(1), go(1);
  Result<DrainReport> deadlock = error("not called");
  WorkerPool db("db", {.threads = 1, .queue = 1});
  Server server(options());
  server.get("/db", [&](Request&, Response& response) -> Task<> {
    auto got = co_await offload(db, [&] {
      inside.count_down();
      go.wait();
      deadlock = server.shutdown();  // would wait for itself: an error on this thread, too
      return 7;
    });
    response.text(std::to_string(got.value()));
  });
  RawClient client(server.start().value().at(0));
  client.send(kGet);
  inside.wait();
  server.stop();
  go.count_down();
  EXPECT_EQ(client.read_answer().body, "7");
  const Result<DrainReport> report = server.wait();
  ASSERT_TRUE(report);
  EXPECT_EQ(report->exit_code, 0);
  EXPECT_FALSE(deadlock);
}

TEST_P(OwnPool, MayGoBeforeAServerThatHasStopped) {
  auto db = std::make_unique<WorkerPool>("db", WorkerPoolOptions{.threads = 2, .queue = 1});
  Server server(options());
  server.get("/db", [&](Request&, Response& response) -> Task<> {
    response.text(std::to_string((co_await offload(*db, [] { return 7; })).value()));
  });
  RawClient client(server.start().value().at(0));
  EXPECT_EQ(client.ask(std::string(kGet)).body, "7");
  ASSERT_TRUE(server.shutdown());
  db.reset();
}

// The client is gone and the deadline near: what runs for its handler still runs to its end before anything
// that it refers to is freed.
TEST_P(OwnPool, IsWaitedForByAStopThatForces) {
  std::latch inside(1);
  std::atomic<bool> ended = false;
  WorkerPool db("db", {.threads = 1, .queue = 1});
  {
    Server server(options());
    server.get("/db", [&](Request&, Response&) -> Task<> {
      const std::string held(1000, 'x');
      auto got = co_await offload(db, [&] {
        inside.count_down();
        while (!server.stopping()) std::this_thread::yield();
        ended = held.size() == 1000;
      });
      static_cast<void>(got);
    });
    {
      RawClient client(server.start().value().at(0));
      client.send(kGet);
      inside.wait();
    }
    ASSERT_TRUE(server.close());
    EXPECT_TRUE(ended);
  }
}

}  // namespace
}  // namespace lastcall::testing
