// The programs of tools/examples, used as their comments say, on both backends: where io_uring is denied to
// them they choose epoll by themselves.

#include <thread>

#include "tests/e2e/fixture.hpp"
#include "tests/support/websocket_client.hpp"

namespace lastcall::e2e {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class Examples : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (std::string(GetParam()) != "io_uring") return;
    if (Result<void> probed = probe_uring(); !probed) GTEST_SKIP() << probed.error().message;
  }
  void TearDown() override {
    if (program_ != nullptr && HasFailure()) ADD_FAILURE() << "its log:\n" << program_->log();
  }

  void start(const std::string& name) {
    program_ =
        std::make_unique<ServerProcess>(program_file("examples/" + name), Arguments{"127.0.0.1:0"},
                                        ProcessOptions{.deny_io_uring = std::string(GetParam()) == "epoll"});
    ASSERT_TRUE(program_->wait_for_event("ready")) << program_->log();
    const std::optional<std::string> line = program_->wait_for_event("listening");
    ASSERT_EQ(log_field(*line, "io"), GetParam());
  }
  [[nodiscard]] ServerProcess& program() { return *program_; }
  [[nodiscard]] RawClient connect() { return RawClient(program_->addresses().back()); }
  [[nodiscard]] int wait_exit() { return program_->wait_exit().value_or(-1); }
  /// A request that the program has begun to work on; the answer is still to come.
  [[nodiscard]] RawClient begin(const std::string& target) {
    RawClient client = connect();
    client.send(get_request(target));
    while (connect().ask(get_request("/none", "Connection: close\r\n")).status != 404) {
    }
    return client;
  }

 private:
  std::unique_ptr<ServerProcess> program_;
};

LASTCALL_ON_BOTH_BACKENDS(Examples);

TEST_P(Examples, ApiEndpointStopsWithinItsProgramAndItsPortIsFreeAtOnce) {
  start("api_endpoint");
  const size_t descriptors = program().descriptors();
  const std::string address = program().addresses().at(0);
  {
    RawClient slow = connect();  // still at work when the stop begins
    HttpAnswer answer = slow.ask(get_request("/slow"));
    EXPECT_EQ(answer.body, R"({"status":"done"})");
    EXPECT_EQ(answer.header("Connection"), "close");
  }
  ASSERT_TRUE(program().wait_for_line("round 1 over"));
  while (program().addresses().size() < 2) std::this_thread::yield();
  EXPECT_EQ(program().addresses().at(1), address);
  EXPECT_EQ(program().descriptors(), descriptors) << "those of the first round are closed";
  EXPECT_EQ(wait_exit(), 0);
}

TEST_P(Examples, ApiEndpointReturnsItsErrors) {
  start("api_endpoint");
  ServerProcess second(program_file("examples/api_endpoint"), {program().addresses().at(0)});
  EXPECT_EQ(second.wait_exit().value_or(-1), 1);
  EXPECT_THAT(second.log(), HasSubstr("start: listen " + program().addresses().at(0)));
  program().signal(SIGKILL);
}

TEST_P(Examples, SignalStopAnswersWhoIsInside) {
  start("signal_stop");
  RawClient client = begin("/hello");
  program().signal(SIGINT);
  ASSERT_TRUE(program().wait_for_line("stopping: who is inside is served"));
  EXPECT_THAT(program().log(), Not(HasSubstr("everybody has gone")));
  EXPECT_EQ(client.read_answer().body, "hello\n");
  client.close();
  EXPECT_EQ(wait_exit(), 0);
  EXPECT_THAT(program().log(), HasSubstr("everybody has gone"));
}

TEST_P(Examples, TurnAwayRefusesNewOrdersAndFinishesThoseUnderWay) {
  start("turn_away");
  RawClient client = begin("/api/orders/7");
  program().signal(SIGTERM);
  ASSERT_TRUE(program().wait_for_line("stopping: new orders are turned away"));
  const HttpAnswer refused = connect().ask(get_request("/api/orders/8"));
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(refused.header("Retry-After"), "1");
  EXPECT_EQ(client.read_answer().body, "order 7\n");
  client.close();
  EXPECT_EQ(wait_exit(), 0);
}

TEST_P(Examples, RemoteShutdownAnswersTheCallerAndEverybodyElse) {
  start("remote_shutdown");
  RawClient worker = begin("/work");
  RawClient caller = connect();
  EXPECT_EQ(caller.ask(post_request("/shutdown", "")).body, "the server is shutting down\n");
  const std::string peer = caller.local_address();
  caller.close();
  EXPECT_EQ(worker.read_answer().body, "worked\n");
  worker.close();
  EXPECT_EQ(wait_exit(), 0);
  EXPECT_THAT(program().standard_output(), HasSubstr("stopped by POST /shutdown by " + peer));
}

TEST_P(Examples, RemoteShutdownBySignalToo) {
  start("remote_shutdown");
  RawClient worker = begin("/work");
  program().signal(SIGTERM);
  EXPECT_EQ(worker.read_answer().body, "worked\n");
  worker.close();
  EXPECT_EQ(wait_exit(), 0);
  EXPECT_THAT(program().standard_output(), HasSubstr("stopped by SIGTERM"));
}

