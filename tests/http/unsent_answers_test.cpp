#include <gtest/gtest.h>

#include <string>
#include <vector>

#include <lastcall/http/unsent_answers.hpp>

namespace lastcall::test {
namespace {

class UnsentAnswersTest : public ::testing::Test {
 protected:
  void add(const std::string& target, uint64_t end, uint64_t sent, bool lasting = false) {
    answers.add({.began = Instant{}, .end = end, .target = target, .method = Method::put}, lasting, sent);
  }
  std::vector<std::string> targets(uint64_t sent) {
    std::vector<std::string> all;
    answers.for_each_unsent(sent, [&all](const UnsentAnswers::Answer& answer) {
      EXPECT_EQ(answer.method, Method::put);
      all.emplace_back(answer.target);
    });
    return all;
  }
  using List = std::vector<std::string>;

  BufferPool pool;
  UnsentAnswers answers{pool};
};

TEST_F(UnsentAnswersTest, OneThatLastsTakesNoMemory) {
  static const std::string target = "/lasting";
  for (uint64_t end = 1; end < 100; ++end) add(target, end, end - 1, true);
  EXPECT_EQ(targets(98), List{target});
  EXPECT_EQ(targets(99), List{});
  EXPECT_EQ(pool.lent(), 0u);
}

TEST_F(UnsentAnswersTest, AreToldInTheirOrder) {
  static const std::string target = "/lasting";
  add("/a", 10, 0);
  add(target, 20, 0, true);
  add("/b", 30, 0);
  add(target, 40, 0, true);
  EXPECT_EQ(targets(0), (List{"/a", target, "/b", target}));
  EXPECT_EQ(targets(19), (List{target, "/b", target}));
  EXPECT_EQ(targets(20), (List{"/b", target}));
}

TEST_F(UnsentAnswersTest, MemoryGoesBackWithTheLastOfThem) {
  add("/a", 10, 0);
  add("/b", 20, 0);
  answers.forget(19);
  EXPECT_TRUE(answers.holds_memory());
  EXPECT_EQ(targets(19), List{"/b"});
  answers.forget(20);
  EXPECT_FALSE(answers.holds_memory());
  EXPECT_EQ(pool.lent(), 0u);
}

TEST_F(UnsentAnswersTest, TheOldestAreKeptWhereNotAllHaveRoom) {
  for (uint64_t i = 1; i <= 10'000; ++i) add("/" + std::to_string(i), i, 0);
  List kept = targets(0);
  EXPECT_GE(kept.size(), 1000u);
  EXPECT_LT(kept.size(), 10'000u);
  EXPECT_EQ(pool.lent(), UnsentAnswers::kMaxBytes);
  for (size_t i = 0; i < kept.size(); ++i) EXPECT_EQ(kept[i], "/" + std::to_string(i + 1));
}

TEST_F(UnsentAnswersTest, AFewTakeLittleMemory) {
  for (uint64_t i = 1; i <= 70; ++i) add("/" + std::to_string(i), i, 0);
  EXPECT_EQ(targets(0).size(), 70u);
  EXPECT_EQ(pool.lent(), BufferPool::kClassBytes[0]);
}

// There is never nothing unsent, so no moment at which all goes at once.
TEST_F(UnsentAnswersTest, WhatIsSentMakesRoom) {
  List unsent;
  for (uint64_t i = 1; i <= 3000; ++i) {
    const uint64_t sent = i < 10 ? 0 : i - 10;
    unsent.push_back("/" + std::to_string(i));
    if (unsent.size() > 10) unsent.erase(unsent.begin());
    add(unsent.back(), i, sent);
    ASSERT_EQ(targets(sent), unsent);
  }
  EXPECT_EQ(targets(2999), List{"/3000"});
  EXPECT_EQ(pool.lent(), UnsentAnswers::kMaxBytes);
}

TEST_F(UnsentAnswersTest, LongTargetsAreCut) {
  const std::string longest(16'000, 'x');
  const std::string fits(UnsentAnswers::kMaxTargetBytes, 'y');
  add(longest, 1, 0);
  add(fits, 2, 0);
  add(fits + "z", 3, 0);
  EXPECT_EQ(targets(0), (List{longest.substr(0, UnsentAnswers::kMaxTargetBytes), fits, fits}));
}

TEST_F(UnsentAnswersTest, AHundredAreKeptHoweverLongTheirTargets) {
  List all;
  for (uint64_t i = 1; i <= UnsentAnswers::kAlwaysKept; ++i) {
    const std::string target = "/" + std::to_string(i) + std::string(2000, 'x');
    add(target, i, 0);
    all.push_back(target.substr(0, 512));
  }
  EXPECT_EQ(all.size(), 100u);
  EXPECT_EQ(targets(0), all);
}

}  // namespace
}  // namespace lastcall::test
