#include <unistd.h>

#include <set>
#include <sstream>

#include "tests/e2e/fixture.hpp"
#include "tests/support/notify_socket.hpp"

namespace lastcall::e2e {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

/// What a service manager hears; the test is the manager.
class Service : public EndToEnd {
 protected:
  void start_service(Arguments arguments = {}, std::vector<std::string> more = {}) {
    more.push_back("NOTIFY_SOCKET=" + manager_.name());
    start(std::move(arguments), {.environment = std::move(more)});
  }
  NotifySocket& manager() { return manager_; }
  [[nodiscard]] std::string next(Duration patience = 20s) {
    auto message = manager_.receive(patience);
    if (!message) return "";
    EXPECT_EQ(message->sender, server().pid());
    return message->text;
  }

 private:
  NotifySocket manager_;
};
LASTCALL_ON_BOTH_BACKENDS(Service);

TEST_P(Service, ReadyThenStopping) {
  start_service();
  std::string ready = next();
  EXPECT_THAT(ready, StartsWith("READY=1\n"));
  EXPECT_THAT(notify_field(ready, "STATUS"), HasSubstr("serving on " + address()));
  EXPECT_THAT(notify_field(ready, "STATUS"), HasSubstr(GetParam()));
  EXPECT_EQ(notify_field(ready, "MAINPID"), std::to_string(server().pid()));
  EXPECT_EQ(get("/plaintext").status, 200);
  EXPECT_EQ(stop(), 0);
  EXPECT_EQ(next(0ms), "STOPPING=1\nSTATUS=stopping: SIGTERM\nEXTEND_TIMEOUT_USEC=5000000\n");
  EXPECT_EQ(next(0ms), "") << "a quick stop has no more to say";
}

TEST_P(Service, ASlowDrainTellsOfItsProgress) {
  start_service({"--deadline", "4s"});
  EXPECT_THAT(next(), StartsWith("READY=1\n"));
  RawClient client = connect();
  client.send(get_request("/sleep?ms=2500"));
  settle();
  begin_stop();
  const uint64_t asked = std::stoull(notify_field(next(), "EXTEND_TIMEOUT_USEC"));
  EXPECT_LE(asked, 4'500'000u) << "the deadline and a margin";
  EXPECT_GT(asked, 4'000'000u);
  std::string first = next();
  EXPECT_EQ(notify_field(first, "STATUS"), "draining: 1 active, 0 idle, 3 s left");
  const uint64_t extension = std::stoull(notify_field(first, "EXTEND_TIMEOUT_USEC"));
  EXPECT_GT(extension, 3'000'000u);
  EXPECT_LE(extension, 3'500'000u);
  EXPECT_EQ(notify_field(next(), "STATUS"), "draining: 1 active, 0 idle, 2 s left");
  EXPECT_EQ(client.read_answer().body, "slept 2500 ms\n");
  client.close();
  EXPECT_EQ(wait_exit(), 0);
  EXPECT_EQ(next(0ms), "");
}

TEST_P(Service, AReloadIsFramed) {
  start_service();
  EXPECT_THAT(next(), StartsWith("READY=1\n"));
  server().signal(SIGHUP);
  std::string reloading = next();
  EXPECT_THAT(reloading, StartsWith("RELOADING=1\nMONOTONIC_USEC="));
  EXPECT_GT(std::stoull(notify_field(reloading, "MONOTONIC_USEC")), 0u);
  std::string ready = next();
  EXPECT_THAT(ready, StartsWith("READY=1\nSTATUS=serving on"));
  EXPECT_THAT(ready, testing::Not(HasSubstr("failed")));
}

TEST_P(Service, AReloadThatFailsIsReadyAllTheSame) {
  const std::string path = testing::TempDir() + "lastcall-service-" + std::to_string(::getpid()) + ".toml";
  std::ofstream(path) << "\n";
  start_service({"--config", path});
  EXPECT_THAT(next(), StartsWith("READY=1\n"));
  std::ofstream(path) << "idle-timeout = 3\n";
  server().signal(SIGHUP);
  EXPECT_THAT(next(), StartsWith("RELOADING=1\n"));
  EXPECT_THAT(next(), testing::AllOf(StartsWith("READY=1\n"), HasSubstr("the last reload failed")));
  ::unlink(path.c_str());
}

TEST_P(Service, WatchdogIsFedWhileEveryLoopTurns) {
  start_service({}, {"WATCHDOG_USEC=400000"});
  EXPECT_THAT(next(), StartsWith("READY=1\n"));
  for (int i = 0; i < 8; ++i) EXPECT_EQ(next(400ms), "WATCHDOG=1\n");
  RawClient hog = connect();
  hog.send(get_request("/spin?ms=1500"));
  ASSERT_TRUE(server().wait_for_event("watchdog_withheld"));
  while (manager().receive(0ms)) {
  }
  EXPECT_EQ(next(500ms), "") << "a reactor is stuck";
  EXPECT_EQ(hog.read_answer().status, 200);
  EXPECT_EQ(next(), "WATCHDOG=1\n");
}

// The manager would end the service, were it told that it stops.
TEST_P(Service, ASuccessorIsTheServiceFromThenOn) {
  start_service();
  EXPECT_THAT(next(), StartsWith("READY=1\n"));
  const pid_t former = server().pid();
  server().signal(SIGUSR2);
  ASSERT_EQ(server().follow(), 0);
  std::string all;
  std::set<pid_t> senders;
  for (int messages = 0; messages < 2; ++messages) {
    auto message = manager().receive(20s);
    ASSERT_TRUE(message);
    all += message->text;
    senders.insert(message->sender);
  }
  EXPECT_EQ(senders, (std::set<pid_t>{former, server().pid()}));
  EXPECT_THAT(all, HasSubstr("MAINPID=" + std::to_string(server().pid()) + "\n"));
  EXPECT_THAT(all, HasSubstr("READY=1\n"));
  EXPECT_THAT(all, testing::Not(HasSubstr("STOPPING=1")));
  EXPECT_EQ(next(0ms), "");
  EXPECT_EQ(stop(), 0);
  EXPECT_THAT(next(0ms), StartsWith("STOPPING=1\n")) << "of the successor";
}

TEST_P(Service, WithoutAManagerNothingIsSaid) {
  start();
  EXPECT_EQ(get("/plaintext").status, 200);
  EXPECT_EQ(stop(), 0);
  EXPECT_EQ(server().log().find("notify_failed"), std::string::npos);
}

TEST_P(Service, AManagerThatIsGoneIsSaidOnce) {
  start({}, {.environment = {"NOTIFY_SOCKET=@lastcall-nobody-is-here", "WATCHDOG_USEC=40000"}});
  EXPECT_THAT(server().wait_for_event("notify_failed").value_or(""), HasSubstr("@lastcall-nobody-is-here"));
  EXPECT_EQ(get("/plaintext").status, 200);
  EXPECT_EQ(stop(), 0);
  const std::string log = server().log();
  EXPECT_EQ(log.find("notify_failed"), log.rfind("notify_failed"));
}

// A manager that does not read its messages holds nobody up.
TEST_P(Service, AManagerThatDoesNotReadIsNotWaitedFor) {
  start_service({}, {"WATCHDOG_USEC=40000"});
  RawClient client = connect();
  client.send(get_request("/sleep?ms=1200"));
  settle();
  begin_stop();
  EXPECT_EQ(client.read_answer().status, 200);
  client.close();
  EXPECT_EQ(wait_exit(), 0);
}

}  // namespace
}  // namespace lastcall::e2e
