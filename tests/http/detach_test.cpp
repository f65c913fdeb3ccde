#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <lastcall/core/log.hpp>
#include <lastcall/core/probe.hpp>
#include <lastcall/http/server.hpp>
#include <lastcall/http/stream.hpp>

#include "tests/support/raw_client.hpp"

// Connections whose descriptor is given away, over real sockets and both backends, up to the stop.
namespace lastcall::testing {
namespace {

/// From the reactor's thread to the test's.
class Handover {
 public:
  void give(HijackedConnection connection) {
    {
      const std::lock_guard lock(mutex_);
      waiting_.push_back(std::move(connection));
    }
    came_.notify_one();
  }
  HijackedConnection take() {
    std::unique_lock lock(mutex_);
    came_.wait(lock, [this] { return !waiting_.empty(); });
    HijackedConnection first = std::move(waiting_.front());
    waiting_.pop_front();
    return first;
  }

 private:
  std::mutex mutex_;
  std::condition_variable came_;
  std::deque<HijackedConnection> waiting_;
};

class DetachTest : public ::testing::TestWithParam<IoChoice> {
 protected:
  void SetUp() override {
    log_configure(LogFormat::text, LogLevel::off);
    if (GetParam() != IoChoice::io_uring) return;
    if (Result<void> probed = probe_uring(); !probed) GTEST_SKIP() << probed.error().message;
  }

  void start(uint32_t reactors = 1) {
    ServerOptions options;
    options.listen = {"127.0.0.1:0"};
    options.reactors = reactors;
    options.io = GetParam();
    options.stop.idle_grace = 20ms;
    server_ = std::make_unique<Server>(options);
    server_->get("/detach", [this](Request&, Response& response) -> Task<> {
      Stream& own = response.hijack();
      static_cast<void>(co_await own.write("hello"));
      std::optional<HijackedConnection> taken = co_await own.detach();
      EXPECT_TRUE(own.aborted());
      EXPECT_FALSE(own.append("x"));
      if (!taken) co_return;  // the client has gone
      EXPECT_TRUE((co_await own.read()).empty());
      give(std::move(*taken));
    });
    Result<std::vector<std::string>> addresses = server_->start();
    ASSERT_TRUE(addresses) << addresses.error().message;
    address_ = addresses->at(0);
  }
  virtual void give(HijackedConnection taken) { given_.give(std::move(taken)); }

