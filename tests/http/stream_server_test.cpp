#include <gtest/gtest.h>
#include <unistd.h>

#include <semaphore>
#include <string>
#include <thread>
#include <vector>

#include <lastcall/core/log.hpp>
#include <lastcall/core/probe.hpp>
#include <lastcall/http/server.hpp>
#include <lastcall/http/stream.hpp>

#include "tests/support/raw_client.hpp"

// Connections that leave HTTP, over real sockets and both backends, up to the stop.
namespace lastcall::testing {
namespace {

struct Setup {
  const char* name;
  IoChoice io;
  bool tcp;
};

class StreamServerTest : public ::testing::TestWithParam<Setup> {
 protected:
  void SetUp() override {
    log_configure(LogFormat::text, LogLevel::off);
    if (GetParam().io != IoChoice::io_uring) return;
    if (Result<void> probed = probe_uring(); !probed) GTEST_SKIP() << probed.error().message;
  }

  void start() {
    server_.get("/echo", [this](Request&, Response& response) -> Task<> {
      Stream& own = response.switch_protocols("echo");
      begun_.release();
      for (std::string_view piece; !(piece = co_await own.read()).empty();) {
        if (!co_await own.write(piece)) co_return;
      }
      static_cast<void>(co_await own.write("bye"));
    });
    server_.get("/polite", [this](Request& request, Response& response) -> Task<> {
      Stream& own = response.hijack();
      static_cast<void>(co_await own.write("hello"));
      begun_.release();
      co_await until(request.drain_token());
      static_cast<void>(co_await own.write("going away"));
    });
    server_.get("/leaves", [this](Request&, Response& response) -> Task<> {
      Stream& own = response.hijack();
      own.leave_at_stop();
      static_cast<void>(co_await own.write("hello"));
      begun_.release();
      while (!(co_await own.read()).empty()) {
      }
    });
    Result<std::vector<std::string>> addresses = server_.start();
    ASSERT_TRUE(addresses) << addresses.error().message;
    address_ = addresses->at(0);
  }

  [[nodiscard]] static ServerOptions options() {
    ServerOptions options;
    options.listen = {GetParam().tcp ? "127.0.0.1:0"
                                     : "unix:" + ::testing::TempDir() + "lastcall-stream-" +
                                           std::to_string(::getpid()) + ".sock"};
    options.reactors = 1;
    options.io = GetParam().io;
    options.stop.idle_grace = 20ms;
    return options;
  }
  [[nodiscard]] RawClient connect() {
    RawClient client(address_);
    EXPECT_TRUE(client.connected());
    return client;
  }
  static std::string get(const std::string& target) {
    return "GET " + target + " HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
  }
  static std::string read_exactly(RawClient& client, size_t bytes) {
    std::string text;
    while (text.size() < bytes) {
      std::string piece = client.read_some(bytes - text.size());
      if (piece.empty()) break;
      text += piece;
    }
    return text;
  }
  DrainReport stop(const StopOptions& stop) {
    Result<DrainReport> report = server_.shutdown(stop);
    EXPECT_TRUE(report);
    const ReactorTotals& reactor = report->reactors.at(0);
    EXPECT_EQ(reactor.accepted, reactor.completed + reactor.idle_closed + reactor.aborted);
    return std::move(*report);
  }

  std::counting_semaphore<> begun_{0};
  Server server_{options()};
  std::string address_;
};

INSTANTIATE_TEST_SUITE_P(Io, StreamServerTest,
                         ::testing::Values(Setup{"epoll_tcp", IoChoice::epoll, true},
                                           Setup{"epoll_unix", IoChoice::epoll, false},
                                           Setup{"io_uring_tcp", IoChoice::io_uring, true},
                                           Setup{"io_uring_unix", IoChoice::io_uring, false}),
                         [](const auto& made) { return made.param.name; });

TEST_P(StreamServerTest, BytesBothWaysUpToThePeersEnd) {
  start();
  RawClient client = connect();
  ASSERT_TRUE(client.send(get("/echo") + "early"));
  EXPECT_EQ(client.read_answer().status, 101);
  EXPECT_EQ(read_exactly(client, 5), "early");
  const std::string much(4 << 20, 'x');
  std::thread sender([&] {
    EXPECT_TRUE(client.send(much));
    client.half_close();
  });
  std::string back = read_exactly(client, much.size());
  EXPECT_TRUE(back == much) << back.size();
  sender.join();
  auto [rest, end] = client.read_all();
  EXPECT_EQ(rest, "bye");
  EXPECT_EQ(end, StreamEnd::eof);
  EXPECT_EQ(stop({.deadline = 5s}).exit_code, 0);
}

TEST_P(StreamServerTest, TheStopTellsItAndWaits) {
  start();
  RawClient client = connect();
  ASSERT_TRUE(client.send(get("/polite")));
  begun_.acquire();
  server_.stop({.idle_grace = 20ms, .deadline = 10s});
  EXPECT_EQ(client.read_all(), std::pair(std::string("hellogoing away"), StreamEnd::eof));
  const DrainReport report = stop({.deadline = 10s});
  EXPECT_EQ(report.exit_code, 0);
  EXPECT_TRUE(report.aborted.empty());
  EXPECT_EQ(report.reactors.at(0).completed, 1u);
}

TEST_P(StreamServerTest, TheDeadlineCutsItOffAndNamesIt) {
  start();
  RawClient client = connect();
  ASSERT_TRUE(client.send(get("/echo")));
  begun_.acquire();
  const DrainReport report = stop({.idle_grace = 20ms, .deadline = 700ms});
  EXPECT_EQ(report.exit_code, 2);
  ASSERT_EQ(report.aborted.size(), 1u);
  EXPECT_EQ(report.aborted[0].state, "hijacked");
  EXPECT_EQ(report.aborted[0].target, "/echo");
  EXPECT_EQ(report.reactors.at(0).aborted, 1u);
  EXPECT_EQ(client.read_answer().status, 101);
  EXPECT_EQ(client.read_all(), std::pair(std::string(), StreamEnd::eof));
}

TEST_P(StreamServerTest, OneThatOptedOutIsNotWaitedFor) {
  start();
  RawClient client = connect();
  ASSERT_TRUE(client.send(get("/leaves")));
  begun_.acquire();
  server_.stop({.idle_grace = 20ms, .deadline = 20s});
  EXPECT_EQ(client.read_all(), std::pair(std::string("hello"), StreamEnd::eof));
  const DrainReport report = stop({.deadline = 20s});
  EXPECT_EQ(report.exit_code, 0);
  EXPECT_LT(report.duration_ms, 10'000);
  EXPECT_EQ(report.reactors.at(0).completed, 1u);
}

}  // namespace
}  // namespace lastcall::testing
