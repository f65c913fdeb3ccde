#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include <lastcall/shutdown/coordinator.hpp>

namespace lastcall {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using C = Coordinator;

std::string text_of(const C::Enter& enter) {
  return std::string(to_string(enter.phase)) + ": " + enter.why;
}
std::string text_of(const C::Progress&) {
  return "progress";
}
std::string text_of(const C::Silent& silent) {
  return "silent " + std::to_string(silent.reactor);
}
std::string text_of(const C::Finish& finish) {
  std::string text = "finish " + std::to_string(finish.exit_code);
  for (uint32_t reactor : finish.stuck) text += " stuck " + std::to_string(reactor);
  return text;
}

/// A coordinator with time in the test's hand, which starts at an hour after boot. Actions come back as
/// texts.
class CoordinatorTest : public testing::Test {
 protected:
  using Said = std::vector<std::string>;

  Said step(const C::Input& input) { return look({input}); }
  Said look(const std::vector<C::Input>& inputs) {
    Said said;
    for (const C::Action& action : coordinator_.step(inputs, start_ + at_)) {
      said.push_back(std::visit([](const auto& known) { return text_of(known); }, action));
    }
    return said;
  }
  Said at(Duration since_start, const C::Input& input = C::Tick{}) {
    at_ = since_start;
    return step(input);
  }
  Said stop(StopOptions options, std::string reason = "SIGTERM", bool skip_announce = false) {
    return step(C::StopRequested{options, std::move(reason), skip_announce});
  }
  Said open(uint64_t first, uint64_t second) { return step(C::Counts{{first, second}}); }
  Said all_acknowledge(Phase phase) {
    Said first = step(C::Acknowledged{0, phase});
    EXPECT_THAT(first, IsEmpty());
    return step(C::Acknowledged{1, phase});
  }
  [[nodiscard]] Duration wakes_at() const { return coordinator_.next_wake() - start_; }

