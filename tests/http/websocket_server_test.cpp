#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <lastcall/core/log.hpp>
#include <lastcall/core/probe.hpp>
#include <lastcall/http/server.hpp>
#include <lastcall/http/websocket.hpp>

#include "tests/support/websocket_client.hpp"

// WebSockets over real sockets and both backends, rooms across reactors, up to the stop.
namespace lastcall::testing {
namespace {

using namespace lastcall::test;

constexpr size_t kClients = 20;

/// Who is there, on all reactors.
class Room {
 public:
  void enter(WebSocket::Sender who) {
    const std::lock_guard lock(mutex_);
    members_.push_back(std::move(who));
  }
  void leave(const WebSocket::Sender& who) {
    const std::lock_guard lock(mutex_);
    std::erase(members_, who);
  }
  void say(const std::string& text) {
    const std::lock_guard lock(mutex_);
    for (const WebSocket::Sender& member : members_) member.send_text(text);
  }
  [[nodiscard]] size_t size() {
    const std::lock_guard lock(mutex_);
    return members_.size();
  }

 private:
  std::mutex mutex_;
  std::vector<WebSocket::Sender> members_;
};

class WebSocketServerTest : public ::testing::TestWithParam<IoChoice> {
 protected:
  void SetUp() override {
    log_configure(LogFormat::text, LogLevel::off);
    if (GetParam() != IoChoice::io_uring) return;
    if (Result<void> probed = probe_uring(); !probed) GTEST_SKIP() << probed.error().message;
  }

  void start(WebSocketOptions options = {}) {
    options_ = std::move(options);
    server_.get("/echo", [this](Request& request, Response& response) -> Task<> {
      auto socket = WebSocket::accept(request, response, options_);
      if (!socket) co_return;
      while (auto message = co_await socket->receive()) {
        if (!co_await socket->send(*message)) break;
      }
    });
    server_.get("/room", [this](Request& request, Response& response) -> Task<> {
      auto socket = WebSocket::accept(request, response, options_);
      if (!socket) co_return;
      const WebSocket::Sender own = socket->sender();
      room_.enter(own);
      while (auto message = co_await socket->receive()) room_.say(message->data);
      room_.leave(own);
    });
    Result<std::vector<std::string>> addresses = server_.start();
    ASSERT_TRUE(addresses) << addresses.error().message;
    address_ = addresses->at(0);
  }

  [[nodiscard]] static ServerOptions server_options() {
    ServerOptions options;
    options.listen = {"127.0.0.1:0"};
    options.reactors = 2;
    options.io = GetParam();
    options.stop.idle_grace = 20ms;
    return options;
  }
  [[nodiscard]] std::vector<WebSocketClient> connect_all(std::string_view target) {
    std::vector<WebSocketClient> clients;
    for (size_t i = 0; i < kClients; ++i) {
      clients.emplace_back(address_, target);
      EXPECT_TRUE(clients.back().opened()) << clients.back().answer().status;
    }
    return clients;
  }

