#include <gtest/gtest.h>

#include <thread>

#include <lastcall/http/request_survey.hpp>

namespace lastcall {
namespace {

UnansweredRequest request(std::string_view target, int64_t age_ms) {
  return {.method = "GET", .target = target, .state = "handling", .age_ms = age_ms, .route = "/r"};
}

TEST(RequestRoster, GivesTheOldestFirst) {
  RequestRoster roster;
  roster.connection(-1, 7);
  for (const int64_t age : {5, 9, 1}) roster.add(request("/" + std::to_string(age), age));
  const auto told = roster.take();
  ASSERT_EQ(told.size(), 3u);
  EXPECT_EQ(told[0].target, "/9");
  EXPECT_EQ(told[1].target, "/5");
  EXPECT_EQ(told[2].target, "/1");
  EXPECT_EQ(told[0].route, "/r");
  EXPECT_EQ(told[0].bytes_sent, 7u);
}

TEST(RequestRoster, KeepsTheOldestOfMoreThanItTakes) {
  RequestRoster roster;
  constexpr int64_t kAll = 3 * RequestRoster::kMost;
  for (int64_t i = 0; i < kAll; ++i) roster.add(request("/", i * 37 % kAll));  // each age once, in no order
  EXPECT_EQ(roster.unlisted(), uint64_t{kAll - RequestRoster::kMost});
  const auto told = roster.take();
  ASSERT_EQ(told.size(), RequestRoster::kMost);
  for (size_t i = 0; i < told.size(); ++i) EXPECT_EQ(told[i].age_ms, kAll - 1 - static_cast<int64_t>(i));
}

TEST(RequestRoster, AtItsLimitNobodyIsLeftOut) {
  RequestRoster roster;
  for (size_t i = 0; i < RequestRoster::kMost; ++i) roster.add(request("/", 1));
  EXPECT_EQ(roster.unlisted(), 0u);
  roster.add(request("/", 1));
  EXPECT_EQ(roster.unlisted(), 1u);
  EXPECT_EQ(roster.take().size(), RequestRoster::kMost);
}

TEST(RequestRoster, CutsLongTargets) {
  RequestRoster roster;
  roster.add(request(std::string(RequestRoster::kTargetBytes + 1, 'x'), 1));
  EXPECT_EQ(roster.take()[0].target, std::string(RequestRoster::kTargetBytes, 'x'));
}

InFlightRequests one(std::string target) {
  InFlightRequests requests;
  requests.oldest.push_back({.method = "GET", .target = std::move(target), .route = {}, .peer = {}});
  return requests;
}

TEST(RequestSurvey, IsCompleteWhenAllHaveAnswered) {
  RequestSurvey survey(2);
  survey.answer(1, one("/b"));
  survey.answer(1, one("/again"));
  EXPECT_FALSE(survey.complete().stop_requested());
  survey.answer(0, {});
  EXPECT_TRUE(survey.complete().stop_requested());
  const auto answers = survey.take();
  ASSERT_TRUE(answers[0] && answers[1]);
  EXPECT_TRUE(answers[0]->oldest.empty());
  EXPECT_EQ(answers[1]->oldest[0].target, "/b");
}

TEST(RequestSurvey, OfNobodyIsCompleteAtOnce) {
  EXPECT_TRUE(RequestSurvey(0).complete().stop_requested());
}

TEST(RequestSurvey, AnAnswerThatComesTooLateDoesNoHarm) {
  RequestSurvey survey(2);
  survey.answer(0, one("/a"));
  const auto answers = survey.take();
  EXPECT_TRUE(answers[0]);
  EXPECT_FALSE(answers[1]);
  survey.answer(1, one("/b"));
  EXPECT_TRUE(survey.complete().stop_requested());
}

TEST(RequestDesk, AnswersOnTheReactorInAsManyTurnsAsItTakes) {
  Mailbox mailbox;
  RequestDesk desk;
  std::vector<uint32_t> looked;
  desk.open(mailbox, [&looked](RequestRoster& roster, uint32_t from) {
    looked.push_back(from);
    roster.add(request("/" + std::to_string(from), from));
    return from < 20 ? from + 10 : 0;
  });
  const auto survey = std::make_shared<RequestSurvey>(1);
  std::thread([&] { desk.ask(survey, 0); }).join();
  EXPECT_TRUE(looked.empty()) << "not on the thread that asks";
  while (mailbox.run_all()) {
  }
  EXPECT_EQ(looked, (std::vector<uint32_t>{0, 10, 20}));
  EXPECT_TRUE(survey->complete().stop_requested());
  EXPECT_EQ(survey->take()[0]->oldest[0].target, "/20");
  desk.close();
}

TEST(RequestDesk, AStuckReactorIsNotAskedForEver) {
  Mailbox mailbox;
  RequestDesk desk;
  uint32_t looks = 0;
  desk.open(mailbox, [&looks](RequestRoster&, uint32_t) {
    ++looks;
    return 0u;
  });
  const auto ask = [&desk] {
    auto survey = std::make_shared<RequestSurvey>(1);
    desk.ask(survey, 0);
    return survey;
  };
  std::vector<std::shared_ptr<RequestSurvey>> surveys;
  for (uint32_t i = 0; i < RequestDesk::kMostQuestions; ++i) surveys.push_back(ask());
  const auto too_many = ask();
  EXPECT_TRUE(mailbox.run_all());
  EXPECT_FALSE(mailbox.run_all());
  EXPECT_EQ(looks, RequestDesk::kMostQuestions);
  for (const auto& survey : surveys) EXPECT_TRUE(survey->complete().stop_requested());
  EXPECT_FALSE(too_many->complete().stop_requested());
  const auto next = ask();
  EXPECT_TRUE(mailbox.run_all());
  EXPECT_TRUE(next->complete().stop_requested()) << "there is room again";
}

TEST(RequestDesk, WhereNobodyServesNothingIsInFlight) {
  Mailbox mailbox;
  RequestDesk desk;
  const auto before = std::make_shared<RequestSurvey>(1);
  desk.ask(before, 0);
  EXPECT_TRUE(before->complete().stop_requested());

  desk.open(mailbox, [](RequestRoster& roster, uint32_t) {
    roster.add(request("/", 1));
    return 7u;  // there is always more
  });
  const auto caught = std::make_shared<RequestSurvey>(1);
  desk.ask(caught, 0);
  EXPECT_TRUE(mailbox.run_all());
  desk.close();
  EXPECT_TRUE(mailbox.run_all()) << "the rest of it, after the reactor's last turn";
  EXPECT_TRUE(caught->complete().stop_requested());

  const auto after = std::make_shared<RequestSurvey>(1);
  desk.ask(after, 0);
  EXPECT_TRUE(after->complete().stop_requested());
}

}  // namespace
}  // namespace lastcall