  Instant start_ = Instant{} + 1h;
  Duration at_ = 0s;
  Coordinator coordinator_{2};
};

TEST_F(CoordinatorTest, RunningWaitsForNothingButInputs) {
  EXPECT_EQ(coordinator_.next_wake(), kNever);
  EXPECT_THAT(open(3, 4), IsEmpty());
  EXPECT_THAT(step(C::ForceRequested{}), IsEmpty());
  EXPECT_THAT(at(24h), IsEmpty());
  EXPECT_EQ(coordinator_.phase(), Phase::running);
}

TEST_F(CoordinatorTest, DrainsAtOnceWithoutAnnounce) {
  EXPECT_THAT(stop({}), ElementsAre("draining: SIGTERM"));
  EXPECT_EQ(wakes_at(), 1s);
}

TEST_F(CoordinatorTest, AnnouncesFirst) {
  EXPECT_THAT(stop({.announce = 5s}), ElementsAre("announcing: SIGTERM"));
  EXPECT_EQ(wakes_at(), 5s);
  EXPECT_THAT(at(5s - 1ns), IsEmpty());
  EXPECT_THAT(at(5s), ElementsAre("draining: SIGTERM"));
}

TEST_F(CoordinatorTest, AnnounceIsNotCutByHavingNothingOpen) {
  stop({.announce = 5s});
  EXPECT_THAT(open(0, 0), IsEmpty());
  EXPECT_THAT(all_acknowledge(Phase::announcing), IsEmpty());
}

TEST_F(CoordinatorTest, AnnounceMayBeSkipped) {
  EXPECT_THAT(stop({.announce = 5s}, "SIGQUIT", true), ElementsAre("draining: SIGQUIT"));
}

TEST_F(CoordinatorTest, AnnounceIsCutShortWhereForcingBegins) {
  stop({.announce = 30s, .deadline = 10s, .force_margin = 2s});
  EXPECT_EQ(wakes_at(), 8s);
  EXPECT_THAT(at(8s), ElementsAre("draining: SIGTERM", "forcing: deadline"));
}

TEST_F(CoordinatorTest, StopsWhenAllAcknowledgedAndNothingIsOpen) {
  open(1, 1);
  stop({});
  EXPECT_THAT(all_acknowledge(Phase::draining), IsEmpty());
  EXPECT_THAT(open(0, 1), IsEmpty());
  EXPECT_THAT(open(0, 0), ElementsAre("stopped: drained"));
  EXPECT_THAT(step(C::Acknowledged{1, Phase::stopped}), IsEmpty());
  EXPECT_THAT(step(C::Acknowledged{0, Phase::stopped}), ElementsAre("finish 0"));
  EXPECT_TRUE(coordinator_.finished());
  EXPECT_EQ(coordinator_.next_wake(), kNever);
}

TEST_F(CoordinatorTest, NothingOpenIsNotEnoughBeforeAllAcknowledged) {
  stop({});
  EXPECT_THAT(open(0, 0), IsEmpty());
  EXPECT_THAT(step(C::Acknowledged{1, Phase::draining}), IsEmpty());
  EXPECT_THAT(step(C::Acknowledged{1, Phase::draining}), IsEmpty());  // the same one twice is one
  EXPECT_THAT(step(C::Acknowledged{0, Phase::draining}), ElementsAre("stopped: drained"));
}

TEST_F(CoordinatorTest, AnOlderAcknowledgementTakesNothingBack) {
  stop({});
  step(C::Acknowledged{0, Phase::draining});
  step(C::Acknowledged{0, Phase::announcing});
  EXPECT_THAT(step(C::Acknowledged{1, Phase::draining}), ElementsAre("stopped: drained"));
}

TEST_F(CoordinatorTest, ForcesBeforeTheDeadlineAndStopsWhenAllIsCut) {
  open(0, 1);
  stop({});
  all_acknowledge(Phase::draining);
  EXPECT_THAT(at(24499ms), ElementsAre("progress"));
  EXPECT_EQ(wakes_at(), 24500ms);
  EXPECT_THAT(at(24500ms), ElementsAre("forcing: deadline"));
  step(C::Aborted{});
  EXPECT_THAT(open(0, 0), IsEmpty());
  EXPECT_THAT(all_acknowledge(Phase::forcing), ElementsAre("stopped: deadline"));
  EXPECT_THAT(all_acknowledge(Phase::stopped), ElementsAre("finish 2"));
}

TEST_F(CoordinatorTest, ForcingThatFindsAllDoneIsNoFailure) {
  open(0, 1);
  stop({});
  all_acknowledge(Phase::draining);
  at(24500ms);
  open(0, 0);
  EXPECT_THAT(all_acknowledge(Phase::forcing), ElementsAre("stopped: deadline"));
  EXPECT_THAT(all_acknowledge(Phase::stopped), ElementsAre("finish 0"));
}

TEST_F(CoordinatorTest, StopsJustBeforeTheDeadlineWhateverIsOpen) {
  open(0, 1);
  stop({});
  at(24500ms);
  EXPECT_EQ(wakes_at(), 24820ms);
  EXPECT_THAT(at(24820ms), ElementsAre("stopped: deadline"));
  EXPECT_EQ(wakes_at(), 24920ms);
  EXPECT_THAT(all_acknowledge(Phase::stopped), ElementsAre("finish 0"));
}

TEST_F(CoordinatorTest, WhoHasNotStoppedWhenTheReportIsDueIsStuck) {
  stop({});
  at(24500ms);
  step(C::Acknowledged{0, Phase::forcing});
  at(24820ms);
  step(C::Acknowledged{0, Phase::stopped});
  EXPECT_THAT(at(24920ms - 1ns), IsEmpty());
  EXPECT_THAT(at(24920ms), ElementsAre("finish 2 stuck 1"));
}

TEST_F(CoordinatorTest, ForcingIsNotStoppingAtTheDeadline) {
  stop({});
  at(24500ms);
  all_acknowledge(Phase::forcing);
  EXPECT_THAT(at(25s), ElementsAre("finish 2 stuck 0 stuck 1"));
}

TEST_F(CoordinatorTest, ALateWakeUpGoesThroughEverythingInOrder) {
  stop({.announce = 1s});
  EXPECT_THAT(at(1h), ElementsAre("draining: SIGTERM", "forcing: deadline", "stopped: deadline"));
  EXPECT_EQ(wakes_at(), 1h + 10ms) << "they can only leave once they are told";
  EXPECT_THAT(at(1h + 10ms), ElementsAre("finish 2 stuck 0 stuck 1"));
}

TEST_F(CoordinatorTest, WhatIsSeenAtOneLookIsJudgedTogether) {
  stop({});
  open(0, 0);
  all_acknowledge(Phase::draining);  // stopped
  at_ = 1h;
  EXPECT_THAT(look({C::Aborted{}, C::Acknowledged{0, Phase::stopped}, C::Acknowledged{1, Phase::stopped}}),
              ElementsAre("finish 2"))
      << "nobody is stuck";
}

TEST_F(CoordinatorTest, ASecondSignalForcesAtOnce) {
  open(1, 0);
  stop({});
  at(2s, C::Acknowledged{0, Phase::draining});
  EXPECT_THAT(step(C::ForceRequested{}), ElementsAre("forcing: second signal"));
  EXPECT_THAT(step(C::ForceRequested{}), IsEmpty());
  open(0, 0);
  EXPECT_THAT(all_acknowledge(Phase::forcing), ElementsAre("stopped: second signal"));
}

TEST_F(CoordinatorTest, ASecondSignalEndsTheAnnounceToo) {
  stop({.announce = 5s});
  EXPECT_THAT(at(1s, C::ForceRequested{}), ElementsAre("forcing: second signal"));
}

TEST_F(CoordinatorTest, AForceBringsTheDeadlineNear) {
  stop({});
  at(2s, C::ForceRequested{});
  EXPECT_EQ(wakes_at(), 2320ms);
  EXPECT_THAT(at(2400ms), ElementsAre("stopped: second signal"));
  EXPECT_THAT(at(2500ms), ElementsAre("finish 2 stuck 0 stuck 1"));
}

TEST_F(CoordinatorTest, AForceNeverPutsTheDeadlineOff) {
  stop({.deadline = 1s, .force_margin = 500ms});
  at(400ms, C::ForceRequested{});
  EXPECT_EQ(wakes_at(), 720ms);
  at(800ms);
  EXPECT_EQ(wakes_at(), 820ms);
}

TEST_F(CoordinatorTest, AForceAfterTheDeadlineForcedChangesNothing) {
  stop({});
  at(24500ms);
  EXPECT_THAT(step(C::ForceRequested{}), IsEmpty());
  EXPECT_EQ(wakes_at(), 24820ms);
}

TEST_F(CoordinatorTest, StoppingTwiceIsOneStop) {
  stop({.deadline = 25s}, "first");
  EXPECT_THAT(at(1s, C::StopRequested{{.deadline = 60s}, "second"}),
              ElementsAre("silent 0", "silent 1", "progress"));
  EXPECT_EQ(coordinator_.reason(), "first");
  EXPECT_EQ(coordinator_.allowed(), 25s);
}

TEST_F(CoordinatorTest, ASecondStopMayShortenTheDeadline) {
  stop({});
  at(2s, C::StopRequested{{.deadline = 4s}, "again"});
  EXPECT_EQ(coordinator_.allowed(), 6s);
  EXPECT_THAT(at(5500ms), ElementsAre("forcing: deadline"));
  EXPECT_EQ(wakes_at(), 5820ms);
}

TEST_F(CoordinatorTest, ASecondStopMayEndTheAnnounce) {
  stop({.announce = 10s});
  EXPECT_THAT(at(1s, C::StopRequested{{.announce = 20s}, "again"}), IsEmpty());
  EXPECT_EQ(wakes_at(), 10s);
  EXPECT_THAT(at(2s, C::StopRequested{{.announce = 1s}, "again"}), IsEmpty());
  EXPECT_EQ(wakes_at(), 3s);
  EXPECT_THAT(step(C::StopRequested{{.announce = 5s}, "SIGQUIT", true}), ElementsAre("draining: SIGTERM"));
}

TEST_F(CoordinatorTest, AShorterDeadlineCutsTheAnnounce) {
  stop({.announce = 10s, .deadline = 25s});
  at(1s, C::StopRequested{{.announce = 20s, .deadline = 5s}, "again"});
  EXPECT_EQ(wakes_at(), 5500ms);
}

TEST_F(CoordinatorTest, AProgrammaticStopOfAForcedOneStillShortens) {
  stop({.deadline = 25s, .force_margin = 10s});
  at(15s);
  EXPECT_EQ(wakes_at(), 24820ms);
  at(16s, C::StopRequested{{.deadline = 1s}, "again"});
  EXPECT_EQ(wakes_at(), 16820ms);
}

TEST_F(CoordinatorTest, MarginNotBelowTheDeadlineIsHalfOfIt) {
  stop({.deadline = 500ms, .force_margin = 500ms});
  EXPECT_EQ(wakes_at(), 250ms);
}

TEST_F(CoordinatorTest, NoMarginStillLeavesTimeToLeave) {
  stop({.deadline = 500ms, .force_margin = 0s});
  EXPECT_EQ(wakes_at(), 400ms);
  EXPECT_THAT(at(400ms), ElementsAre("forcing: deadline"));
  EXPECT_EQ(wakes_at(), 450ms);
}

TEST_F(CoordinatorTest, NoDeadlineAtAllIsTwentyMilliseconds) {
  EXPECT_THAT(stop({.announce = 1s, .deadline = 0s}), ElementsAre("announcing: SIGTERM"));
  EXPECT_EQ(wakes_at(), 10ms);
  EXPECT_THAT(at(10ms), ElementsAre("draining: SIGTERM", "forcing: deadline"));
  EXPECT_THAT(at(15ms), ElementsAre("stopped: deadline"));
  EXPECT_THAT(at(20ms), ElementsAre("finish 2 stuck 0 stuck 1"));
}

TEST_F(CoordinatorTest, AnEndlessDeadlineOnlyEndsByDrainingOrForce) {
  open(1, 0);
  stop({.deadline = Duration::max()});
  all_acknowledge(Phase::draining);
  at(24h);
  EXPECT_EQ(coordinator_.phase(), Phase::draining);
  EXPECT_THAT(step(C::ForceRequested{}), ElementsAre("forcing: second signal"));
}

TEST_F(CoordinatorTest, SaysProgressOnceASecondWhileDraining) {
  open(1, 0);
  stop({});
  all_acknowledge(Phase::draining);
  EXPECT_THAT(at(999ms), IsEmpty());
  EXPECT_THAT(at(1s), ElementsAre("progress"));
  EXPECT_THAT(at(1500ms), IsEmpty());
  EXPECT_THAT(at(4200ms), ElementsAre("progress"));  // a late step says it once
  EXPECT_EQ(wakes_at(), 5s);
  at(24500ms);
  EXPECT_EQ(coordinator_.phase(), Phase::forcing);
  EXPECT_EQ(wakes_at(), 24820ms);
}

TEST_F(CoordinatorTest, NamesASilentReactorOnce) {
  stop({.announce = 2s});
  at(2s);
  step(C::Acknowledged{0, Phase::draining});
  EXPECT_THAT(at(3s - 1ns), IsEmpty());
  EXPECT_THAT(at(3s), ElementsAre("silent 1", "progress"));
  EXPECT_THAT(at(4s), ElementsAre("progress"));
}

TEST_F(CoordinatorTest, TasksHoldTheStopLikeConnections) {
  step(C::Counts{{0, 0}, 2});
  stop({});
  EXPECT_THAT(all_acknowledge(Phase::draining), IsEmpty());
  EXPECT_THAT(step(C::Counts{{0, 0}, 1}), IsEmpty());
  EXPECT_THAT(step(C::Counts{{0, 0}, 0}), ElementsAre("stopped: drained"));
}

TEST_F(CoordinatorTest, ATaskLeftBehindIsForced) {
  step(C::Counts{{0, 0}, 1});
  stop({});
  at(24820ms);
  EXPECT_THAT(all_acknowledge(Phase::stopped), ElementsAre("finish 2"));
}

TEST_F(CoordinatorTest, AFailedTaskIsThreeAndAnAbortIsStrongerThanIt) {
  for (bool aborted : {false, true}) {
    coordinator_ = Coordinator(2);
    step(C::TaskFailed{});
    stop({});
    if (aborted) step(C::Aborted{});
    all_acknowledge(Phase::draining);
    EXPECT_THAT(all_acknowledge(Phase::stopped), ElementsAre(aborted ? "finish 2" : "finish 3"));
  }
}

TEST_F(CoordinatorTest, RecordsWhenEachPhaseBegan) {
  open(1, 0);
  at(10s);
  stop({.announce = 1s, .deadline = 5s});
  at(11s);
  at(14500ms);
  open(0, 0);
  all_acknowledge(Phase::forcing);
  at(14600ms);
  all_acknowledge(Phase::stopped);
  EXPECT_EQ(coordinator_.elapsed(), 4600ms);
  std::vector<std::string> spans;
  for (const PhaseSpan& span : coordinator_.spans()) {
    spans.push_back(std::string(to_string(span.phase)) + " " + std::to_string(span.start_ms) + "-" +
                    std::to_string(span.end_ms));
  }
  EXPECT_THAT(spans, ElementsAre("announcing 0-1000", "draining 1000-4500", "forcing 4500-4500",
                                 "stopped 4500-4600"));
}

TEST_F(CoordinatorTest, NothingHappensAfterTheEnd) {
  stop({});
  at(24820ms);
  at(25s);
  ASSERT_TRUE(coordinator_.finished());
  EXPECT_THAT(stop({}), IsEmpty());
  EXPECT_THAT(step(C::ForceRequested{}), IsEmpty());
  EXPECT_THAT(step(C::Acknowledged{0, Phase::stopped}), IsEmpty());
}

TEST_F(CoordinatorTest, NoReactorsAtAllStopAtOnce) {
  Coordinator empty(0);
  EXPECT_EQ(empty.step(C::StopRequested{{}, "x"}, Instant{}).size(), 3u);
  EXPECT_TRUE(empty.finished());
}

TEST(CoordinatorDeathTest, MisuseIsABug) {
  Coordinator coordinator(1);
  (void)coordinator.step(C::Tick{}, Instant{} + 1s);
  EXPECT_DEATH((void)coordinator.step(C::Tick{}, Instant{}), "CHECK failed: now >= now_");
  EXPECT_DEATH((void)coordinator.step(C::Acknowledged{1, Phase::stopped}, Instant{} + 1s), "CHECK failed");
  EXPECT_DEATH((void)coordinator.step(C::Counts{{1, 2}}, Instant{} + 1s), "CHECK failed");
}

}  // namespace
}  // namespace lastcall
