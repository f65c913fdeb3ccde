#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <lastcall/shutdown/progress_view.hpp>

namespace lastcall {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

StopProgress two_reactors() {
  return {.phase = Phase::draining,
          .elapsed = 3250ms,
          .allowed = 25s,
          .aborted = 0,
          .reactors = {{.active = 3, .idle = 10, .began = 26}, {.active = 12, .idle = 0, .began = 20}},
          .oldest = OldestRequest{.route = "/sleep", .age = 3900ms}};
}

std::vector<ReactorProgress> reactors(size_t count) {
  return std::vector<ReactorProgress>(count, {.active = 1, .idle = 2, .began = 4});
}

TEST(ProgressBar, SharesItsCellsByCount) {
  EXPECT_EQ(render_bar(0, 0, 10, 10), "..........");
  EXPECT_EQ(render_bar(10, 0, 10, 10), "##########");
  EXPECT_EQ(render_bar(0, 10, 10, 10), "----------");
  EXPECT_EQ(render_bar(5, 3, 10, 10), "#####---..");
}

TEST(ProgressBar, WhatIsThereIsSeen) {
  EXPECT_EQ(render_bar(1, 0, 100'000, 10), "#.........");
  EXPECT_EQ(render_bar(0, 1, 100'000, 10), "-.........");
  EXPECT_EQ(render_bar(1, 1, 100'000, 10), "#-........");
  EXPECT_EQ(render_bar(99'999, 1, 100'000, 10), "#########-");
  EXPECT_EQ(render_bar(1, 99'999, 100'000, 10), "#---------");
}

TEST(ProgressBar, KeepsItsLengthWhateverTheCounts) {
  for (uint64_t active : {0u, 1u, 7u, 1000u}) {
    for (uint64_t idle : {0u, 1u, 7u, 1000u}) {
      for (uint64_t began : {0u, 1u, 8u, 500u, 5000u}) {
        for (size_t cells : {0u, 1u, 2u, 3u, 40u}) {
          EXPECT_EQ(render_bar(active, idle, began, cells).size(), cells)
              << active << ' ' << idle << ' ' << began << ' ' << cells;
        }
      }
    }
  }
}

TEST(ProgressView, IsOneBarAReactorBetweenTheStateAndTheOldest) {
  EXPECT_THAT(render_progress(two_reactors(), {.columns = 80, .rows = 24}),
              ElementsAre("draining 3.2s of 25s: 15 active, 10 idle",
                          "r0 [####----------------....................]  3 active 10 idle of 26",
                          "r1 [########################................] 12 active  0 idle of 20",
                          "oldest 3.9s /sleep"));
}

TEST(ProgressView, SaysWhatIsNotAsUsual) {
  StopProgress progress = two_reactors();
  progress.phase = Phase::forcing;
  progress.aborted = 2;
  progress.reactors[1].held_by = "/spin";
  progress.oldest->age.reset();
  std::vector<std::string> lines = render_progress(progress, {.columns = 120, .rows = 24});
  EXPECT_EQ(lines[0], "forcing 3.2s of 25s: 15 active, 10 idle, 2 aborted");
  EXPECT_THAT(lines[2], testing::EndsWith("of 20, held by /spin"));
  EXPECT_EQ(lines[3], "oldest /sleep");
  progress.oldest = OldestRequest{.route = "", .age = 70s};
  EXPECT_EQ(render_progress(progress, {}).back(), "oldest 70s (no route yet)");
  progress.oldest.reset();
  EXPECT_EQ(render_progress(progress, {}).size(), 3u);
}

TEST(ProgressView, NothingOpenIsEmptyBars) {
  StopProgress progress{.reactors = {{}, {}}};
  EXPECT_THAT(render_progress(progress, {.columns = 60, .rows = 24}),
              ElementsAre("draining 0.0s of 0s: 0 active, 0 idle",
                          "r0 [.................................] 0 active 0 idle of 0",
                          "r1 [.................................] 0 active 0 idle of 0"));
}

TEST(ProgressView, NarrowTerminalsGetShorterLines) {
  EXPECT_THAT(render_progress(two_reactors(), {.columns = 39, .rows = 24}),
              ElementsAre("draining 3.2s of 25s: 15 active, 10 id", "r0 [##--------...........]  3/10 of 26",
                          "r1 [############.........] 12/0 of 20", "oldest 3.9s /sleep"));
  EXPECT_THAT(render_progress(two_reactors(), {.columns = 20, .rows = 24}),
              ElementsAre("draining 3.2s of 25", "r0  3/10 of 26", "r1 12/0 of 20", "oldest 3.9s /sleep"));
}

TEST(ProgressView, NeverAsWideAsTheTerminalNorAsHigh) {
  StopProgress progress = two_reactors();
  progress.reactors = reactors(64);
  progress.reactors[63] = {.active = 123'456, .idle = 7'654'321, .began = 99'999'999, .held_by = "/a/b/c"};
  progress.oldest->route = std::string(500, 'x');
  for (uint32_t columns : {0u, 1u, 2u, 5u, 20u, 33u, 80u, 300u}) {
    for (uint32_t rows : {0u, 1u, 2u, 3u, 4u, 24u, 100u}) {
      std::vector<std::string> lines = render_progress(progress, {.columns = columns, .rows = rows});
      EXPECT_GE(lines.size(), 1u);
      EXPECT_LE(lines.size(), std::max(rows, 2u) - 1) << columns << 'x' << rows;
      for (const std::string& line : lines) EXPECT_LT(line.size(), std::max(columns, 1u)) << line;
    }
  }
}

TEST(ProgressView, ReactorsWithoutRoomAreSummedUp) {
  StopProgress progress = two_reactors();
  progress.reactors = reactors(64);
  std::vector<std::string> lines = render_progress(progress, {.columns = 80, .rows = 24});
  ASSERT_EQ(lines.size(), 23u);
  EXPECT_EQ(lines[0], "draining 3.2s of 25s: 64 active, 128 idle");
  EXPECT_THAT(lines[20], AllOf(StartsWith("r19 ["), HasSubstr(" 1 active  2 idle of   4")));
  EXPECT_THAT(lines[21], AllOf(StartsWith("+44 ["), HasSubstr("44 active 88 idle of 176")));
  EXPECT_THAT(lines[22], StartsWith("oldest "));
}

TEST(ProgressView, AllFitWhereThereIsJustRoom) {
  StopProgress progress = two_reactors();
  progress.reactors = reactors(21);
  std::vector<std::string> lines = render_progress(progress, {.columns = 80, .rows = 24});
  ASSERT_EQ(lines.size(), 23u);
  EXPECT_THAT(lines[21], StartsWith("r20 ["));
}

TEST(ProgressView, WhatAProgramPutsInARouteIsNoControlSequence) {
  StopProgress progress = two_reactors();
  progress.oldest->route = "/\x1b[2J\r\n\x9b\xc3\xbc";
  for (const std::string& line : render_progress(progress, {})) {
    for (char c : line) EXPECT_TRUE(c >= ' ' && c <= '~') << line;
  }
}

TEST(ProgressOutcome, IsOneLineAReactor) {
  std::vector<ReactorOutcome> outcome{
      {.began = 20, .accepted = 1, .completed = 17, .idle_closed = 3, .aborted = 1}, {}};
  EXPECT_THAT(render_outcome(outcome, {}),
              ElementsAre("r0 20 open and 1 accepted: 17 completed, 3 idle closed, 1 aborted",
                          "r1 0 open: 0 completed, 0 idle closed, 0 aborted"));
  EXPECT_THAT(render_outcome(std::vector<ReactorOutcome>(9, outcome[0]), {.columns = 30, .rows = 4}),
              ElementsAre("r0 20 open and 1 accepted: 17", "r1 20 open and 1 accepted: 17",
                          "+7 140 open and 7 accepted: 1"));
}

}  // namespace
}  // namespace lastcall
