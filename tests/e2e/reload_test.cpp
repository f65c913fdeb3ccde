#include <sstream>

#include "tests/e2e/fixture.hpp"

namespace lastcall::e2e {
namespace {

using testing::HasSubstr;

/// SIGHUP, with a configuration file that the test rewrites.
class Reload : public EndToEnd {
 protected:
  void TearDown() override {
    EndToEnd::TearDown();
    ::unlink(config_path().c_str());
  }
  static std::string config_path() {
    return testing::TempDir() + "lastcall-reload-" + std::to_string(::getpid()) + ".toml";
  }
  static void write_config(const std::string& text) { std::ofstream(config_path(), std::ios::trunc) << text; }
  void start_with(const std::string& text, Arguments more = {}) {
    write_config(text);
    more.insert(more.end(), {"--config", config_path()});
    start(more);
  }
  /// The log line that tells of it.
  std::string reload(const std::string& text, const std::string& event = "reloaded") {
    const size_t before = server().log().size();
    write_config(text);
    server().signal(SIGHUP);
    std::string line;
    for (int tries = 0; tries < 2000 && line.empty(); ++tries) {
      line = line_after(before, event);
      if (line.empty()) ::usleep(10'000);
    }
    EXPECT_NE(line, "") << server().log();
    return line;
  }
  [[nodiscard]] std::string line_after(size_t offset, const std::string& event) {
    std::istringstream lines(server().log().substr(offset));
    for (std::string line; std::getline(lines, line) && !lines.eof();) {
      if (log_field(line, "event") == event) return line;
    }
    return "";
  }
  [[nodiscard]] size_t count_of(const std::string& event) {
    size_t count = 0;
    std::istringstream lines(server().log());
    for (std::string line; std::getline(lines, line);) count += log_field(line, "event") == event;
    return count;
  }
};
LASTCALL_ON_BOTH_BACKENDS(Reload);

TEST_P(Reload, NothingChanged) {
  start_with("idle-timeout = \"60s\"\n");
  EXPECT_EQ(log_field(reload("idle-timeout = \"60s\"\n"), "changed"), "nothing");
}

TEST_P(Reload, ShorterIdleTimeoutEndsWhoIsIdleAlready) {
  start_with("idle-timeout = \"60s\"\n", {"--reactors", "2"});
  std::vector<RawClient> clients;
  for (int i = 0; i < 8; ++i) {
    clients.push_back(connect());
    EXPECT_EQ(clients.back().ask(get_request("/plaintext")).status, 200);
  }
  EXPECT_EQ(log_field(reload("idle-timeout = \"100ms\"\n"), "changed"), "idle-timeout");
  for (RawClient& client : clients) {
    EXPECT_TRUE(client.readable(1s));
    EXPECT_EQ(client.read_end(), StreamEnd::eof);
  }
}

TEST_P(Reload, LimitsAndTimeouts) {
  start_with("");
  std::string line = reload(
      "max-body-bytes = 4\nmax-header-bytes = 256\nheader-timeout = \"200ms\"\n"
      "body-timeout = \"300ms\"\nwrite-timeout = \"1s\"\n");
  EXPECT_THAT(line, HasSubstr("header-timeout body-timeout write-timeout max-header-bytes max-body-bytes"));
  EXPECT_EQ(connect().ask(post_request("/anything", "12345")).status, 413);
  EXPECT_EQ(connect().ask(post_request("/anything", "1234")).status, 200);
  EXPECT_EQ(get("/plaintext", "X: " + std::string(300, 'x') + "\r\n").status, 431);
  RawClient head = connect();
  head.send("GET /pl");
  EXPECT_EQ(head.read_answer().status, 408);
  RawClient body = connect();
  body.send("POST /anything HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n12");
  EXPECT_EQ(body.read_answer().status, 408);
  EXPECT_EQ(log_field(reload(""), "changed"),
            "header-timeout body-timeout write-timeout max-header-bytes max-body-bytes");
  EXPECT_EQ(connect().ask(post_request("/anything", "12345")).status, 200);
}

TEST_P(Reload, ConnectionLimitUpAndDown) {
  start_with("max-connections = 2\n");
  RawClient one = connect();
  RawClient two = connect();
  EXPECT_EQ(one.ask(get_request("/plaintext")).status, 200);
  EXPECT_EQ(two.ask(get_request("/plaintext")).status, 200);
  EXPECT_EQ(connect().read_answer().status, 503);
  reload("max-connections = 300\n");
  std::vector<RawClient> more;
  for (int i = 0; i < 290; ++i) more.push_back(connect());
  for (RawClient& client : more) ASSERT_EQ(client.ask(get_request("/plaintext")).status, 200);
  reload("max-connections = 1\n");
  EXPECT_EQ(two.ask(get_request("/plaintext")).status, 200) << "who is inside stays";
  EXPECT_EQ(connect().read_answer().status, 503);
}

TEST_P(Reload, TheStopGoesByTheNewOptions) {
  start_with("deadline = \"20s\"\n");
  EXPECT_EQ(log_field(reload("deadline = \"3s\"\n"), "changed"), "deadline");
  begin_stop();
  EXPECT_THAT(server().wait_for_event("stop_requested").value_or(""), HasSubstr("deadline=3s"));
  EXPECT_EQ(wait_exit(), 0);
}

TEST_P(Reload, LogLevelAndFormat) {
  start_with("");
  std::string line = reload("log-format = \"json\"\n");
  EXPECT_THAT(line, testing::StartsWith("{"));
  EXPECT_EQ(log_field(line, "changed"), "log-format");
  EXPECT_THAT(reload(""), HasSubstr("changed=log-format"));
}

TEST_P(Reload, AMistakeKeepsTheOldOnes) {
  start_with("max-body-bytes = 4\n");
  for (const char* mistake :
       {"max-body-bytes = 8\nidle-timeout = \"soon\"\n", "max-body-bytes = 8\nno-such = 1\n",
        "max-body-bytes = 8\nannounce = \"9s\"\ndeadline = \"8s\"\n", "max-body-bytes = \n"}) {
    std::string line = reload(mistake, "reload_failed");
    EXPECT_EQ(connect().ask(post_request("/anything", "12345")).status, 413) << line;
  }
  EXPECT_THAT(reload("# one\nidle-timeout = \"soon\"\n", "reload_failed"),
              HasSubstr(config_path() + ":2: --idle"));
  EXPECT_THAT(reload("a\n", "reload_failed"), HasSubstr(config_path() + ":1"));
  ::unlink(config_path().c_str());
  server().signal(SIGHUP);
  EXPECT_TRUE(server().wait_for_line("No such file")) << server().log();
  EXPECT_EQ(server().standard_output(), "");
  EXPECT_EQ(log_field(reload("max-body-bytes = 5\n"), "changed"), "max-body-bytes");
  EXPECT_EQ(connect().ask(post_request("/anything", "12345")).status, 200);
}

TEST_P(Reload, WhatNeedsARestartIsNamedAndTheRestApplied) {
  start_with("");
  std::string line =
      reload("gate = \"plain\"\npin = true\nallow-remote-shutdown = true\nidle-timeout = \"9s\"\n");
  EXPECT_EQ(log_field(line, "changed"), "idle-timeout");
  for (const char* name : {"option=gate", "option=pin", "option=allow-remote-shutdown"})
    EXPECT_TRUE(server().wait_for_line(name)) << name;
  EXPECT_THAT(server().wait_for_event("reload_ignored").value_or(""),
              HasSubstr("needs a restart or SIGUSR2"));
  EXPECT_EQ(count_of("reload_ignored"), 3u);
}

TEST_P(Reload, FlagsStillWin) {
  start_with("", {"--idle-timeout", "50s"});
  EXPECT_EQ(log_field(reload("idle-timeout = \"9s\"\n"), "changed"), "nothing");
}

TEST_P(Reload, ManyAtOnceAndUnderLoad) {
  start_with("", {"--reactors", "2"});
  RawClient client = connect();
  for (int i = 0; i < 200; ++i) {
    server().signal(SIGHUP);
    ASSERT_EQ(client.ask(get_request("/plaintext")).status, 200);
  }
  write_config("max-body-bytes = 4\n");
  server().signal(SIGHUP);
  EXPECT_TRUE(server().wait_for_line("reloaded changed=max-body-bytes")) << "what comes last is seen";
  int status = 0;  // each reactor takes it by its mailbox, a moment later
  for (int asked = 0; asked < 1000 && status != 413; ++asked)
    status = connect().ask(post_request("/anything", "12345")).status;
  EXPECT_EQ(status, 413);
}

TEST_P(Reload, DuringAStopIsIgnored) {
  start_with("");
  RawClient client = connect();
  client.send(get_request("/sleep?ms=300"));
  settle();
  begin_stop();
  server().signal(SIGHUP);
  EXPECT_THAT(server().wait_for_event("signal_ignored").value_or(""), HasSubstr("SIGHUP"));
  EXPECT_EQ(client.read_answer().body, "slept 300 ms\n");
  client.close();
  EXPECT_EQ(wait_exit(), 0);
}

// What a request may take is fixed with its head.
TEST_P(Reload, ARequestUnderWayKeepsItsRules) {
  start_with("");
  RawClient client = connect();
  client.send("POST /anything HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n12");
  settle();
  reload("max-body-bytes = 1\nbody-timeout = \"20s\"\n");
  client.send("345");
  EXPECT_EQ(client.read_answer().status, 200);
}

}  // namespace
}  // namespace lastcall::e2e
