#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <thread>

#include <lastcall/core/interrupt.hpp>

namespace lastcall {
namespace {

/// A thread that hogs its CPU until it is destroyed. It makes calls, behind which TSan delivers signals.
class Hog {
 public:
  Hog()
      : thread_([this] {
          while (!stop_) std::this_thread::yield();
        }) {}
  ~Hog() {
    stop_ = true;
    thread_.join();
  }
  pthread_t handle() { return thread_.native_handle(); }

 private:
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

void note_thread(void* noted) noexcept {
  *static_cast<pthread_t*>(noted) = ::pthread_self();
}

void count(void* counter) noexcept {
  ++*static_cast<std::atomic<int>*>(counter);
}

TEST(Interrupt, RunsOnTheOtherThread) {
  Hog hog;
  pthread_t ran_on{};
  ASSERT_TRUE(interrupt_thread(hog.handle(), note_thread, &ran_on, 10s));
  EXPECT_NE(::pthread_equal(ran_on, hog.handle()), 0);
}

TEST(Interrupt, OneAfterTheOther) {
  Hog first;
  Hog second;
  std::atomic<int> counter = 0;
  std::jthread other([&] {
    for (int i = 0; i < 50; ++i) EXPECT_TRUE(interrupt_thread(first.handle(), count, &counter, 10s));
  });
  for (int i = 0; i < 50; ++i) EXPECT_TRUE(interrupt_thread(second.handle(), count, &counter, 10s));
  other.join();
  EXPECT_EQ(counter, 100);
}

TEST(Interrupt, ThreadThatDoesNotComeIsNotWaitedForAndNotInterruptedLater) {
  std::atomic<bool> may_come = false;
  std::atomic<bool> blocked = false;
  std::atomic<int> counter = 0;
  std::thread deaf([&] {
    sigset_t urgent;
    ::sigemptyset(&urgent);
    ::sigaddset(&urgent, SIGURG);
    ::pthread_sigmask(SIG_BLOCK, &urgent, nullptr);
    blocked = true;
    blocked.notify_one();
    may_come.wait(false);
    ::pthread_sigmask(SIG_UNBLOCK, &urgent, nullptr);
  });
  blocked.wait(false);
  EXPECT_FALSE(interrupt_thread(deaf.native_handle(), count, &counter, 1ms));
  may_come = true;
  may_come.notify_one();
  deaf.join();
  EXPECT_EQ(counter, 0);
}

TEST(Interrupt, LeavesTheSignalAsItWas) {
  struct sigaction mine {};
  mine.sa_handler = [](int) {};
  struct sigaction before {};
  ::sigaction(SIGURG, &mine, &before);
  Hog hog;
  std::atomic<int> counter = 0;
  EXPECT_TRUE(interrupt_thread(hog.handle(), count, &counter, 10s));
  struct sigaction after {};
  ::sigaction(SIGURG, &before, &after);
  EXPECT_EQ(after.sa_handler, mine.sa_handler);
}

}  // namespace
}  // namespace lastcall