  WebSocketOptions options_;
  Room room_;
  Server server_{server_options()};
  std::string address_;
};

INSTANTIATE_TEST_SUITE_P(Io, WebSocketServerTest, ::testing::Values(IoChoice::epoll, IoChoice::io_uring),
                         [](const auto& io) { return io.param == IoChoice::epoll ? "epoll" : "io_uring"; });

TEST_P(WebSocketServerTest, EchoesWhatIsSmallAndWhatIsLarge) {
  start({.max_message_bytes = 4 << 20});
  WebSocketClient client(address_, "/echo");
  ASSERT_TRUE(client.opened());
  for (const size_t size : {0u, 1u, 125u, 126u, 65'535u, 65'536u, 3u << 20}) {
    const std::string payload(size, 'e');
    std::thread sender([&] { EXPECT_TRUE(client.send_binary(payload)); });
    const auto frame = client.receive();
    sender.join();
    ASSERT_TRUE(frame) << size;
    EXPECT_EQ(frame->opcode, kBinary);
    EXPECT_TRUE(frame->payload == payload) << size;
  }
  ASSERT_TRUE(client.send_close(1000));
  const auto closed = client.receive();
  ASSERT_TRUE(closed);
  EXPECT_EQ(closed->close_code(), 1000);
  EXPECT_EQ(client.raw().read_end(), StreamEnd::eof);
  EXPECT_EQ(server_.shutdown()->exit_code, 0);
}

TEST_P(WebSocketServerTest, ARoomHearsWhatOneSaysOnAllReactors) {
  start();
  auto clients = connect_all("/room");
  while (room_.size() < kClients) std::this_thread::yield();
  ASSERT_TRUE(clients[0].send_text("one"));
  for (WebSocketClient& client : clients) {
    const auto frame = client.receive();
    ASSERT_TRUE(frame);
    EXPECT_EQ(frame->payload, "one");
  }
  const Result<DrainReport> report = [&] {
    server_.stop();
    for (WebSocketClient& client : clients) {
      const auto frame = client.receive();
      EXPECT_TRUE(frame && frame->close_code() == 1001);
      EXPECT_EQ(client.finish(1001), StreamEnd::eof);
    }
    return server_.wait();
  }();
  ASSERT_TRUE(report);
  EXPECT_EQ(report->exit_code, 0);
  EXPECT_EQ(room_.size(), 0u);
  EXPECT_TRUE(std::ranges::all_of(report->reactors, [](const auto& one) { return one.accepted > 0; }))
      << "both had some";
}

TEST_P(WebSocketServerTest, TheStopTellsEachAndWaitsForIt) {
  start();
  auto clients = connect_all("/echo");
  server_.stop({.idle_grace = 20ms, .deadline = 20s});
  for (WebSocketClient& client : clients) {
    const auto frame = client.receive();
    ASSERT_TRUE(frame);
    EXPECT_EQ(frame->opcode, kClose);
    EXPECT_EQ(frame->close_code(), 1001);
  }
  for (WebSocketClient& client : clients) EXPECT_EQ(client.finish(1001), StreamEnd::eof);
  const Result<DrainReport> report = server_.wait();
  ASSERT_TRUE(report);
  EXPECT_EQ(report->exit_code, 0);
  EXPECT_TRUE(report->aborted.empty());
  uint64_t completed = 0;
  for (const ReactorTotals& reactor : report->reactors) completed += reactor.completed;
  EXPECT_EQ(completed, kClients);
}

TEST_P(WebSocketServerTest, AClientThatDoesNotCloseIsNotWaitedForForever) {
  start({.close_timeout = 100ms});
  WebSocketClient client(address_, "/echo");
  ASSERT_TRUE(client.opened());
  server_.stop({.idle_grace = 20ms, .deadline = 20s});
  const auto frame = client.receive();
  ASSERT_TRUE(frame);
  EXPECT_EQ(frame->close_code(), 1001);
  EXPECT_EQ(client.raw().read_end(), StreamEnd::eof);
  const Result<DrainReport> report = server_.wait();
  ASSERT_TRUE(report);
  EXPECT_EQ(report->exit_code, 0);
  EXPECT_LT(report->duration_ms, 10'000);
}

TEST_P(WebSocketServerTest, ASlowClientIsClosedAndTheRoomGoesOn) {
  start({.max_queued_bytes = 256 * 1024, .close_timeout = 100ms});
  WebSocketClient slow(address_, "/room", "", {.receive_buffer_bytes = 4096});
  WebSocketClient quick(address_, "/room");
  ASSERT_TRUE(slow.opened() && quick.opened());
  while (room_.size() < 2) std::this_thread::yield();
  const std::string message(32 * 1024, 'm');
  size_t said = 0;
  for (; room_.size() == 2 && said < 10'000; ++said) {
    ASSERT_TRUE(quick.send_text(message));
    const auto frame = quick.receive();
    ASSERT_TRUE(frame);
    ASSERT_EQ(frame->opcode, kText) << frame->close_code();
  }
  EXPECT_LT(said, 10'000u);
  ASSERT_TRUE(quick.send_text("still here"));
  const auto frame = quick.receive();
  ASSERT_TRUE(frame);
  EXPECT_EQ(frame->payload, "still here");
  slow.raw().reset();
  quick.raw().close();
  ASSERT_TRUE(server_.shutdown({.deadline = 10s}));
}

}  // namespace
}  // namespace lastcall::testing