  [[nodiscard]] RawClient connect() {
    RawClient client(address_);
    EXPECT_TRUE(client.connected());
    return client;
  }
  static std::string get(const std::string& target) {
    return "GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n";
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
  /// What comes next on the holder's side; empty at the end.
  static std::string receive(const HijackedConnection& taken) {
    pollfd readable{.fd = taken.fd(), .events = POLLIN, .revents = 0};
    ::poll(&readable, 1, 20'000);
    char bytes[1024];
    const ssize_t count = ::recv(taken.fd(), bytes, sizeof bytes, MSG_DONTWAIT);
    return {bytes, count > 0 ? static_cast<size_t>(count) : 0};
  }
  DrainReport report(const StopOptions& stop) {
    Result<DrainReport> result = server_->shutdown(stop);
    EXPECT_TRUE(result);
    uint64_t accepted = 0;
    uint64_t ended = 0;
    for (const ReactorTotals& reactor : result->reactors) {
      accepted += reactor.accepted;
      ended += reactor.completed + reactor.idle_closed + reactor.aborted;
    }
    EXPECT_EQ(accepted, ended);
    return std::move(*result);
  }

  Handover given_;
  std::unique_ptr<Server> server_;
  std::string address_;
};

INSTANTIATE_TEST_SUITE_P(Io, DetachTest, ::testing::Values(IoChoice::epoll, IoChoice::io_uring),
                         [](const auto& io) { return io.param == IoChoice::epoll ? "epoll" : "io_uring"; });

TEST_P(DetachTest, TheHolderGoesOnWhereTheServerEnded) {
  start();
  RawClient client = connect();
  ASSERT_TRUE(client.send(get("/detach") + "early"));
  HijackedConnection taken = given_.take();
  EXPECT_EQ(read_exactly(client, 5), "hello");
  EXPECT_EQ(taken.unread(), "early");
  EXPECT_EQ(taken.peer(), client.local_address());
  EXPECT_TRUE(::fcntl(taken.fd(), F_GETFL) & O_NONBLOCK);
  ASSERT_TRUE(client.send("more"));
  EXPECT_EQ(receive(taken), "more");
  ASSERT_EQ(::send(taken.fd(), "back", 4, MSG_NOSIGNAL), 4);
  EXPECT_EQ(read_exactly(client, 4), "back");
  { HijackedConnection last = std::move(taken); }
  EXPECT_EQ(client.read_end(), StreamEnd::eof);
  EXPECT_EQ(report({.deadline = 20s}).reactors.at(0).completed, 1u);
}

TEST_P(DetachTest, AssigningEndsTheOneBefore) {
  start();
  RawClient client = connect();
  ASSERT_TRUE(client.send(get("/detach")));
  HijackedConnection first = given_.take();
  RawClient other = connect();
  ASSERT_TRUE(other.send(get("/detach")));
  first = given_.take();
  EXPECT_EQ(client.read_end(), StreamEnd::eof);
  ASSERT_TRUE(other.send("still"));
  EXPECT_EQ(receive(first), "still");
}

TEST_P(DetachTest, TheStopTellsTheHolderAndWaits) {
  start();
  RawClient client = connect();
  ASSERT_TRUE(client.send(get("/detach")));
  auto taken = std::make_unique<HijackedConnection>(given_.take());
  std::promise<void> told;
  {
    std::stop_callback callback(taken->drain_token(), [&] { told.set_value(); });
    server_->stop({.idle_grace = 20ms, .deadline = 20s});
    told.get_future().wait();
  }
  EXPECT_FALSE(taken->stop_token().stop_requested());
  ASSERT_TRUE(client.send("during the stop"));
  EXPECT_EQ(receive(*taken), "during the stop");
  auto stopped = std::async(std::launch::async, [&] { return report({.deadline = 20s}); });
  EXPECT_EQ(stopped.wait_for(100ms), std::future_status::timeout);
  taken.reset();
  const DrainReport got = stopped.get();
  EXPECT_EQ(got.exit_code, 0);
  EXPECT_TRUE(got.aborted.empty());
  EXPECT_EQ(got.reactors.at(0).completed, 1u);
}

TEST_P(DetachTest, TheForceWakesTheHolderAndNamesIt) {
  for (const bool lets_go : {true, false}) {
    SCOPED_TRACE(lets_go);
    start();
    RawClient client = connect();
    ASSERT_TRUE(client.send(get("/detach")));
    auto taken = std::make_unique<HijackedConnection>(given_.take());
    const std::stop_token forced = taken->stop_token();
    std::thread holder([&] {
      EXPECT_EQ(receive(*taken), "");
      if (lets_go) taken.reset();
    });
    const DrainReport got = report({.idle_grace = 20ms, .deadline = 700ms});
    holder.join();
    EXPECT_TRUE(forced.stop_requested());
    EXPECT_EQ(got.exit_code, 2);
    ASSERT_EQ(got.aborted.size(), 1u);
    EXPECT_EQ(got.aborted[0].state, "hijacked");
    EXPECT_EQ(got.aborted[0].method, "GET");
    EXPECT_EQ(got.aborted[0].target, "/detach");
    EXPECT_EQ(got.aborted[0].bytes_sent, 5u);
    EXPECT_EQ(got.aborted[0].peer, client.local_address());
    EXPECT_EQ(got.reactors.at(0).aborted, 1u);
    EXPECT_EQ(got.reactors.at(0).completed, 0u);
    EXPECT_EQ(client.read_end(), StreamEnd::eof);
    server_.reset();  // before what it gave away
  }
}

TEST_P(DetachTest, OneThatIsLeftOutOutlivesTheServer) {
  start();
  RawClient client = connect();
  ASSERT_TRUE(client.send(get("/detach")));
  HijackedConnection taken = given_.take();
  taken.leave_out_of_stop();
  taken.leave_out_of_stop();
  const DrainReport got = report({.idle_grace = 20ms, .deadline = 20s});
  EXPECT_EQ(got.exit_code, 0);
  EXPECT_EQ(got.reactors.at(0).completed, 1u);
  server_.reset();
  EXPECT_FALSE(taken.stop_token().stop_requested());
  EXPECT_EQ(read_exactly(client, 5), "hello");
  ASSERT_TRUE(client.send("still there"));
  EXPECT_EQ(receive(taken), "still there");
}

// A handler that keeps it is told by the force as by that of a connection it has not given away.
TEST_P(DetachTest, AHandlerThatHoldsOnIsCancelled) {
  start();
  server_.reset();
  ServerOptions options;
  options.listen = {"127.0.0.1:0"};
  options.reactors = 1;
  options.io = GetParam();
  server_ = std::make_unique<Server>(options);
  bool whole = true;
  server_->get("/keep", [&](Request&, Response& response) -> Task<> {
    std::optional<HijackedConnection> taken = co_await response.hijack().detach();
    given_.give(HijackedConnection(nullptr));
    whole = co_await sleep_for(1h);
  });
  Result<std::vector<std::string>> addresses = server_->start();
  ASSERT_TRUE(addresses);
  RawClient client(addresses->at(0));
  ASSERT_TRUE(client.send(get("/keep")));
  static_cast<void>(given_.take());
  const DrainReport got = report({.idle_grace = 20ms, .deadline = 2s});
  EXPECT_FALSE(whole);
  EXPECT_EQ(got.aborted.size(), 1u);
  EXPECT_EQ(got.reactors.at(0).aborted, 1u);
  EXPECT_LT(got.duration_ms, 1900);
}

class DetachRaces : public DetachTest {
 protected:
  void give(HijackedConnection taken) override {
    std::lock_guard lock(mutex_);
    taken_.push_back(std::move(taken));
  }
  std::mutex mutex_;
  std::vector<HijackedConnection> taken_;
};

INSTANTIATE_TEST_SUITE_P(Io, DetachRaces, ::testing::Values(IoChoice::epoll, IoChoice::io_uring),
                         [](const auto& io) { return io.param == IoChoice::epoll ? "epoll" : "io_uring"; });

// Other threads end, opt out and keep them while the server stops and is destroyed.
TEST_P(DetachRaces, EachIsCountedOnce) {
  for (int round = 0; round < 10; ++round) {
    SCOPED_TRACE(round);
    start(2);
    std::vector<RawClient> clients;
    for (int i = 0; i < 60; ++i) {
      clients.push_back(connect());
      ASSERT_TRUE(clients.back().send(get("/detach") + "early"));
    }
    std::atomic<bool> done = false;
    std::thread holder([&] {
      for (size_t i = 0; !done; ++i) {
        std::lock_guard lock(mutex_);
        if (taken_.empty()) continue;
        if (i % 3 == 0) taken_.back().leave_out_of_stop();
        if (i % 5 != 0) taken_.pop_back();
      }
    });
    std::thread leaving([&] {
      for (size_t i = 0; i < clients.size(); i += 7) clients[i].reset();
    });
    const DrainReport got = report({.idle_grace = 5ms, .deadline = round % 2 == 0 ? 520ms : 5s});
    uint64_t aborted = 0;
    for (const ReactorTotals& reactor : got.reactors) aborted += reactor.aborted;
    EXPECT_EQ(got.aborted.size(), aborted);
    server_.reset();
    done = true;
    holder.join();
    leaving.join();
    taken_.clear();
  }
}

}  // namespace
}  // namespace lastcall::testing
