#include <gtest/gtest.h>

#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include "tests/contract/fixture.hpp"

namespace lastcall::contract {
namespace {

template <class H>
class AcceptContract : public Contract<H> {
 protected:
  using Peer = typename H::Peer;

  /// Each connection in `accepted` answers with its number, and each peer must get one of the answers: nobody
  /// was reset, and no descriptor stands for two connections.
  void expect_each_alive(const std::vector<int>& accepted, std::vector<Peer>& peers) {
    ASSERT_EQ(accepted.size(), peers.size());
    for (int fd : accepted) {
      Named connection = this->adopt(fd);
      this->send_and_wait(connection, {"!"});
      EXPECT_EQ(this->state(connection).send_end, 1);
    }
    for (Peer& peer : peers) {
      std::string got;
      EXPECT_TRUE(this->run_until([&] { return !(got += peer.read_all()).empty(); }));
      EXPECT_EQ(got, "!");
      EXPECT_FALSE(peer.saw_reset());
    }
  }
};

TYPED_TEST_SUITE(AcceptContract, Backends, BackendNames);

TYPED_TEST(AcceptContract, EachConnectionIsOneEvent) {
  Named listener = this->listen();
  this->accept_start(listener);
  std::vector<typename TypeParam::Peer> peers;
  std::vector<int>& accepted = this->state(listener).accepted;
  for (size_t i = 0; i < 3; ++i) {
    peers.push_back(this->harness().connect(listener.fd));
    ASSERT_TRUE(this->run_until([&] { return accepted.size() == i + 1; }));
  }
  this->settle();
  this->expect_each_alive(accepted, peers);
}

TYPED_TEST(AcceptContract, ConnectionsQueuedBeforeTheStartArrive) {
  Named listener = this->listen();
  std::vector<typename TypeParam::Peer> peers;
  for (int i = 0; i < 5; ++i) peers.push_back(this->harness().connect(listener.fd));
  this->accept_start(listener);
  std::vector<int>& accepted = this->state(listener).accepted;
  ASSERT_TRUE(this->run_until([&] { return accepted.size() == 5; }));
  this->expect_each_alive(accepted, peers);
}

TYPED_TEST(AcceptContract, ListenersDoNotMix) {
  Named first = this->listen(), second = this->listen();
  this->accept_start(first);
  this->accept_start(second);
  auto to_second = this->harness().connect(second.fd);
  ASSERT_TRUE(this->run_until([&] { return this->state(second).accepted.size() == 1; }));
  auto to_first = this->harness().connect(first.fd);
  ASSERT_TRUE(this->run_until([&] { return this->state(first).accepted.size() == 1; }));
  EXPECT_EQ(this->state(second).accepted.size(), 1u);
}

TYPED_TEST(AcceptContract, StopEndsOnceAndStartsAgain) {
  Named listener = this->listen();
  for (size_t round = 0; round < 3; ++round) {
    this->accept_start(listener);
    auto peer = this->harness().connect(listener.fd);
    ASSERT_TRUE(this->run_until([&] { return this->state(listener).accepted.size() == round + 1; }));
    this->accept_stop_and_wait(listener);
    this->settle();  // the fixture fails on a second end
  }
  EXPECT_EQ(this->accept_now(listener), -EAGAIN);
}

TYPED_TEST(AcceptContract, AfterStopTheQueueStaysForAcceptNow) {
  Named listener = this->listen();
  this->accept_start(listener);
  this->turn();
  this->accept_stop_and_wait(listener);
  auto peer = this->harness().connect(listener.fd);
  this->settle();
  EXPECT_TRUE(this->state(listener).accepted.empty());
  int fd = this->accept_now(listener);
  EXPECT_GE(fd, 0);
  EXPECT_EQ(this->accept_now(listener), -EAGAIN);
}

// The gate of a stop: what finished its handshake is served, whether it came by an event before the stop, by
// an event between the stop and its end, or out of the queue.
TYPED_TEST(AcceptContract, StopThenAcceptNowResetsNobody) {
  Named listener = this->listen();
  std::vector<typename TypeParam::Peer> peers;
  auto connect = [&](int count) {
    for (int i = 0; i < count; ++i) peers.push_back(this->harness().connect(listener.fd));
  };
  this->accept_start(listener);
  connect(20);
  this->turn();
  connect(20);
  this->accept_stop(listener);
  connect(20);
  ASSERT_TRUE(this->run_until([&] { return !this->state(listener).accepting; }));
  connect(20);
  std::vector<int> accepted = this->state(listener).accepted;
  int fd;
  while ((fd = this->accept_now(listener)) >= 0) accepted.push_back(fd);
  EXPECT_EQ(fd, -EAGAIN);
  this->close(listener);
  this->expect_each_alive(accepted, peers);
}

TYPED_TEST(AcceptContract, StopInsideTheSinkLosesNobody) {
  Named listener = this->listen();
  std::vector<typename TypeParam::Peer> peers;
  for (int i = 0; i < 10; ++i) peers.push_back(this->harness().connect(listener.fd));
  bool stopped = false;
  this->on_event_ = [&](const Event&) {
    if (!std::exchange(stopped, true)) this->accept_stop(listener);
  };
  this->accept_start(listener);
  ASSERT_TRUE(this->run_until([&] { return stopped && !this->state(listener).accepting; }));
  std::vector<int> accepted = this->state(listener).accepted;
  int fd;
  while ((fd = this->accept_now(listener)) >= 0) accepted.push_back(fd);
  this->expect_each_alive(accepted, peers);
}

TYPED_TEST(AcceptContract, NoDescriptorLeftEndsItAndItStartsAgain) {
  Named listener = this->listen();
  std::vector<typename TypeParam::Peer> peers;
  for (int i = 0; i < 3; ++i) peers.push_back(this->harness().connect(listener.fd));
  std::vector<int>& accepted = this->state(listener).accepted;
  {
    auto limit = this->harness().limit_descriptors(1);
    this->accept_start(listener);
    ASSERT_TRUE(this->run_until([&] { return !this->state(listener).accepting; }));
    EXPECT_EQ(this->state(listener).accept_end, -EMFILE);
    EXPECT_EQ(accepted.size(), 1u);
    int events = this->events_;
    this->settle();
    EXPECT_EQ(this->events_, events);  // no spinning: the caller pauses as long as it sees fit

    this->accept_start(listener);  // too early
    ASSERT_TRUE(this->run_until([&] { return !this->state(listener).accepting; }));
    EXPECT_EQ(this->state(listener).accept_end, -EMFILE);
    EXPECT_EQ(this->accept_now(listener), -EMFILE);
  }
  this->accept_start(listener);
  ASSERT_TRUE(this->run_until([&] { return accepted.size() == 3; }));
  this->expect_each_alive(accepted, peers);
}

TYPED_TEST(AcceptContract, ClosingTheListenerResetsItsQueue) {
  Named listener = this->listen();
  auto peer = this->harness().connect(listener.fd);
  this->close(listener);
  EXPECT_TRUE(this->run_until([&] { return peer.saw_reset(); }));
}

TYPED_TEST(AcceptContract, ThousandConnectionsAtOnce) {
  constexpr size_t kCount = 1000;
  if (!TypeParam::kSimulated && !allow_descriptors(2 * kCount + 100))
    GTEST_SKIP() << "RLIMIT_NOFILE is too low";
  Named listener = this->listen();
  std::vector<typename TypeParam::Peer> peers;
  for (size_t i = 0; i < kCount; ++i) peers.push_back(this->harness().connect(listener.fd));
  size_t ended = 0;
  std::vector<Named> connections;
  std::vector<std::string> answers(kCount);  // send memory, stable while sends are pending
  this->on_event_ = [&](const Event& event) {
    if (event.token.op == Op::accept && event.result >= 0) {
      connections.push_back(this->adopt(event.result));
      this->recv_start(connections.back());
    } else if (event.token.op == Op::recv && event.last) {
      Named connection = this->named(event.token);
      answers[ended] = this->state(connection).received + " served";
      this->send(connection, {answers[ended++]});
    }
  };
  this->accept_start(listener);
  for (size_t i = 0; i < kCount; ++i) {
    peers[i].write(std::to_string(i));
    peers[i].half_close();
  }
  ASSERT_TRUE(this->run_until([&] { return ended == kCount; }));
  for (size_t i = 0; i < kCount; ++i) {
    std::string wanted = std::to_string(i) + " served", got;
    ASSERT_TRUE(this->run_until([&] { return (got += peers[i].read_all()).size() >= wanted.size(); }));
    EXPECT_EQ(got, wanted);
  }
}

}  // namespace
}  // namespace lastcall::contract
