#include <gmock/gmock.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <map>

#include <lastcall/net/steering.hpp>

#include "tests/e2e/fixture.hpp"
#include "tools/loadgen/tally.hpp"

namespace lastcall::e2e {
namespace {

using testing::HasSubstr;

struct Loaded {
  int exit_code = -1;
  std::string output;
  std::string errors;
  [[nodiscard]] Json json() const { return Json::parse(output, nullptr, false); }
};

Loaded load(Arguments arguments) {
  ServerProcess process(program_file("lastcall-load"), std::move(arguments));
  Loaded done;
  done.exit_code = process.wait_exit(30s).value_or(-1);
  done.output = process.standard_output();
  done.errors = process.log();
  return done;
}

class LoadEndToEnd : public EndToEnd {
 protected:
  /// Stops the server under load, which must lose nothing; how many requests were answered. Every stop is
  /// another one: other seeds, with bodies from the fourth of eight on.
  int64_t stop_under_load(int stop) {
    Arguments arguments = {address(),    "--keep-alive", "64",
                           "--fresh",    "32",           "--think",
                           "2ms",        "--seed",       std::to_string(stop + 1),
                           "--duration", "20s",          "--stop-when-refused",
                           "--json",     "--signal",     std::to_string(server().pid()) + ":TERM@300ms"};
    const bool bodies = stop % 8 >= 4;
    for (const char* more : {"--path", bodies ? "/echo" : "/plaintext"}) arguments.emplace_back(more);
    if (bodies) arguments.insert(arguments.end(), {"--method", "POST", "--body", "3k", "--chunked"});
    Loaded done = load(arguments);
    SCOPED_TRACE("stop " + std::to_string(stop) + ": " + done.output + done.errors);
    EXPECT_EQ(done.exit_code, 0);
    EXPECT_EQ(wait_exit(), 0);
    const Json json = done.json();
    if (json.is_discarded()) {
      ADD_FAILURE() << "no result";
      return 0;
    }
    EXPECT_EQ(json.at("lost"), 0);
    EXPECT_EQ(json.at("sent"), json.at("outcomes").at("ok"));
    EXPECT_EQ(json.at("outcomes").at("dropped"), 0);   // promise 1: whoever gets in is served
    EXPECT_GE(json.at("outcomes").at("refused"), 96);  // everybody noticed
    EXPECT_EQ(report().at("late_requests"), 0);
    return json.at("outcomes").at("ok").get<int64_t>();
  }
};
LASTCALL_ON_BOTH_BACKENDS(LoadEndToEnd);

// 64 clients that keep their connection and 32 that open one for each request, over every kind of address,
// with and without bodies. LASTCALL_STOPS=N: so many stops.
TEST_P(LoadEndToEnd, StopAfterStopLosesNothing) {
  const char* wanted = std::getenv("LASTCALL_STOPS");
  const int stops = wanted != nullptr ? std::atoi(wanted) : kSanitized ? 4 : 20;
  const std::string path = testing::TempDir() + "lastcall-stops-" + std::to_string(::getpid()) + ".sock";
  const Arguments kAddresses = {"127.0.0.1:0", "[::1]:0", ":0", "unix:" + path};
  int64_t answered = 0;
  for (int stop = 0; stop < stops && !HasFailure(); ++stop) {
    start({"--reactors", "2", "--idle-grace", "1s", "--listen",
           kAddresses[static_cast<size_t>(stop) % kAddresses.size()]});
    answered += stop_under_load(stop);
  }
  std::cout << answered << " requests were answered over " << stops << " stops\n";
  EXPECT_GE(answered, 100 * stops);
}

TEST_P(LoadEndToEnd, StopBehindASynFilterLosesNothing) {
  if (Result<void> can = can_drop_syns(); !can) GTEST_SKIP() << can.error().message;
  for (int stop = 0; stop < (kSanitized ? 1 : 4) && !HasFailure(); ++stop) {
    start({"--reactors", "2", "--idle-grace", "1s", "--gate", "syn_filter", "--listen",
           stop % 2 == 0 ? "127.0.0.1:0" : ":0"});
    EXPECT_GE(stop_under_load(stop), 100);
    EXPECT_EQ(report().at("gate").at("listeners").at(0).at("tier"), "syn_filter");
  }
}

TEST_P(LoadEndToEnd, OverEveryKindOfAddressAndThreads) {
  std::string path = testing::TempDir() + "lastcall-load-" + std::to_string(::getpid()) + ".sock";
  start({"--listen", "127.0.0.1:0", "--listen", "[::1]:0", "--listen", "unix:" + path});
  Arguments arguments = {"--keep-alive", "6",    "--fresh",   "3",     "--threads", "3",
                         "--requests",   "301",  "--body",    "20k",   "--path",    "/echo",
                         "--method",     "POST", "--chunked", "--json"};
  for (const std::string& one : server().addresses()) arguments.push_back(one);
  Loaded done = load(arguments);
  EXPECT_EQ(done.exit_code, 0) << done.output << done.errors;
  Json json = done.json();
  EXPECT_EQ(json.at("outcomes").at("ok"), 301) << done.output;
  EXPECT_GE(json.at("bytes_received"), 301 * 20 * 1024);
  EXPECT_EQ(json.at("targets").size(), 3u);
}

TEST_P(LoadEndToEnd, TellsPeopleWhatItSaw) {
  start();
  Loaded done =
      load({"http://" + address() + "/users/7", "--requests", "20", "--keep-alive", "2", "--rate", "2000"});
  EXPECT_EQ(done.exit_code, 0) << done.output << done.errors;
  EXPECT_THAT(done.output, HasSubstr("2 keep-alive and 0 one-request clients, open loop at 2000 requests/s"));
  EXPECT_THAT(done.output, HasSubstr("200: 20"));
  EXPECT_THAT(done.output, HasSubstr("p99.9"));
  EXPECT_THAT(done.output, HasSubstr("lost 0\n"));
}

TEST_P(LoadEndToEnd, WritesALineForEachAnswer) {
  start();
  const std::string path = testing::TempDir() + "lastcall-samples-" + std::to_string(::getpid());
  Loaded done = load({address(), "--path", "/plaintext", "--path", "/throw", "--keep-alive", "2", "--threads",
                      "2", "--requests", "30", "--allow-5xx", "--samples", path});
  EXPECT_EQ(done.exit_code, 0) << done.output << done.errors;
  std::ifstream lines(path);
  std::map<int, int> statuses;
  int64_t due_us = 0;
  int64_t latency_us = 0;
  for (int status = 0; lines >> due_us >> latency_us >> status;) {
    ++statuses[status];
    EXPECT_GE(due_us, 0);
    EXPECT_LT(due_us, 30'000'000);
    EXPECT_GT(latency_us, 0);
  }
  std::remove(path.c_str());
  EXPECT_THAT(statuses,
              testing::ElementsAre(testing::Pair(200, testing::Ge(14)), testing::Pair(500, testing::Ge(14))));
  EXPECT_EQ(statuses[200] + statuses[500], 30);
}

TEST_P(LoadEndToEnd, SamplesThatCannotBeWrittenAreAMistake) {
  start();
  Loaded done = load({address(), "--requests", "1", "--keep-alive", "1", "--samples", "/nowhere/at/all"});
  EXPECT_EQ(done.exit_code, 2);
  EXPECT_THAT(done.errors, HasSubstr("--samples: cannot write /nowhere/at/all"));
}

TEST(LoadTally, SamplesAreBounded) {
  load::Tally one;
  for (size_t i = 0; i < load::Tally::kMostSamples - 1; ++i) one.sample(0s, 1us, 200);
  load::Tally other;
  for (int i = 0; i < 3; ++i) other.sample(1s, 2us, 503);
  one.merge(other);
  ASSERT_EQ(one.samples().size(), load::Tally::kMostSamples);
  EXPECT_EQ(one.samples().back().status, 503);
  one.sample(0s, 1us, 200);
  EXPECT_EQ(one.samples().size(), load::Tally::kMostSamples);
}

TEST(LoadCommandLine, MistakesNameTheFlag) {
  const std::vector<std::pair<Arguments, std::string>> kMistakes = {
      {{}, "TARGET"},
      {{"127.0.0.1"}, "TARGET"},
      {{"https://127.0.0.1:1"}, "TARGET"},
      {{":80"}, "TARGET"},
      {{"fd:3"}, "TARGET"},
      {{"127.0.0.1:1", "--fresh", "x"}, "--fresh"},
      {{"127.0.0.1:1", "--keep-alive", "9999", "--fresh", "2"}, "--fresh"},
      {{"127.0.0.1:1", "--keep-alive", "0"}, "--keep-alive"},
      {{"127.0.0.1:1", "--think", "5"}, "--think"},
      {{"127.0.0.1:1", "--duration", "0s"}, "--duration"},
      {{"127.0.0.1:1", "--rate", "-1"}, "--rate"},
      {{"127.0.0.1:1", "--rate", "5", "--think", "2ms"}, "--think"},
      {{"127.0.0.1:1", "--path", "x"}, "--path"},
      {{"127.0.0.1:1", "--header", "x"}, "--header"},
      {{"127.0.0.1:1", "--body", "65M"}, "--body"},
      {{"127.0.0.1:1", "--threads", "65"}, "--threads"},
      {{"127.0.0.1:1", "--signal", "1@2s"}, "--signal"},
      {{"127.0.0.1:1", "--signal", "1:FOO@2s"}, "FOO"},
      {{"127.0.0.1:1", "--signal", "2147483647:TERM@2s"}, "--signal"},
      {{"127.0.0.1:1", "--bogus"}, "--bogus"},
  };
  for (const auto& [arguments, named] : kMistakes) {
    Loaded done = load(arguments);
    EXPECT_EQ(done.exit_code, 2) << named;
    EXPECT_EQ(done.output, "");
    EXPECT_THAT(done.errors, HasSubstr(named));
  }
}

TEST(LoadCommandLine, HelpIsNoMistake) {
  Loaded done = load({"--help"});
  EXPECT_EQ(done.exit_code, 0);
  EXPECT_THAT(done.output, HasSubstr("--stop-when-refused"));
}

TEST(LoadCommandLine, NothingThereIsAFailure) {
  Loaded done = load({"127.0.0.1:1", "--stop-when-refused"});
  EXPECT_EQ(done.exit_code, 1);
  EXPECT_THAT(done.errors, HasSubstr("nothing was answered"));
}

}  // namespace
}  // namespace lastcall::e2e
