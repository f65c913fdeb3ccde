// Reactors that acknowledge when they like (or never), connections that end at any time, stops and forces on
// top, in every order that a seed gives: whatever comes, the stop ends in time, in order, once, and says the
// truth about it. LASTCALL_SEED=N runs one seed.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <random>
#include <string>
#include <vector>

#include <lastcall/shutdown/coordinator.hpp>

namespace lastcall {
namespace {

using C = Coordinator;

class Shuffle {
 public:
  explicit Shuffle(uint64_t seed)
      : random_(seed), coordinator_(count_), open_(count_), acknowledged_(count_) {}

  void run() {
    for (uint64_t& open : open_) open = pick(0, 3);
    plan_inputs();
    feed(C::Counts{open_});
    while (!coordinator_.finished()) {
      Instant wake = coordinator_.next_wake();
      if (!agenda_.empty() && agenda_.begin()->first <= wake) {
        now_ = agenda_.begin()->first;
        auto input = std::move(agenda_.extract(agenda_.begin()).mapped());
        input();
      } else {
        ASSERT_NE(wake, kNever) << "nothing left that could end the stop";
        now_ = wake;
        feed(C::Tick{});
      }
      if (testing::Test::HasFailure()) return;
      if (coordinator_.finished()) break;
      ASSERT_GT(coordinator_.next_wake(), now_) << "would spin";
    }
    check_end();
  }

 private:
  uint64_t pick(uint64_t low, uint64_t high) {
    return std::uniform_int_distribution<uint64_t>(low, high)(random_);
  }
  bool one_in(uint64_t n) { return pick(1, n) == 1; }
  Duration ms(uint64_t high) { return std::chrono::milliseconds(pick(0, high)); }

  template <class F>
  void later(Duration delay, F&& f) {
    agenda_.emplace(now_ + delay, std::forward<F>(f));
  }

  void plan_inputs() {
    for (uint64_t i = pick(1, 3); i > 0; --i) {
      later(ms(3000), [this] { request(); });
    }
    if (one_in(3)) later(ms(6000), [this] { force(); });
    if (one_in(4)) later(ms(6000), [this] { fail_task(); });
    for (uint32_t reactor = 0; reactor < count_; ++reactor) {
      for (uint64_t i = open_[reactor]; i > 0; --i) {
        later(one_in(4) ? 1h : ms(5000), [this, reactor] { end_connection(reactor); });
      }
    }
  }

  void request() {
    StopOptions options{.announce = one_in(2) ? 0s : ms(2000),
                        .deadline = ms(8000),
                        .force_margin = one_in(5) ? ms(20000) : ms(1500)};
    Instant end = now_ + std::max<Duration>(options.deadline, 20ms);
    promised_ = std::min(promised_, end);
    feed(C::StopRequested{options, "seed", one_in(3)});
  }

  void force() {
    bool under_way = coordinator_.phase() != Phase::running;
    feed(C::ForceRequested{});
    EXPECT_TRUE(!under_way || coordinator_.phase() >= Phase::forcing);
  }

  void fail_task() {
    task_failed_ = true;
    feed(C::TaskFailed{});
  }

  void end_connection(uint32_t reactor) {
    if (open_[reactor] == 0) return feed(C::Tick{});  // was cut off before
    --open_[reactor];
    feed(C::Counts{open_});
  }

  void acknowledge(uint32_t reactor, Phase phase) {
    if (phase == Phase::forcing && open_[reactor] > 0) {
      open_[reactor] = 0;
      aborted_ = true;
      feed(C::Aborted{});
      feed(C::Counts{open_});
    }
    acknowledged_[reactor] = std::max(acknowledged_[reactor], phase);
    feed(C::Acknowledged{reactor, phase});
  }

  void feed(const C::Input& input) {
    for (const C::Action& action : coordinator_.step(input, now_)) {
      std::visit([this](const auto& known) { on(known); }, action);
    }
  }

  void on(const C::Enter& enter) {
    EXPECT_GT(enter.phase, phase_) << "phases only go forward";
    Phase before = std::exchange(phase_, enter.phase);
    if (enter.phase == Phase::stopped && before == Phase::draining) {
      EXPECT_EQ(*std::ranges::max_element(open_), 0u) << "stopped with connections open";
      EXPECT_GE(*std::ranges::min_element(acknowledged_), Phase::draining);
    }
    for (uint32_t reactor = 0; reactor < count_; ++reactor) {
      if (one_in(12)) continue;  // never acknowledges this phase
      Duration delay = one_in(10) ? ms(3000) : ms(30);
      later(delay, [this, reactor, phase = enter.phase] { acknowledge(reactor, phase); });
    }
  }

  void on(const C::Progress&) { EXPECT_EQ(phase_, Phase::draining); }

  void on(const C::Silent& silent) {
    EXPECT_LT(acknowledged_[silent.reactor], Phase::draining);
    EXPECT_EQ(named_[silent.reactor]++, 0) << "named twice";
  }

  void on(const C::Finish& finish) {
    ++finishes_;
    finish_ = finish;
  }

  void check_end() {
    EXPECT_EQ(finishes_, 1);
    EXPECT_EQ(phase_, Phase::stopped);
    EXPECT_LE(now_, promised_) << "late";
    std::vector<uint32_t> stuck;
    for (uint32_t reactor = 0; reactor < count_; ++reactor) {
      if (acknowledged_[reactor] != Phase::stopped) stuck.push_back(reactor);
    }
    EXPECT_EQ(finish_.stuck, stuck);
    EXPECT_EQ(finish_.exit_code, aborted_ || !stuck.empty() ? 2 : task_failed_ ? 3 : 0);
    int64_t end_ms = 0;
    for (const PhaseSpan& span : coordinator_.spans()) {
      EXPECT_EQ(span.start_ms, end_ms);
      EXPECT_GE(span.end_ms, span.start_ms);
      end_ms = span.end_ms;
    }
    EXPECT_EQ(end_ms, to_ms(coordinator_.elapsed()));
  }

  std::mt19937_64 random_;
  uint32_t count_ = static_cast<uint32_t>(pick(1, 4));
  Coordinator coordinator_;
  Instant now_ = Instant{} + 1h;
  std::multimap<Instant, std::move_only_function<void()>> agenda_;

  std::vector<uint64_t> open_;
  std::vector<Phase> acknowledged_;
  Phase phase_ = Phase::running;
  Instant promised_ = kNever;
  bool aborted_ = false;
  bool task_failed_ = false;
  std::map<uint32_t, int> named_;
  int finishes_ = 0;
  C::Finish finish_;
};

TEST(CoordinatorShuffle, EndsInTimeInOrderAndOnce) {
  const char* chosen = std::getenv("LASTCALL_SEED");
  uint64_t first = chosen ? std::strtoull(chosen, nullptr, 10) : 0;
  uint64_t last = chosen ? first : 4999;
  for (uint64_t seed = first; seed <= last; ++seed) {
    SCOPED_TRACE("LASTCALL_SEED=" + std::to_string(seed));
    Shuffle(seed).run();
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace lastcall
