#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <barrier>
#include <latch>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>

#include <lastcall/core/clock.hpp>
#include <lastcall/net/offload_pool.hpp>
#include <lastcall/net/worker_pool.hpp>

namespace lastcall {
namespace {

const Instant kPast{};  // a deadline that is over

TEST(OffloadPool, StartsNoThreadUntilThereIsWork) {
  OffloadPool pool(8, 8);
  EXPECT_EQ(pool.threads(), 0u);
  std::latch ran(1);
  ASSERT_TRUE(pool.try_submit([&] { ran.count_down(); }));
  EXPECT_EQ(pool.threads(), 1u);
  ran.wait();
}

TEST(OffloadPool, FreeThreadIsUsedAgain) {
  OffloadPool pool(8, 8);
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(pool.try_submit([] {}));
    while (pool.queued() + pool.running() > 0) std::this_thread::yield();
  }
  EXPECT_EQ(pool.threads(), 1u);
}

TEST(OffloadPool, RunsEverythingThatWasTaken) {
  std::atomic<int> ran = 0;
  OffloadPool pool(3, 1000);
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(pool.try_submit([&] { ++ran; }));
  EXPECT_LE(pool.threads(), 3u);
  EXPECT_TRUE(pool.join_until(kNever));
  EXPECT_EQ(ran, 1000);
  EXPECT_EQ(pool.queued(), 0u);
  EXPECT_EQ(pool.running(), 0u);
}

TEST(OffloadPool, DestructorWaitsForTheQueueToo) {
  std::atomic<int> ran = 0;
  {
    OffloadPool pool(1, 100);
    for (int i = 0; i < 100; ++i) ASSERT_TRUE(pool.try_submit([&] { ++ran; }));
  }
  EXPECT_EQ(ran, 100);
}

TEST(OffloadPool, RunsAsManyAtOnceAsItHasThreads) {
  std::barrier meet(4);  // passes only if three tasks and this thread are in it together
  OffloadPool pool(3, 0);
  for (int i = 0; i < 3; ++i)
    ASSERT_TRUE(pool.try_submit([&] { meet.arrive_and_wait(), meet.arrive_and_wait(); }));
  meet.arrive_and_wait();
  EXPECT_EQ(pool.running(), 3u);
  EXPECT_EQ(pool.threads(), 3u);
  meet.arrive_and_wait();
}

TEST(OffloadPool, RefusesBeyondTheQueueLimit) {
  std::latch started(2), release(1);
  OffloadPool pool(2, 3);
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(pool.try_submit([&] { started.count_down(), release.wait(); }));
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(pool.try_submit([] {}));
  EXPECT_FALSE(pool.try_submit([] {}));
  started.wait();
  EXPECT_EQ(pool.running(), 2u);
  EXPECT_EQ(pool.queued(), 3u);
  EXPECT_FALSE(pool.try_submit([] {}));
  release.count_down();
}

TEST(OffloadPool, TakesWorkAgainWhenSomeIsDone) {
  std::latch release(1), passed(1);
  OffloadPool pool(1, 1);
  ASSERT_TRUE(pool.try_submit([&] { release.wait(); }));
  ASSERT_TRUE(pool.try_submit([&] { passed.count_down(); }));
  ASSERT_FALSE(pool.try_submit([] {}));
  release.count_down();
  passed.wait();
  EXPECT_TRUE(pool.try_submit([] {}));
}

TEST(OffloadPool, RefusedTaskIsDestroyed) {
  auto held = std::make_shared<int>(1);
  OffloadPool pool(1, 0);
  pool.close();
  EXPECT_FALSE(pool.try_submit([held] {}));
  EXPECT_EQ(held.use_count(), 1);
  EXPECT_EQ(pool.threads(), 0u);
}

TEST(OffloadPool, CloseRefusesNewWorkAndRunsTheOld) {
  std::latch started(1), release(1);
  std::atomic<bool> ran = false;
  OffloadPool pool(1, 2);
  ASSERT_TRUE(pool.try_submit([&] { started.count_down(), release.wait(); }));
  ASSERT_TRUE(pool.try_submit([&] { ran = true; }));
  started.wait();
  pool.close();
  EXPECT_FALSE(pool.try_submit([] {}));
  release.count_down();
  EXPECT_TRUE(pool.join_until(kNever));
  EXPECT_TRUE(ran);
}

TEST(OffloadPool, JoinInTimeWithAFiniteDeadline) {
  OffloadPool pool(2, 2);
  ASSERT_TRUE(pool.try_submit([] {}));
  EXPECT_TRUE(pool.join_until(after(monotonic_now(), 1h)));
}

TEST(OffloadPool, IdlePoolJoinsEvenWhenTheDeadlineIsOver) {
  OffloadPool pool(2, 2);
  EXPECT_TRUE(pool.join_until(kPast));
}

// A thread in a task that does not return is left behind with what it shares with the pool, and may end after
// it.
TEST(OffloadPool, DeadlineLeavesTheRunningAndDropsTheQueued) {
  auto started = std::make_shared<std::latch>(1);
  auto release = std::make_shared<std::latch>(1);
  auto ended = std::make_shared<std::latch>(1);
  auto queued = std::make_shared<int>(1);
  {
    OffloadPool pool(1, 1);
    ASSERT_TRUE(pool.try_submit([=] { started->count_down(), release->wait(), ended->count_down(); }));
    ASSERT_TRUE(pool.try_submit([queued] { ++*queued; }));
    started->wait();
    EXPECT_FALSE(pool.join_until(kPast));
    EXPECT_EQ(queued.use_count(), 1);
    EXPECT_EQ(pool.running(), 1u);
  }
  release->count_down();
  ended->wait();
  EXPECT_EQ(*queued, 1);
}

TEST(OffloadPool, ThreadSurvivesAnException) {
  std::atomic<bool> ran = false;
  OffloadPool pool(1, 2);
  testing::internal::CaptureStderr();
  ASSERT_TRUE(pool.try_submit([] { throw std::runtime_error("disk on fire"); }));
  ASSERT_TRUE(pool.try_submit([] { throw 7; }));
  ASSERT_TRUE(pool.try_submit([&] { ran = true; }));
  EXPECT_TRUE(pool.join_until(kNever));
  std::string log = testing::internal::GetCapturedStderr();
  EXPECT_TRUE(ran);
  EXPECT_NE(log.find("event=offload_exception"), std::string::npos) << log;
  EXPECT_NE(log.find("disk on fire"), std::string::npos) << log;
}

TEST(OffloadPool, TaskIsDestroyedOnItsThreadBeforeItCountsAsDone) {
  auto held = std::make_shared<int>(1);
  OffloadPool pool(1, 0);
  ASSERT_TRUE(pool.try_submit([held = held] {}));
  EXPECT_TRUE(pool.join_until(kNever));
  EXPECT_EQ(held.use_count(), 1);
}

TEST(OffloadPool, ThreadsAreNamedAndTakeNoSignals) {
  char name[16] = "";
  bool blocked = false;
  sigset_t before, after_submit;
  ASSERT_EQ(::pthread_sigmask(SIG_SETMASK, nullptr, &before), 0);
  OffloadPool pool(1, 0);
  ASSERT_TRUE(pool.try_submit([&] {
    ::pthread_getname_np(::pthread_self(), name, sizeof name);
    sigset_t mask;
    ::pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    blocked = sigismember(&mask, SIGTERM) && sigismember(&mask, SIGINT) && sigismember(&mask, SIGHUP);
  }));
  ASSERT_EQ(::pthread_sigmask(SIG_SETMASK, nullptr, &after_submit), 0);
  EXPECT_TRUE(pool.join_until(kNever));
  EXPECT_STREQ(name, "offload-0");
  EXPECT_TRUE(blocked);
  EXPECT_EQ(sigismember(&after_submit, SIGTERM), sigismember(&before, SIGTERM));
}

TEST(OffloadPool, SubmittersRaceWithClose) {
  std::atomic<int> taken = 0, ran = 0;
  OffloadPool pool(2, 10'000);
  std::barrier start(4);
  auto submit = [&] {
    start.arrive_and_wait();
    for (int i = 0; i < 500; ++i)
      if (pool.try_submit([&] { ++ran; })) ++taken;
  };
  std::thread one(submit), two(submit), three(submit);
  start.arrive_and_wait();
  pool.close();
  one.join(), two.join(), three.join();
  EXPECT_TRUE(pool.join_until(kNever));
  EXPECT_EQ(ran, taken);
}

TEST(OffloadPool, WithoutThreadsRunsWhenAsked) {
  std::string ran;
  bool destroyed_unrun = false;
  struct Witness {
    bool* destroyed;
    explicit Witness(bool* d) : destroyed(d) {}
    Witness(Witness&& other) noexcept : destroyed(std::exchange(other.destroyed, nullptr)) {}
    ~Witness() {
      if (destroyed != nullptr) *destroyed = true;
    }
  };
  {
    OffloadPool pool(OffloadPool::NoThreads{}, 2);
    EXPECT_FALSE(pool.run_one());
    EXPECT_TRUE(pool.try_submit([&ran] { ran += "a"; }));
    EXPECT_TRUE(pool.try_submit([&ran] { ran += "b"; }));
    EXPECT_FALSE(pool.try_submit([&ran] { ran += "c"; }));
    EXPECT_EQ(pool.threads(), 0u);
    EXPECT_EQ(pool.queued(), 2u);
    EXPECT_EQ(ran, "");
    EXPECT_TRUE(pool.run_one());
    EXPECT_EQ(ran, "a");
    EXPECT_TRUE(pool.try_submit([&ran, w = Witness(&destroyed_unrun)] { ran += "d"; }));
    EXPECT_TRUE(pool.run_one());
    EXPECT_FALSE(destroyed_unrun);
    pool.close();
    EXPECT_FALSE(pool.try_submit([] {}));
  }
  EXPECT_EQ(ran, "ab");
  EXPECT_TRUE(destroyed_unrun);
}

// What another pool runs for this one is over before this one is.
TEST(OffloadPool, JoinWaitsForWhatAnotherPoolRuns) {
  std::latch go(1);
  std::atomic<int> ran = 0, begun = 0;
  OffloadPool other(1, 1, {}, "other");
  OffloadPool home(1, 1, [&begun] { ++begun; });
  auto work = [&] {
    go.wait();
    ++ran;
  };
  EXPECT_TRUE(home.try_submit_to(other, work));
  EXPECT_TRUE(home.try_submit_to(other, work));
  EXPECT_FALSE(home.try_submit_to(other, work));  // other's limits, whoever asks
  EXPECT_FALSE(other.try_submit(work));
  EXPECT_TRUE(home.try_submit([] {}));
  EXPECT_GE(home.running(), 2u);
  std::thread release([&go] { go.count_down(); });
  EXPECT_TRUE(home.join_until(kNever));
  EXPECT_EQ(ran, 2);
  EXPECT_EQ(begun, 3);  // a thread of its own, and twice one that works for it
  EXPECT_EQ(home.running(), 0u);
  EXPECT_FALSE(home.try_submit_to(other, work));
  EXPECT_TRUE(other.try_submit(work));
  release.join();
}

TEST(OffloadPool, GivesUpOnWhatAnotherPoolRuns) {
  std::latch go(1);
  OffloadPool other(1, 1);
  {
    OffloadPool home(1, 1);
    EXPECT_TRUE(home.try_submit_to(other, [&go] { go.wait(); }));
    EXPECT_FALSE(home.join_until(Instant{}));
  }
  go.count_down();  // it comes back to a pool that is gone
}

TEST(OffloadPool, WithoutThreadsKeepsTheLimitsOfOthers) {
  std::string ran;
  OffloadPool other(1, 1);
  OffloadPool home(OffloadPool::NoThreads{}, 1);
  EXPECT_TRUE(home.try_submit_to(other, [&ran] { ran += "a"; }));
  EXPECT_TRUE(home.try_submit([&ran] { ran += "b"; }));
  EXPECT_TRUE(home.try_submit_to(other, [&ran] { ran += "c"; }));
  EXPECT_FALSE(home.try_submit_to(other, [] {}));
  EXPECT_FALSE(home.try_submit([] {}));
  while (home.run_one()) {
  }
  EXPECT_EQ(ran, "abc");
  EXPECT_EQ(other.threads(), 0u);
}

TEST(WorkerPool, HasThreads) {
  EXPECT_THROW(WorkerPool("none", {.threads = 0}), std::invalid_argument);
}

}  // namespace
}  // namespace lastcall
