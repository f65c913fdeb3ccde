// Coroutines without a server: a wheel turned by hand, a mailbox, a pool.

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>

#include <lastcall/http/completion.hpp>
#include <lastcall/http/task.hpp>

namespace lastcall {
namespace {

class TaskTest : public ::testing::Test {
 protected:
  /// Runs `task` as the outermost one; finished() tells when it has ended.
  void start(Task<> task) {
    task_ = std::move(task);
    task_.start(context);
  }
  void advance(Duration duration) {
    loop.now += duration;
    timers.advance(loop.now, [](Timer& timer) {
      auto& due = static_cast<TaskTimer&>(timer);
      due.fire(due);
    });
  }
  [[nodiscard]] int finished() const { return finished_; }
  /// What the task threw, as text.
  [[nodiscard]] std::string error() const {
    try {
      if (task_.error()) std::rethrow_exception(task_.error());
    } catch (const std::exception& thrown) {
      return thrown.what();
    }
    return "";
  }

  TimerWheel timers{Instant{}};
  Mailbox mailbox;
  BufferPool buffers;
  ReactorCounters counters;
  Loop loop{.timers = timers, .mailbox = mailbox, .buffers = buffers, .counters = counters};
  OffloadPool pool{1, 1};
  static inline int finished_;
  TaskContext context{loop, pool, [](TaskContext&) { ++finished_; }};
  Task<> task_;

