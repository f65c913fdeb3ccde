#include <gtest/gtest.h>
#include <sys/eventfd.h>

#include <utility>

#include "tests/contract/fixture.hpp"

namespace lastcall::contract {
namespace {

template <class H>
class TimeContract : public Contract<H> {};

TYPED_TEST_SUITE(TimeContract, Backends, BackendNames);

TYPED_TEST(TimeContract, WaitReturnsAtUntilWithoutEvents) {
  for (Duration sleep : {Duration(1us), Duration(300us), Duration(20ms)}) {
    this->turn(0ms);  // now() as of now
    Instant until = this->io().now() + sleep;
    this->wait(until);
    EXPECT_EQ(this->events_, 0);
    if (TypeParam::kSimulated) {
      EXPECT_EQ(this->io().now(), until);
    } else {
      EXPECT_GE(this->io().now(), until);
    }
  }
}

TYPED_TEST(TimeContract, WaitUntilThePastOnlyLooks) {
  auto [server, peer] = this->pair();
  this->recv_start(server);
  Instant start = this->io().now();
  for (int i = 0; i < 100; ++i) this->wait(start);
  EXPECT_EQ(this->events_, 0);
  peer.write("x");
  int looks = 0;
  while (this->state(server).received.empty() && ++looks < 1'000'000) this->wait(start);
  EXPECT_EQ(this->state(server).received, "x");
}

TYPED_TEST(TimeContract, AnEventEndsAWaitForEver) {
  auto [server, peer] = this->pair();
  this->recv_start(server);
  this->harness().later([&peer] { peer.write("x"); });
  while (this->state(server).received.empty()) this->wait(kNever);
  EXPECT_EQ(this->state(server).received, "x");
  this->harness().join();
}

TYPED_TEST(TimeContract, NowStandsStillBetweenWaitsAndNeverGoesBack) {
  Instant last = this->io().now();
  for (int i = 0; i < 100; ++i) {
    this->turn(10us);
    Instant now = this->io().now();
    EXPECT_GE(now, last);
    auto [server, peer] = this->harness().pair();
    this->close(this->adopt(server));
    EXPECT_EQ(this->io().now(), now);
    last = now;
  }
}

TYPED_TEST(TimeContract, WallIsAPlausibleDate) {
  constexpr Duration kYear = 365 * 24h;
  EXPECT_GT(this->io().wall(), 50 * kYear);
  EXPECT_LT(this->io().wall(), 130 * kYear);
}

TYPED_TEST(TimeContract, WatchFiresForEachWriteAndReadsNothing) {
  Named eventfd = this->make_eventfd();
  this->watch_start(eventfd);
  this->settle();
  for (uint64_t writes = 1; writes <= 5; ++writes) {
    int before = this->state(eventfd).fired;
    ASSERT_EQ(::eventfd_write(eventfd.fd, 1), 0);
    ASSERT_TRUE(this->run_until([&] { return this->state(eventfd).fired > before; }));
    int after_it = this->state(eventfd).fired;
    this->settle();
    EXPECT_EQ(this->state(eventfd).fired, after_it);  // one write, and no spinning while it stays unread
  }
  eventfd_t value = 0;
  EXPECT_EQ(::eventfd_read(eventfd.fd, &value), 0);
  EXPECT_EQ(value, 5u);
}

TYPED_TEST(TimeContract, WatchFiresForWritesAfterTheOwnerRead) {
  Named eventfd = this->make_eventfd();
  this->watch_start(eventfd);
  for (int round = 0; round < 50; ++round) {
    int before = this->state(eventfd).fired;
    ASSERT_EQ(::eventfd_write(eventfd.fd, 1), 0);
    ASSERT_TRUE(this->run_until([&] { return this->state(eventfd).fired > before; }));
    eventfd_t value = 0;
    EXPECT_EQ(::eventfd_read(eventfd.fd, &value), 0);
  }
}

TYPED_TEST(TimeContract, AWriteFromElsewhereEndsAWaitForEver) {
  Named eventfd = this->make_eventfd();
  this->watch_start(eventfd);
  this->settle();
  int before = this->state(eventfd).fired;
  this->harness().later([fd = eventfd.fd] { ::eventfd_write(fd, 1); });
  while (this->state(eventfd).fired == before) this->wait(kNever);
  EXPECT_EQ(this->state(eventfd).fired, before + 1);
  this->harness().join();
}

// The broadcast of a stop: one eventfd that every reactor watches, and that none of them may read.
TYPED_TEST(TimeContract, OneWriteIsSeenByTwoBackends) {
  Named eventfd = this->make_eventfd();
  typename TypeParam::Backend other;
  int seen_by_other = 0;
  auto count = [&](const Event&) { ++seen_by_other; };
  this->watch_start(eventfd);
  other.watch_start(eventfd.token, eventfd.fd);
  this->settle();
  EXPECT_EQ(::eventfd_write(eventfd.fd, 1), 0);
  EXPECT_TRUE(this->run_until([&] { return this->state(eventfd).fired > 0; }));
  while (seen_by_other == 0) other.wait(kNever, count);
  other.watch_stop(eventfd.token, eventfd.fd);
}

TYPED_TEST(TimeContract, WatchStopEndsItAtOnce) {
  Named eventfd = this->make_eventfd();
  this->watch_start(eventfd);
  ASSERT_EQ(::eventfd_write(eventfd.fd, 1), 0);
  ASSERT_TRUE(this->run_until([&] { return this->state(eventfd).fired > 0; }));
  ASSERT_EQ(::eventfd_write(eventfd.fd, 1), 0);
  this->watch_stop(eventfd);
  ASSERT_EQ(::eventfd_write(eventfd.fd, 1), 0);
  this->settle();  // the fixture fails on an event
}

TYPED_TEST(TimeContract, WatchStopInsideTheSinkEndsItAtOnce) {
  Named first = this->make_eventfd(), second = this->make_eventfd();
  this->watch_start(first);
  this->watch_start(second);
  this->settle();
  bool stopped = false;
  this->on_event_ = [&](const Event& event) {
    if (std::exchange(stopped, true)) return;
    this->watch_stop(event.token.slot == first.token.slot ? second : first);
  };
  ASSERT_EQ(::eventfd_write(first.fd, 1), 0);
  ASSERT_EQ(::eventfd_write(second.fd, 1), 0);
  ASSERT_TRUE(this->run_until([&] { return stopped; }));
  this->settle();
}

TYPED_TEST(TimeContract, WatchStartsAgainInTheSameSlot) {
  Named eventfd = this->make_eventfd();
  for (int round = 0; round < 10; ++round) {
    this->watch_start(eventfd);
    int before = this->state(eventfd).fired;
    ASSERT_EQ(::eventfd_write(eventfd.fd, 1), 0);
    ASSERT_TRUE(this->run_until([&] { return this->state(eventfd).fired > before; }));
    this->watch_stop(eventfd);
  }
  this->settle();
}

}  // namespace
}  // namespace lastcall::contract
