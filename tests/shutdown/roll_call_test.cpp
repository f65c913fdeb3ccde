#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>

#include <lastcall/shutdown/control.hpp>

namespace lastcall {
namespace {

TEST(RollCall, KeepsWhatItIsTold) {
  RollCall call;
  call.connection(7, 42);
  call.add({.method = "GET", .target = "/a?b", .state = "body", .age_ms = 3});
  call.connection(8, 0, "203.0.113.5:4444");
  call.add({.method = {}, .target = {}, .state = "head", .age_ms = 0});
  ASSERT_EQ(call.entries().size(), 2u);
  const RollCall::Entry& first = call.entries()[0];
  EXPECT_EQ(first.fd, 7);
  EXPECT_EQ(first.bytes_sent, 42u);
  EXPECT_EQ(std::string(first.method, first.method_size), "GET");
  EXPECT_EQ(std::string(first.target, first.target_size), "/a?b");
  EXPECT_STREQ(first.state, "body");
  EXPECT_EQ(first.age_ms, 3);
  EXPECT_EQ(call.entries()[1].fd, 8);
  EXPECT_EQ(call.entries()[1].target_size, 0u);
  EXPECT_EQ(first.peer_size, 0u);
  EXPECT_EQ(std::string(call.entries()[1].peer, call.entries()[1].peer_size), "203.0.113.5:4444");
  EXPECT_FALSE(call.told());
}

TEST(RollCall, LongTargetsAreCutAndWhatIsTooManyIsCounted) {
  RollCall call;
  const std::string target(RollCall::kTargetBytes + 1, 'x');
  for (size_t i = 0; i < RollCall::kMost + 3; ++i) {
    call.add({.method = "UNSUBSCRIBE", .target = target, .state = "handling", .age_ms = 0});
  }
  EXPECT_EQ(call.entries().size(), RollCall::kMost);
  EXPECT_EQ(call.unlisted(), 3u);
  const RollCall::Entry& last = call.entries().back();
  EXPECT_EQ(std::string(last.method, last.method_size), "UNSUBSCRIBE");
  EXPECT_EQ(std::string(last.target, last.target_size), target.substr(1));
}

std::atomic<bool> in_a_handler = false;

void tell(RollCall& call) noexcept {
  if (in_a_handler) call.begin();
}

TEST(RollCall, OnlyAReactorInAHandlerTells) {
  StopControl control(1);
  RollCall call;
  EXPECT_FALSE(control.call_roll(0, call, 1s)) << "nobody there";
  std::atomic<bool> called = false;
  std::atomic<bool> over = false;
  std::jthread reactor([&] {
    control.be_called_by(0, tell);
    called = true;
    while (!over) std::this_thread::yield();
  });
  while (!called) std::this_thread::yield();
  in_a_handler = false;
  EXPECT_FALSE(control.call_roll(0, call, 10s));
  in_a_handler = true;
  EXPECT_TRUE(control.call_roll(0, call, 10s));
  over = true;
}

}  // namespace
}  // namespace lastcall