  void SetUp() override { finished_ = 0; }
};

Task<int> answer() {
  co_return 42;
}
Task<std::unique_ptr<int>> movable() {
  co_return std::make_unique<int>(7);
}
Task<int> add(int left, int right) {
  co_await sleep_for(1s);
  co_return left + right;
}
Task<int> throws(int depth) {
  if (depth == 0) throw std::runtime_error("from the bottom");
  co_return 1 + co_await throws(depth - 1);
}

TEST_F(TaskTest, ValuesComeBack) {
  int value = 0;
  std::unique_ptr<int> pointer;
  start([](int& v, std::unique_ptr<int>& p) -> Task<> {
    v = co_await answer();
    p = co_await movable();
  }(value, pointer));
  EXPECT_EQ(value, 42);
  ASSERT_NE(pointer, nullptr);
  EXPECT_EQ(*pointer, 7);
  EXPECT_EQ(finished(), 1);
}

TEST_F(TaskTest, StartsOnlyWhenAwaited) {
  bool ran = false;
  auto make = [](bool& r) -> Task<> {
    r = true;
    co_return;
  };
  {
    Task<> never = make(ran);
    EXPECT_TRUE(static_cast<bool>(never));
  }
  EXPECT_FALSE(ran);
  start(make(ran));
  EXPECT_TRUE(ran);
}

TEST_F(TaskTest, NestedTasksWaitAndGoOn) {
  int value = 0;
  start([](int& v) -> Task<> { v = co_await add(co_await add(1, 2), 3); }(value));
  advance(1s);
  EXPECT_EQ(value, 0);
  advance(1s);
  EXPECT_EQ(value, 6);
  EXPECT_EQ(finished(), 1);
}

TEST_F(TaskTest, ExceptionsComeUpThroughNestedTasks) {
  std::string caught;
  start([](std::string& c) -> Task<> {
    try {
      co_await throws(3);
    } catch (const std::runtime_error& error) {
      c = error.what();
    }
    co_await throws(2);
  }(caught));
  EXPECT_EQ(caught, "from the bottom");
  EXPECT_EQ(finished(), 1);
  EXPECT_EQ(error(), "from the bottom");
}

TEST_F(TaskTest, ManyTasksInARowNeedNoStack) {
  int sum = 0;
  start([](int& s) -> Task<> {
    for (int i = 0; i < 1'000; ++i) s += co_await answer();
  }(sum));
  EXPECT_EQ(sum, 42'000);
}

TEST_F(TaskTest, SleepLastsItsTime) {
  std::optional<bool> whole;
  start([](std::optional<bool>& w) -> Task<> { w = co_await sleep_for(250ms); }(whole));
  EXPECT_EQ(timers.next_due(), Instant(250ms));
  advance(249ms);
  EXPECT_FALSE(whole);
  EXPECT_EQ(finished(), 0);
  advance(1ms);
  EXPECT_EQ(whole, true);
  EXPECT_EQ(finished(), 1);
  EXPECT_EQ(timers.size(), 0u);
}

TEST_F(TaskTest, SleepForNoTimeComesBackInALaterTurn) {
  int turns = 0;
  start([](int& t) -> Task<> {
    for (; t < 3; ++t) co_await sleep_for(0s);
  }(turns));
  EXPECT_EQ(turns, 0);
  advance(1ms);
  EXPECT_EQ(turns, 1);  // what a timer arms fires in the next turn
  advance(1ms);
  advance(1ms);
  EXPECT_EQ(finished(), 1);
}

TEST_F(TaskTest, SleepForEverIsNotAnOverflow) {
  start([]() -> Task<> { co_await sleep_for(Duration::max()); }());
  advance(24h * 365);
  EXPECT_EQ(finished(), 0);
}

TEST_F(TaskTest, CancelCutsASleepShort) {
  std::string seen;
  start([](std::string& s) -> Task<> {
    s += co_await sleep_for(1h) ? "whole " : "cut ";
    s += co_await sleep_for(1s) ? "whole" : "cut";
  }(seen));
  context.cancel();
  EXPECT_TRUE(context.cancelled());
  EXPECT_EQ(seen, "cut ");
  EXPECT_EQ(timers.size(), 1u);
  advance(1s);  // what is waited for later takes as long as it does
  EXPECT_EQ(seen, "cut whole");
  EXPECT_EQ(finished(), 1);
}

TEST_F(TaskTest, CancelReachesTheInnermostWait) {
  int value = 0;
  start([](int& v) -> Task<> { v = co_await add(1, 2); }(value));
  context.cancel();
  EXPECT_EQ(value, 3);
  EXPECT_EQ(finished(), 1);
  context.cancel();  // nothing is waited for any more
}

TEST_F(TaskTest, DestroyingASleepingTaskDisarmsItsTimer) {
  bool destroyed = false;
  struct Witness {
    bool& destroyed;
    ~Witness() { destroyed = true; }
  };
  start([](bool& d) -> Task<> {
    Witness witness{d};
    co_await add(1, 2);
  }(destroyed));
  EXPECT_EQ(timers.size(), 1u);
  task_ = {};
  EXPECT_TRUE(destroyed);
  EXPECT_EQ(timers.size(), 0u);
  EXPECT_EQ(timers.next_due(), kNever);
  advance(1h);
  EXPECT_EQ(finished(), 0);
}

TEST_F(TaskTest, MoveLeavesNothingBehind) {
  Task<> first = []() -> Task<> { co_return; }();
  Task<> second = std::move(first);
  EXPECT_FALSE(static_cast<bool>(first));  // NOLINT: looked at on purpose
  EXPECT_TRUE(static_cast<bool>(second));
  EXPECT_FALSE(static_cast<bool>(Task<>()));
}

Task<> sleep_with(std::stop_token token, Duration duration, std::optional<bool>& whole) {
  whole = co_await sleep_for(duration, std::move(token));
}

TEST_F(TaskTest, ATokenCutsASleepShortByMail) {
  std::stop_source source;
  std::optional<bool> whole;
  start(sleep_with(source.get_token(), 1h, whole));
  source.request_stop();
  EXPECT_FALSE(whole);  // not inside the call that requests it
  mailbox.run_all();
  EXPECT_EQ(whole, false);
  EXPECT_EQ(timers.size(), 0u);
  EXPECT_EQ(finished(), 1);
}

TEST_F(TaskTest, ATokenRequestedOnAnotherThread) {
  std::stop_source source;
  std::optional<bool> whole;
  start(sleep_with(source.get_token(), 1h, whole));
  std::thread([&source] { source.request_stop(); }).join();
  mailbox.run_all();
  EXPECT_EQ(whole, false);
}

TEST_F(TaskTest, ATokenThatIsNotRequestedChangesNothing) {
  std::stop_source source;
  std::optional<bool> whole;
  start(sleep_with(source.get_token(), 1s, whole));
  advance(1s);
  EXPECT_EQ(whole, true);
  source.request_stop();  // nobody listens any more
  mailbox.run_all();
  EXPECT_EQ(finished(), 1);
}

TEST_F(TaskTest, ATokenRequestedBeforeWaitsForTheNextTurn) {
  std::stop_source source;
  source.request_stop();
  std::optional<bool> whole;
  start(sleep_with(source.get_token(), 1h, whole));
  EXPECT_EQ(whole, std::nullopt);  // a loop of such sleeps must not hold the reactor
  mailbox.run_all();
  EXPECT_EQ(whole, false);
  EXPECT_EQ(timers.size(), 0u);
}

TEST_F(TaskTest, ALoopOverARequestedTokenLetsOthersHaveTheirTurn) {
  std::stop_source source;
  source.request_stop();
  int turns = 0;
  start([](std::stop_token token, int& t) -> Task<> {
    while (++t < 10) co_await sleep_for(1h, token);
  }(source.get_token(), turns));
  EXPECT_EQ(turns, 1);
  mailbox.run_all();
  EXPECT_EQ(turns, 2);
}

TEST_F(TaskTest, TheTimerAndATokenInTheSameTurnResumeOnce) {
  std::stop_source source;
  std::optional<bool> whole;
  start(sleep_with(source.get_token(), 1s, whole));
  source.request_stop();
  advance(1s);
  EXPECT_FALSE(whole);  // the mail is on its way, and refers to the sleep
  mailbox.run_all();
  EXPECT_EQ(whole, true);
  EXPECT_EQ(finished(), 1);
}

TEST_F(TaskTest, CancelAndATokenInTheSameTurnResumeOnce) {
  std::stop_source source;
  std::optional<bool> whole;
  start(sleep_with(source.get_token(), 1s, whole));
  source.request_stop();
  context.cancel();
  EXPECT_FALSE(whole);
  mailbox.run_all();
  EXPECT_EQ(whole, false);
  EXPECT_EQ(finished(), 1);
  EXPECT_EQ(timers.size(), 0u);
}

TEST_F(TaskTest, DestroyingASleepingTaskLetsGoOfItsToken) {
  std::stop_source source;
  std::optional<bool> whole;
  start(sleep_with(source.get_token(), 1s, whole));
  task_ = {};
  source.request_stop();
  mailbox.run_all();
  EXPECT_FALSE(whole);
}

TEST_F(TaskTest, UntilWaitsForTheTokenOrTheCancellation) {
  std::stop_source source;
  int after = 0;
  start([](std::stop_token token, int& a) -> Task<> {
    co_await until(token);
    ++a;
    co_await until(std::stop_token());
    ++a;
  }(source.get_token(), after));
  advance(24h * 365);
  EXPECT_EQ(after, 0);
  source.request_stop();
  mailbox.run_all();
  EXPECT_EQ(after, 1);
  context.cancel();
  EXPECT_EQ(after, 2);
}

TEST_F(TaskTest, AfterTheCancellationNothingIsWaitedForWithoutAnEnd) {
  start([]() -> Task<> {
    co_await sleep_for(1s);
    co_await until(std::stop_token());
    co_await until(std::stop_source().get_token());
  }());
  context.cancel();
  mailbox.run_all();
  mailbox.run_all();
  EXPECT_EQ(finished(), 1);
}

TEST_F(TaskTest, TheStopTokenFollowsTheCancellation) {
  std::stop_token before = context.stop_token();
  EXPECT_TRUE(before.stop_possible());
  EXPECT_FALSE(before.stop_requested());
  context.cancel();
  EXPECT_TRUE(before.stop_requested());
  context.reset();
  EXPECT_FALSE(context.stop_token().stop_requested());  // of the next request
  EXPECT_TRUE(before.stop_requested());
  context.reset();
  context.cancel();
  EXPECT_TRUE(context.stop_token().stop_requested());  // asked for afterwards
}

// A sleep that is cut short by its own context's token: two ways of one cancellation.
TEST_F(TaskTest, CancelOfASleepOnItsOwnStopTokenResumesOnce) {
  std::optional<bool> whole;
  start(sleep_with(context.stop_token(), 1h, whole));
  context.cancel();
  mailbox.run_all();
  EXPECT_EQ(whole, false);
  EXPECT_EQ(finished(), 1);
}

TEST_F(TaskTest, OffloadRunsOnAThreadAndComesBackByMail) {
  std::optional<int> value;
  std::thread::id thread;
  start([](std::optional<int>& v, std::thread::id& t) -> Task<> {
    auto got = co_await offload([&t] {
      t = std::this_thread::get_id();
      return 42;
    });
    if (got) v = *got;
  }(value, thread));
  ASSERT_TRUE(pool.join_until(kNever));
  EXPECT_FALSE(value);  // not before the mailbox is looked at
  mailbox.run_all();
  EXPECT_EQ(value, 42);
  EXPECT_NE(thread, std::this_thread::get_id());
  EXPECT_EQ(finished(), 1);
}

TEST_F(TaskTest, OffloadOfNothing) {
  std::atomic<bool> ran = false;
  bool accepted = false;
  start([](std::atomic<bool>& r, bool& a) -> Task<> {
    a = (co_await offload([&r] { r = true; })).has_value();
  }(ran, accepted));
  ASSERT_TRUE(pool.join_until(kNever));
  mailbox.run_all();
  EXPECT_TRUE(ran);
  EXPECT_TRUE(accepted);
}

TEST_F(TaskTest, OffloadThrowsWhatItsFunctionThrows) {
  start([]() -> Task<> {
    static_cast<void>(co_await offload([]() -> int { throw std::runtime_error("on the thread"); }));
  }());
  ASSERT_TRUE(pool.join_until(kNever));
  mailbox.run_all();
  EXPECT_EQ(finished(), 1);
  EXPECT_EQ(error(), "on the thread");
}

TEST_F(TaskTest, OffloadIsRejectedWhenThePoolIsFull) {
  std::atomic<bool> go = false;
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(pool.try_submit([&go] { go.wait(false); }));
  std::optional<bool> accepted;
  bool ran = false;
  start([](std::optional<bool>& a, bool& r) -> Task<> {
    a = (co_await offload([&r] { return r = true; })).has_value();
  }(accepted, ran));
  EXPECT_EQ(accepted, false);
  EXPECT_FALSE(ran);
  EXPECT_EQ(finished(), 1);
  go = true;
  go.notify_all();
  ASSERT_TRUE(pool.join_until(kNever));
}

TEST_F(TaskTest, OffloadIsRejectedOnceCancelled) {
  bool ran = false;
  std::optional<bool> accepted;
  start([](std::optional<bool>& a, bool& r) -> Task<> {
    co_await sleep_for(1s);
    a = (co_await offload([&r] { return r = true; })).has_value();
  }(accepted, ran));
  context.cancel();
  EXPECT_EQ(accepted, false);
  EXPECT_FALSE(ran);
}

TEST_F(TaskTest, OffloadUnderWayIsNotCancelled) {
  std::atomic<bool> go = false;
  std::optional<int> value;
  start([](std::atomic<bool>& g, std::optional<int>& v) -> Task<> {
    auto got = co_await offload([&g] {
      g.wait(false);
      return 1;
    });
    if (got) v = *got;
  }(go, value));
  context.cancel();
  EXPECT_FALSE(value);
  EXPECT_EQ(finished(), 0);
  go = true;
  go.notify_all();
  ASSERT_TRUE(pool.join_until(kNever));
  mailbox.run_all();
  EXPECT_EQ(value, 1);
}

Task<> wait_for(Completion<std::string> completion, std::optional<std::string>& value, int& ended) {
  value = co_await std::move(completion);
  ++ended;
}

class CompletionTest : public TaskTest {
 protected:
  CompletionTest() {
    auto [completer_end, completion] = make_completion<std::string>();
    completer.emplace(std::move(completer_end));
    start(wait_for(std::move(completion), value, ended));
  }
  std::optional<Completer<std::string>> completer;
  std::optional<std::string> value;
  int ended = 0;
};

TEST_F(CompletionTest, AValueFromAnotherThreadComesByMail) {
  std::thread([this] { completer->complete("row"); }).join();
  EXPECT_EQ(ended, 0);
  mailbox.run_all();
  EXPECT_EQ(value, "row");
  EXPECT_EQ(finished(), 1);
}

TEST_F(CompletionTest, ACompleterThatGoesAwayEndsTheWait) {
  completer.reset();
  mailbox.run_all();
  EXPECT_EQ(ended, 1);
  EXPECT_EQ(value, std::nullopt);
}

TEST_F(CompletionTest, AnErrorIsThrownByTheWait) {
  completer->fail(std::make_exception_ptr(std::runtime_error("no database")));
  mailbox.run_all();
  EXPECT_EQ(error(), "no database");
}

TEST_F(TaskTest, AValueThatCannotBeMadeIsAnErrorAtBothEnds) {
  struct Broken {
    explicit Broken(int) { throw std::runtime_error("broken value"); }
  };
  auto [completer, completion] = make_completion<Broken>();
  start([](Completion<Broken> c) -> Task<> { co_await std::move(c); }(std::move(completion)));
  EXPECT_THROW(completer.complete(1), std::runtime_error);
  mailbox.run_all();
  EXPECT_EQ(error(), "broken value");
}

TEST_F(CompletionTest, OnlyTheFirstValueCounts) {
  completer->complete("one");
  completer->complete("two");
  mailbox.run_all();
  EXPECT_EQ(value, "one");
  EXPECT_EQ(ended, 1);
}

TEST_F(CompletionTest, CancelEndsTheWaitAndTheValueComesToNobody) {
  context.cancel();
  EXPECT_EQ(ended, 1);
  EXPECT_EQ(value, std::nullopt);
  completer->complete("late");
  mailbox.run_all();
  EXPECT_EQ(finished(), 1);
}

TEST_F(CompletionTest, CancelBetweenTheValueAndItsMailResumesOnce) {
  completer->complete("row");
  context.cancel();
  EXPECT_EQ(value, "row");
  mailbox.run_all();
  EXPECT_EQ(ended, 1);
}

TEST_F(CompletionTest, TheTaskMayBeDestroyedBeforeTheValueComes) {
  task_ = {};
  completer->complete("late");
  mailbox.run_all();
  EXPECT_EQ(ended, 0);
}

TEST_F(CompletionTest, TheTaskMayBeDestroyedBetweenTheValueAndItsMail) {
  completer->complete("late");
  task_ = {};
  mailbox.run_all();
  EXPECT_EQ(ended, 0);
}

TEST_F(TaskTest, AValueThatIsThereDoesNotWait) {
  auto [completer, completion] = make_completion<std::string>();
  completer.complete("early");
  std::optional<std::string> value;
  int ended = 0;
  start(wait_for(std::move(completion), value, ended));
  EXPECT_EQ(value, "early");
}

TEST_F(TaskTest, ACompletionOfNothing) {
  auto [completer, completion] = make_completion();
  std::optional<bool> done;
  start([](Completion<void> c, std::optional<bool>& d) -> Task<> { d = co_await std::move(c); }(
                                                           std::move(completion), done));
  completer.complete();
  mailbox.run_all();
  EXPECT_EQ(done, true);
}

}  // namespace
}  // namespace lastcall