TEST_P(Examples, RemoteShutdownAndASignalAtOnceAreOneStop) {
  start("remote_shutdown");
  RawClient worker = begin("/work");
  RawClient caller = connect();
  caller.send(post_request("/shutdown", ""));
  program().signal(SIGTERM);
  EXPECT_EQ(caller.read_answer().body, "the server is shutting down\n");
  EXPECT_EQ(worker.read_answer().body, "worked\n");
  caller.close();
  worker.close();
  EXPECT_EQ(wait_exit(), 0);
  const std::string output = program().standard_output();
  EXPECT_EQ(output.find("stopped by"), output.rfind("stopped by"));
}

TEST_P(Examples, BackgroundTasksAreAwaitedAndLogged) {
  start("background_tasks");
  EXPECT_EQ(connect().ask(post_request("/users", "ann@example.org")).status, 202);
  program().signal(SIGTERM);
  EXPECT_EQ(wait_exit(), 0);
  std::vector<std::string> events;
  for (std::istringstream log(program().log()); !log.eof();) {
    std::string line;
    if (!std::getline(log, line)) break;
    Json event = Json::parse(line, nullptr, false);
    ASSERT_FALSE(event.is_discarded()) << line;
    events.push_back(event.at("event"));
  }
  auto at = [&events](const char* name) { return std::ranges::find(events, name) - events.begin(); };
  EXPECT_LT(at("ready"), at("stop_requested"));
  EXPECT_LT(at("stop_requested"), at("completing_background_tasks"));
  EXPECT_LT(at("completing_background_tasks"), at("mail_sent"));
  EXPECT_LT(at("mail_sent"), at("stopped"));
  EXPECT_EQ(events.back(), "stopped");
}

TEST_P(Examples, BackgroundTasksThatFailReachTheExitCode) {
  start("background_tasks");
  EXPECT_EQ(connect().ask(post_request("/users", "")).status, 202);
  EXPECT_EQ(connect().ask(post_request("/users", "bob@example.org")).status, 202);
  program().signal(SIGTERM);
  EXPECT_EQ(wait_exit(), 3);
  EXPECT_THAT(program().log(), HasSubstr("nobody to write to"));
  EXPECT_THAT(program().log(), HasSubstr("bob@example.org")) << "the other one is not harmed";
}

TEST_P(Examples, FrameworkHandlersNoticeTheStopAndTheDatabaseGoesLast) {
  start("framework");
  RawClient report = begin("/report");
  RawClient compute = begin("/compute");
  RawClient idle = connect();
  EXPECT_EQ(idle.ask(get_request("/none")).status, 404);
  program().signal(SIGTERM);
  ASSERT_TRUE(program().wait_for_event("drain_started"));
  // In the grace of an idle connection: it is answered, and sent elsewhere.
  HttpAnswer late = idle.ask(get_request("/report"));
  EXPECT_EQ(late.status, 503);
  EXPECT_EQ(late.header("Retry-After"), "1");
  idle.close();
  EXPECT_THAT(report.read_answer().body, testing::MatchesRegex("steps [0-9]+, rows 0\n"));
  EXPECT_EQ(compute.read_answer().body, "computed 20\n") << "a drain is no reason to give up";
  report.close();
  compute.close();
  EXPECT_EQ(wait_exit(), 0);
  const std::string log = program().log();
  EXPECT_GT(log.find("database closed"), log.find("event=stopped"));
  EXPECT_NE(log.find("database closed"), std::string::npos);
}

TEST_P(Examples, ChatPassesOnWhatIsSaidInARoomAndSaysGoodbye) {
  start("chat");
  const std::string address = program().addresses().at(0);
  auto next = [](test::WebSocketClient& client) {
    auto frame = client.receive();
    return frame ? frame->payload : "nothing";
  };
  test::WebSocketClient ann(address, "/rooms/tea");
  ASSERT_TRUE(ann.opened());
  EXPECT_THAT(next(ann), HasSubstr(" is here"));
  test::WebSocketClient bob(address, "/rooms/tea");
  ASSERT_TRUE(bob.opened());
  EXPECT_THAT(next(ann), HasSubstr(" is here"));
  EXPECT_THAT(next(bob), HasSubstr(" is here"));
  test::WebSocketClient eve(address, "/rooms/coffee");
  EXPECT_THAT(next(eve), HasSubstr(" is here"));
  ann.send_text("hello");
  EXPECT_THAT(next(bob), HasSubstr(": hello"));
  EXPECT_THAT(next(ann), HasSubstr(": hello"));
  program().signal(SIGTERM);
  for (test::WebSocketClient* client : {&ann, &bob, &eve}) {
    auto close = client->receive();
    while (close && close->opcode != test::kClose) {  // a reactor may hear of the stop a moment later
      EXPECT_THAT(close->payload, HasSubstr(" has left"));
      close = client->receive();
    }
    ASSERT_TRUE(close);
    EXPECT_EQ(close->close_code(), 1001);
    EXPECT_EQ(client->finish(1001), StreamEnd::eof);
  }
  EXPECT_EQ(wait_exit(), 0);
}

TEST_P(Examples, EventsEndWithABye) {
  start("events");
  RawClient client = connect();
  client.send(get_request("/"));
  ASSERT_THAT(client.read_until("\n\n"), HasSubstr("event: tick\ndata: "));
  ASSERT_THAT(client.read_until("\n\n"), HasSubstr("event: tick\ndata: "));
  program().signal(SIGTERM);
  EXPECT_THAT(client.read_until("\r\n0\r\n\r\n"),
              HasSubstr("event: bye\nretry: 5000\ndata: come back soon\n\n"));
  client.close();
  EXPECT_EQ(wait_exit(), 0);
}

}  // namespace
}  // namespace lastcall::e2e
