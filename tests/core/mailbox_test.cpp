#include <gtest/gtest.h>
#include <poll.h>

#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include <lastcall/core/mailbox.hpp>

namespace lastcall {
namespace {

bool rings(const Mailbox& mailbox) {
  pollfd fd{.fd = mailbox.wake_fd(), .events = POLLIN, .revents = 0};
  return ::poll(&fd, 1, 0) == 1;
}

uint64_t count_rings(const Mailbox& mailbox) {
  uint64_t count = 0;
  return ::read(mailbox.wake_fd(), &count, sizeof count) == sizeof count ? count : 0;
}

TEST(Mailbox, RunsInTheOrderOfPosting) {
  Mailbox mailbox;
  std::vector<int> ran;
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(mailbox.post([&ran, i] { ran.push_back(i); }));
  EXPECT_TRUE(ran.empty());
  mailbox.run_all();
  EXPECT_EQ(ran, (std::vector{0, 1, 2, 3, 4}));
  mailbox.run_all();
  EXPECT_EQ(ran.size(), 5u);
}

TEST(Mailbox, RingsOnceABatchAndAgainAfterIt) {
  Mailbox mailbox;
  EXPECT_FALSE(rings(mailbox));
  for (int i = 0; i < 3; ++i) mailbox.post([] {});
  EXPECT_EQ(count_rings(mailbox), 1u);
  mailbox.run_all();
  mailbox.post([] {});
  EXPECT_EQ(count_rings(mailbox), 1u);
}

TEST(Mailbox, WhatAMessagePostsRunsInTheNextCall) {
  Mailbox mailbox;
  int ran = 0;
  mailbox.post([&] {
    ++ran;
    mailbox.post([&] { ++ran; });
  });
  mailbox.run_all();
  EXPECT_EQ(ran, 1);
  EXPECT_EQ(count_rings(mailbox), 2u);  // the message inside rang for the next call
  mailbox.run_all();
  EXPECT_EQ(ran, 2);
}

TEST(Mailbox, ClosedRefusesAndDestroysButRunsWhatCameBefore) {
  Mailbox mailbox;
  int ran = 0;
  mailbox.post([&] { ++ran; });
  mailbox.close();
  auto owned = std::make_shared<int>(1);
  EXPECT_FALSE(mailbox.post([&ran, owned] { ++ran; }));
  EXPECT_EQ(owned.use_count(), 1);
  mailbox.run_all();
  EXPECT_EQ(ran, 1);
}

TEST(Mailbox, MessagesMayOwnWhatCannotBeCopied) {
  Mailbox mailbox;
  int seen = 0;
  mailbox.post([&seen, value = std::make_unique<int>(7)] { seen = *value; });
  mailbox.run_all();
  EXPECT_EQ(seen, 7);
}

TEST(Mailbox, ManyThreadsPostAndNothingIsLost) {
  constexpr int kThreads = 4;
  constexpr int kEach = 2000;
  Mailbox mailbox;
  std::vector<int> last(kThreads, -1);
  int ran = 0;
  bool ordered = true;
  std::vector<std::jthread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        mailbox.post([&, t, i] {
          ordered = ordered && last[static_cast<size_t>(t)] == i - 1;
          last[static_cast<size_t>(t)] = i;
          ++ran;
        });
      }
    });
  }
  while (ran < kThreads * kEach) {  // only as often as it rings: a lost ring hangs here
    pollfd fd{.fd = mailbox.wake_fd(), .events = POLLIN, .revents = 0};
    ASSERT_EQ(::poll(&fd, 1, 5000), 1);
    count_rings(mailbox);
    mailbox.run_all();
  }
  EXPECT_TRUE(ordered);
}

TEST(Mailbox, TellsWhetherThereWasAnything) {
  Mailbox mailbox;
  EXPECT_FALSE(mailbox.run_all());
  mailbox.post([&mailbox] { mailbox.post([] {}); });
  EXPECT_TRUE(mailbox.run_all());
  EXPECT_TRUE(mailbox.run_all());
  EXPECT_FALSE(mailbox.run_all());
}

}  // namespace
}  // namespace lastcall
