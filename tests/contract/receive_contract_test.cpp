#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <string_view>
#include <vector>

#include "tests/contract/fixture.hpp"

namespace lastcall::contract {
namespace {

template <class H>
class ReceiveContract : public Contract<H> {
 protected:
  using Peer = typename H::Peer;

  /// Writes all of `bytes` while the backend turns, calling `between` after each turn.
  template <class Between>
  void pump(Peer& peer, std::string_view bytes, Between between) {
    ASSERT_TRUE(this->run_until([&] {
      between();
      if (!bytes.empty()) bytes.remove_prefix(peer.write_some(bytes.substr(0, 50'000)));
      return bytes.empty();
    }));
  }
};

TYPED_TEST_SUITE(ReceiveContract, Backends, BackendNames);

TYPED_TEST(ReceiveContract, BytesThenEndOfStreamOnce) {
  auto [server, peer] = this->pair();
  this->recv_start(server);
  peer.write("hello");
  ASSERT_TRUE(this->run_until([&] { return this->state(server).received == "hello"; }));
  EXPECT_TRUE(this->state(server).receiving);
  peer.half_close();
  ASSERT_TRUE(this->run_until([&] { return !this->state(server).receiving; }));
  EXPECT_EQ(this->state(server).recv_end, 0);
  this->settle();  // the fixture fails on a second end
}

TYPED_TEST(ReceiveContract, WhatWasSentBeforeTheStartArrives) {
  auto [server, peer] = this->pair();
  peer.write("early");
  peer.half_close();
  this->settle();
  EXPECT_EQ(this->events_, 0);
  this->recv_start(server);
  ASSERT_TRUE(this->run_until([&] { return !this->state(server).receiving; }));
  EXPECT_EQ(this->state(server).received, "early");
}

TYPED_TEST(ReceiveContract, EveryByteInOrder) {
  auto [server, peer] = this->pair();
  std::string bytes = pattern(2 << 20);
  this->recv_start(server);
  this->pump(peer, bytes, [] {});
  ASSERT_TRUE(this->run_until([&] { return this->state(server).received.size() >= bytes.size(); }));
  EXPECT_TRUE(this->state(server).received == bytes);
}

TYPED_TEST(ReceiveContract, ResetIsAnErrorAndTheEnd) {
  auto [server, peer] = this->pair();
  this->send_and_wait(server, {"never taken"});
  this->recv_start(server);
  this->settle();
  peer.reset();
  ASSERT_TRUE(this->run_until([&] { return !this->state(server).receiving; }));
  EXPECT_EQ(this->state(server).recv_end, -ECONNRESET);
}

// Law 2: what else the sink does meanwhile must not disturb the bytes it was lent.
TYPED_TEST(ReceiveContract, LentBytesStayValidUntilTheSinkReturns) {
  constexpr size_t kCount = 32;
  std::vector<std::pair<Named, typename TypeParam::Peer>> pairs;
  std::vector<std::string> sent;
  for (size_t i = 0; i < kCount; ++i) {
    pairs.push_back(this->pair());
    sent.push_back(pattern(3000, i));
    pairs[i].second.write(sent[i]);
    this->recv_start(pairs[i].first);
  }
  auto [other, other_peer] = this->pair();
  std::vector<std::string> late(kCount);
  this->on_event_ = [&](const Event& event) {
    if (event.token.op != Op::recv || event.token.slot >= kCount) return;
    size_t i = event.token.slot;
    std::string first(reinterpret_cast<const char*>(event.bytes.data()), event.bytes.size());
    (void)this->io().unread(pairs[i].first.fd);
    if (i == 0) this->recv_start(other);
    if (i % 2 == 1 && this->state(pairs[i].first).receiving) this->io().abort(pairs[i].first.fd);
    std::string again(reinterpret_cast<const char*>(event.bytes.data()), event.bytes.size());
    EXPECT_TRUE(first == again);
    late[i] += again;
  };
  ASSERT_TRUE(this->run_until([&] {
    for (size_t i = 0; i < kCount; ++i) {
      if (late[i].size() < sent[i].size()) return false;
    }
    return true;
  }));
  EXPECT_TRUE(late == sent);
}

// Whoever closes what is idle asks for the whole truth: bytes may have left the socket, and not be delivered
// yet.
TYPED_TEST(ReceiveContract, UnreadKnowsWhatIsOnItsWay) {
  auto first = this->pair();  // no structured bindings: clang 19 does not like them in a capture
  auto second = this->pair();
  const Named one = first.first;
  const Named two = second.first;
  first.second.write("a");
  second.second.write("bc");
  ASSERT_TRUE(
      this->run_until([&] { return this->io().unread(one.fd) == 1 && this->io().unread(two.fd) == 2; }));
  this->recv_start(one);  // the next turn sees both
  this->recv_start(two);
  int events = 0;
  this->on_event_ = [&](const Event& event) {
    if (event.token.op != Op::recv || ++events > 1) return;
    const Named& other = event.token.slot == one.token.slot ? two : one;
    EXPECT_GT(this->io().unread(other.fd), 0);
  };
  ASSERT_TRUE(this->run_until([&] { return this->state(two).received == "bc"; }));
  EXPECT_EQ(this->io().unread(one.fd), 0);
  EXPECT_EQ(this->io().unread(two.fd), 0);
}

TYPED_TEST(ReceiveContract, PauseHoldsBackWhatComesAfter) {
  auto [server, peer] = this->pair();
  this->recv_start(server);
  peer.write("one ");
  ASSERT_TRUE(this->run_until([&] { return this->state(server).received == "one "; }));
  this->recv_pause_and_wait(server);
  peer.write("two");
  this->settle();
  EXPECT_EQ(this->state(server).received, "one ");
  EXPECT_EQ(this->io().unread(server.fd), 3);
  this->recv_start(server);
  ASSERT_TRUE(this->run_until([&] { return this->state(server).received == "one two"; }));
}

// Law 5: bytes that were on their way when the pause was asked for come before its end or after the next
// start.
TYPED_TEST(ReceiveContract, PauseAndResumeInAStreamLoseNothing) {
  auto [server, peer] = this->pair();
  std::string bytes = pattern(1 << 20);
  this->recv_start(server);
  int turns = 0, pauses = 0;
  auto toggle = [&] {
    if (++turns % 3 == 0 && this->state(server).receiving) {
      this->recv_pause_and_wait(server);
      ++pauses;
      EXPECT_TRUE(this->state(server).recv_end.value_or(-ECANCELED) == -ECANCELED);
    } else if (!this->state(server).receiving) {
      this->recv_start(server);
    }
  };
  this->pump(peer, bytes, toggle);
  if (!this->state(server).receiving) this->recv_start(server);
  ASSERT_TRUE(this->run_until([&] { return this->state(server).received.size() >= bytes.size(); }));
  EXPECT_TRUE(this->state(server).received == bytes);
  EXPECT_GT(pauses, 2);
}

TYPED_TEST(ReceiveContract, PauseAtOnceAfterStartWithDataQueued) {
  auto [server, peer] = this->pair();
  peer.write("queued");
  for (int round = 0; round < 5; ++round) {
    this->recv_start(server);
    this->recv_pause_and_wait(server);
  }
  EXPECT_EQ(this->io().unread(server.fd), this->state(server).received.empty() ? 6 : 0);
  this->recv_start(server);
  ASSERT_TRUE(this->run_until([&] { return this->state(server).received == "queued"; }));
}

TYPED_TEST(ReceiveContract, PauseAndRestartInsideTheSink) {
  auto [server, peer] = this->pair();
  std::string bytes = pattern(200'000);
  int pauses = 0;
  bool pausing = false;
  this->on_event_ = [&](const Event& event) {
    if (event.last) {
      pausing = false;
      if (event.result == -ECANCELED) this->recv_start(server);
    } else if (!pausing) {
      ++pauses;
      pausing = !this->recv_pause(server);
      if (!pausing) this->recv_start(server);
    }
  };
  this->recv_start(server);
  this->pump(peer, bytes, [] {});
  ASSERT_TRUE(this->run_until([&] { return this->state(server).received.size() >= bytes.size(); }));
  EXPECT_TRUE(this->state(server).received == bytes);
  EXPECT_GT(pauses, 1);
}

TYPED_TEST(ReceiveContract, EndOfStreamDuringAPauseIsSeenAfterIt) {
  auto [server, peer] = this->pair();
  this->recv_start(server);
  this->turn();
  this->recv_pause_and_wait(server);
  peer.half_close();
  this->settle();
  this->recv_start(server);
  ASSERT_TRUE(this->run_until([&] { return !this->state(server).receiving; }));
  EXPECT_EQ(this->state(server).recv_end, 0);
}

TYPED_TEST(ReceiveContract, AResetDuringAPauseDoesNotSpin) {
  auto [server, peer] = this->pair();
  this->send_and_wait(server, {"never taken"});
  this->recv_start(server);
  this->turn();
  this->recv_pause_and_wait(server);
  peer.reset();
  this->settle();
  this->recv_start(server);
  ASSERT_TRUE(this->run_until([&] { return !this->state(server).receiving; }));
  EXPECT_EQ(this->state(server).recv_end, -ECONNRESET);
}

TYPED_TEST(ReceiveContract, UnreadCountsTheQueue) {
  auto [server, peer] = this->pair();
  EXPECT_EQ(this->io().unread(server.fd), 0);
  peer.write("12345");
  EXPECT_TRUE(this->run_until([&] { return this->io().unread(server.fd) == 5; }));
  this->recv_start(server);
  ASSERT_TRUE(this->run_until([&] { return this->state(server).received.size() == 5; }));
  EXPECT_EQ(this->io().unread(server.fd), 0);
}

// Law 6: running out of receive buffers is the backend's affair. More connections, with more bytes, than any
// has.
TYPED_TEST(ReceiveContract, MoreInputThanBuffers) {
  constexpr size_t kCount = 400;
  if (!TypeParam::kSimulated && !allow_descriptors(2 * kCount + 100))
    GTEST_SKIP() << "RLIMIT_NOFILE is too low";
  std::string bytes = pattern(60'000);
  std::vector<std::pair<Named, typename TypeParam::Peer>> pairs;
  std::vector<size_t> sent(kCount);
  for (size_t i = 0; i < kCount; ++i) {
    pairs.push_back(this->pair());
    this->recv_start(pairs[i].first);
  }
  for (size_t i = 0; i < kCount; ++i) sent[i] = pairs[i].second.write_some(bytes);
  for (size_t i = 0; i < kCount; ++i) {
    State& state = this->state(pairs[i].first);
    ASSERT_TRUE(this->run_until([&] { return state.received.size() >= sent[i]; }));
    EXPECT_TRUE(state.received == std::string_view(bytes).substr(0, sent[i]));
    EXPECT_TRUE(state.receiving);
  }
}

}  // namespace
}  // namespace lastcall::contract
