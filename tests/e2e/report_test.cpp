#include <sstream>

#include "tests/e2e/fixture.hpp"

namespace lastcall::e2e {
namespace {

class Reporting : public EndToEnd {
 protected:
  /// A stop with one answer to wait for and one idle connection.
  int eventful_stop() {
    RawClient busy = connect();
    RawClient idle = connect();
    EXPECT_EQ(idle.ask(get_request("/plaintext")).status, 200);
    busy.send(get_request("/sleep?ms=100"));
    settle();
    begin_stop();
    EXPECT_EQ(busy.read_answer().status, 200);
    EXPECT_EQ(idle.read_end(), StreamEnd::eof);
    busy.close();
    idle.close();
    return wait_exit();
  }

  static void expect_fields(const Json& report) {
    EXPECT_EQ(report.size(), 13u);
    EXPECT_EQ(report.at("reason"), "SIGTERM");
    EXPECT_EQ(report.at("io"), GetParam());
    EXPECT_EQ(report.at("exit_code"), 0);
    EXPECT_GE(report.at("duration_ms"), 0);
    const Json& phases = report.at("phases");
    ASSERT_EQ(phases.size(), 2u);
    EXPECT_EQ(phases[0].at("name"), "draining");
    EXPECT_EQ(phases[0].at("start_ms"), 0);
    EXPECT_EQ(phases[1].at("name"), "stopped");
    EXPECT_EQ(phases[1].at("start_ms"), phases[0].at("end_ms"));
    EXPECT_LE(phases[1].at("end_ms"), report.at("duration_ms"));
    const Json& reactors = report.at("reactors");
    ASSERT_EQ(reactors.size(), 1u);
    EXPECT_EQ(reactors[0], Json({{"id", 0},
                                 {"accepted", 3},
                                 {"accepted_while_stopping", 0},
                                 {"idle_closed", 1},
                                 {"completed", 2},
                                 {"handed_over", 0},
                                 {"aborted", 0}}));
    EXPECT_EQ(report.at("aborted"), Json::array());
    EXPECT_EQ(report.at("aborted_unlisted"), 0);
    EXPECT_EQ(report.at("late_requests"), 0);
    EXPECT_EQ(report.at("background"), Json({{"completed", 0}, {"failed", 0}, {"abandoned", 0}}));
    EXPECT_EQ(report.at("deadline_ms"), 25'000);
    expect_timeline(report);
  }

  static void expect_timeline(const Json& report) {
    const Json& samples = report.at("timeline");
    ASSERT_GE(samples.size(), 5u);  // two phases, the end, and more than 20 ms between
    const Json& first = samples.front();
    EXPECT_EQ(first.at("at_ms"), 0);
    auto count = [&first](const char* what) { return first.at(what).get<int>(); };
    EXPECT_GE(count("active"), 1);  // and the one that settled may just be going
    EXPECT_EQ(count("active") + count("idle") + count("completed"), 3);
    EXPECT_EQ(samples.back(), Json({{"at_ms", report.at("duration_ms")},
                                    {"idle", 0},
                                    {"active", 0},
                                    {"aborted", 0},
                                    {"completed", 2}}));
  }
};
LASTCALL_ON_BOTH_BACKENDS(Reporting);

TEST_P(Reporting, IntoAFile) {
  start();
  EXPECT_EQ(eventful_stop(), 0);
  expect_fields(report());
}

TEST_P(Reporting, ReplacesAnOlderFile) {
  std::ofstream(report_path()) << std::string(10'000, 'x');
  start();
  EXPECT_EQ(eventful_stop(), 0);
  expect_fields(report());
}

TEST_P(Reporting, OnStandardOutput) {
  start({"--report", "-"});
  EXPECT_EQ(eventful_stop(), 0);
  std::string output = server().standard_output();
  EXPECT_EQ(std::ranges::count(output, '\n'), 1);
  Json parsed = Json::parse(output, nullptr, false);
  ASSERT_FALSE(parsed.is_discarded()) << output;
  expect_fields(parsed);
}

TEST_P(Reporting, WhatCannotBeWrittenIsLogged) {
  start({"--report", "/dev/full"});
  EXPECT_EQ(eventful_stop(), 0);
  EXPECT_TRUE(server().wait_for_event("report_failed"));
}

TEST_P(Reporting, FolderThatIsNotThereIsToldAtTheStart) {
  Finished finished = run_to_end(
      {"demo", "--listen", "127.0.0.1:0", "--io", GetParam(), "--report", "/nonexistent/folder/report.json"});
  EXPECT_EQ(finished.exit_code, 1);
  EXPECT_THAT(finished.errors, ::testing::HasSubstr("/nonexistent/folder/report.json"));
}

TEST_P(Reporting, IntoAFolderIsToldAtTheStart) {
  Finished finished = run_to_end({"demo", "--listen", "127.0.0.1:0", "--io", GetParam(), "--report", "/tmp"});
  EXPECT_EQ(finished.exit_code, 1);
  EXPECT_THAT(finished.errors, ::testing::HasSubstr("/tmp"));
}

TEST_P(Reporting, EveryLineOfTheJsonLogParses) {
  start({"--log-format", "json", "--log-level", "debug"});
  EXPECT_EQ(get("/throw").status, 500);
  EXPECT_EQ(connect().ask("nonsense\r\n\r\n").status, 400);
  EXPECT_EQ(eventful_stop(), 0);
  std::istringstream lines(server().log());
  std::vector<std::string> events;
  for (std::string line; std::getline(lines, line);) {
    Json parsed = Json::parse(line, nullptr, false);
    ASSERT_TRUE(parsed.is_object()) << line;
    for (const char* key : {"time", "level", "event"}) EXPECT_TRUE(parsed.contains(key)) << line;
    events.push_back(parsed.value("event", ""));
  }
  EXPECT_THAT(events, testing::IsSupersetOf({"listening", "ready", "handler_failed", "request_refused",
                                             "stop_requested", "drain_started", "stopped"}));
}

TEST_P(Reporting, EventsOfAStopHaveTheirFields) {
  start({"--log-format", "json", "--deadline", "20s"});
  EXPECT_EQ(eventful_stop(), 0);
  auto event = [&](const char* name) { return Json::parse(server().wait_for_event(name).value_or("{}")); };
  Json started = event("drain_started");
  EXPECT_EQ(started.value("reason", ""), "SIGTERM");
  EXPECT_EQ(started.value("deadline", ""), "20s");
  EXPECT_GE(started.value("active", -1), 1);
  EXPECT_GE(started.value("idle", -1), 1);
  Json stopped = event("stopped");
  EXPECT_EQ(stopped.value("exit_code", -1), 0);
  EXPECT_EQ(stopped.value("completed", -1), 2);
  EXPECT_EQ(stopped.value("idle_closed", -1), 1);
  EXPECT_EQ(stopped.value("aborted", -1), 0);
  EXPECT_TRUE(stopped.contains("duration"));
  Json listening = event("listening");
  EXPECT_EQ(listening.value("io", ""), GetParam());
  EXPECT_EQ(listening.value("address", ""), address());
}

TEST_P(Reporting, ProgressIsLoggedOnceASecond) {
  start();
  RawClient client = connect();
  client.send(get_request("/sleep?ms=1300"));
  settle();
  begin_stop();
  EXPECT_EQ(client.read_answer().status, 200);
  client.close();
  EXPECT_EQ(wait_exit(), 0);
  const std::string line = server().wait_for_event("drain_progress").value_or("");
  EXPECT_EQ(log_field(line, "active"), "1");
  EXPECT_EQ(log_field(line, "oldest"), "/sleep");
  EXPECT_NE(log_field(line, "age"), "");
}

TEST_P(Reporting, LogLevelOffStillSaysWhyItDoesNotStart) {
  Finished finished = run_to_end({"demo", "--listen", "fd:99", "--log-level", "off", "--io", GetParam()});
  EXPECT_EQ(finished.exit_code, 1);
  EXPECT_EQ(finished.errors, "lastcall: listen fd:99: no such descriptor was inherited\n");
}

}  // namespace
}  // namespace lastcall::e2e
