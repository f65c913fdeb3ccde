// SIGUSR2: a new process goes on where this one is, and no client sees it.

#include <sys/socket.h>

#include <atomic>
#include <filesystem>
#include <fstream>

#include "tests/e2e/fixture.hpp"

namespace lastcall::e2e {
namespace {

class Upgrade : public EndToEnd {
 protected:
  void TearDown() override {
    EndToEnd::TearDown();
    std::filesystem::remove_all(folder());
  }

  [[nodiscard]] static std::string folder() {
    return testing::TempDir() + "lastcall-upgrade-" + std::to_string(::getpid());
  }
  [[nodiscard]] static std::string in_folder(const std::string& name) {
    std::filesystem::create_directories(folder());
    return folder() + "/" + name;
  }
  static void write_file(const std::string& path, const std::string& text) {
    std::ofstream(path, std::ios::trunc) << text;
  }

  /// Starts a copy of the binary, that can be replaced by another program.
  void start_copy(Arguments arguments) {
    binary_ = in_folder("server");
    std::filesystem::copy_file(lastcall_binary(), binary_);
    arguments.insert(arguments.begin(), {"demo", "--listen", "127.0.0.1:0", "--io", GetParam(), "--reactors",
                                         "1", "--idle-grace", "20ms"});
    start_program(binary_, std::move(arguments));
  }
  /// What the next start of it runs.
  void install(const std::string& script) {
    write_file(binary_ + ".new", "#!/bin/sh\n" + script + "\n");
    std::filesystem::permissions(binary_ + ".new", std::filesystem::perms::owner_all);
    std::filesystem::rename(binary_ + ".new", binary_);
  }
  void install_again() {
    std::filesystem::copy_file(lastcall_binary(), binary_ + ".new");
    std::filesystem::rename(binary_ + ".new", binary_);
  }

  /// From one process to the next.
  void replace() {
    server().signal(SIGUSR2);
    ASSERT_EQ(server().follow(), 0) << server().log();
    expect_counted_once(report());
  }
  [[nodiscard]] uint64_t handed_over() const { return total(report(), "handed_over"); }

  [[nodiscard]] static int successor_of(const ServerProcess& process) {
    const auto started = process.wait_for_event("upgrade_started");
    return started ? std::stoi(log_field(*started, "pid")) : -1;
  }
  /// Gone, and not only a zombie of somebody else's.
  [[nodiscard]] static bool is_gone(int pid) { return ::kill(pid, 0) != 0 && errno == ESRCH; }

  std::string binary_;
};
LASTCALL_ON_BOTH_BACKENDS(Upgrade);

TEST_P(Upgrade, IdleConnectionLivesOn) {
  start();
  RawClient client = connect();
  EXPECT_EQ(client.ask(get_request("/plaintext")).status, 200);
  RawClient silent = connect();
  settle();
  const pid_t former = server().pid();
  for (int times = 0; times < 3; ++times) {
    replace();
    EXPECT_EQ(handed_over(), 3u) << "both, and the one that settles";
    for (RawClient* one : {&client, &silent}) {
      const HttpAnswer answer = one->ask(get_request("/plaintext"));
      EXPECT_EQ(answer.status, 200);
      EXPECT_EQ(answer.header("Connection"), "");
    }
    EXPECT_EQ(get("/plaintext").status, 200) << "a new connection";
  }
  EXPECT_NE(server().pid(), former);
  EXPECT_EQ(report().at("reason"), "SIGUSR2");
  EXPECT_EQ(report().at("gate").at("listeners").at(0).at("tier"), "handed_over");
}

TEST_P(Upgrade, RequestUnderWayIsAnsweredAndItsConnectionLivesOn) {
  start();
  RawClient slow = connect();
  slow.send(get_request("/sleep?ms=300"));
  RawClient half = connect();
  half.send("GET /plaintext HTTP/1.1\r\nHo");
  RawClient body = connect();
  body.send("POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\nha");
  settle();
  server().signal(SIGUSR2);
  ASSERT_TRUE(server().wait_for_event("upgrade_ready"));
  EXPECT_EQ(get("/plaintext").status, 200) << "the successor serves while the former is still at work";
  EXPECT_FALSE(server().wait_exit(0s));
  half.send("st: test\r\n\r\n");
  body.send("lf");
  for (RawClient* one : {&slow, &half, &body}) {
    const HttpAnswer answer = one->read_answer();
    EXPECT_EQ(answer.status, 200);
    EXPECT_TRUE(answer.complete);
    EXPECT_EQ(answer.header("Connection"), "");
  }
  EXPECT_EQ(server().follow(), 0);
  EXPECT_EQ(total(report(), "aborted"), 0u);
  for (RawClient* one : {&slow, &half, &body}) EXPECT_EQ(one->ask(get_request("/plaintext")).status, 200);
}

TEST_P(Upgrade, LongLivedConnectionsAreToldToLeave) {
  start();
  RawClient events = connect();
  events.send(get_request("/events"));
  EXPECT_NE(events.read_until("data:").find("data:"), std::string::npos);
  server().signal(SIGUSR2);
  EXPECT_NE(events.read_until("event: bye").find("event: bye"), std::string::npos);
  EXPECT_NE(events.read_until("0\r\n\r\n").find("0\r\n\r\n"), std::string::npos);
  EXPECT_EQ(server().follow(), 0);
  EXPECT_EQ(events.ask(get_request("/plaintext")).status, 200) << "its connection is good for more";
}

// Requests are sent as fast as they are answered while one process follows the other.
TEST_P(Upgrade, NothingIsLostOnBusyConnections) {
  start({"--reactors", "2"});
  std::atomic<bool> stop = false;
  std::atomic<int> failed = 0;
  std::vector<std::jthread> clients;
  for (int i = 0; i < 8; ++i) {
    clients.emplace_back([&, fresh = i % 4 == 0] {
      RawClient client(address());
      while (!stop) {
        if (fresh) client = RawClient(address());
        const HttpAnswer answer = client.ask(post_request("/echo", "hello"));
        if (answer.status != 200 || answer.body != "hello" || !answer.complete) ++failed;
      }
    });
  }
  for (int times = 0; times < 5; ++times) replace();
  stop = true;
  clients.clear();
  EXPECT_EQ(failed, 0);
}

TEST_P(Upgrade, NumberOfReactorsMayChange) {
  const std::string config = in_folder("config.toml");
  write_file(config, "reactors = 1\n");
  const std::string path = in_folder("server.sock");
  start_program(lastcall_binary(), {"demo", "--io", GetParam(), "--idle-grace", "20ms", "--config", config,
                                    "--listen", "127.0.0.1:0", "--listen", "unix:" + path});
  std::vector<RawClient> kept;
  for (const char* reactors : {"3", "2", "5", "1"}) {
    write_file(config, std::string("reactors = ") + reactors + "\n");
    for (int i = 0; i < 8; ++i) {
      kept.push_back(RawClient(i % 2 == 0 ? address() : "unix:" + path));
      ASSERT_TRUE(kept.back().connected());
    }
    server().signal(SIGUSR2);
    ASSERT_EQ(server().follow(), 0);
    for (RawClient& client : kept) ASSERT_EQ(client.ask(get_request("/plaintext")).status, 200) << reactors;
    for (int i = 0; i < 20; ++i) ASSERT_EQ(get("/plaintext").status, 200) << reactors;
    const auto line = server().wait_for_line("reactors=" + std::string(reactors));
    EXPECT_TRUE(line && log_field(*line, "event") == "listening");
  }
  EXPECT_EQ(stop(), 0);
  EXPECT_FALSE(std::filesystem::exists(path)) << "the last one removes the file";
}

TEST_P(Upgrade, AddressesMayComeAndGo) {
  const std::string config = in_folder("config.toml");
  const std::string gone = in_folder("gone.sock");
  const std::string kept = in_folder("kept.sock");
  const std::string added = in_folder("added.sock");
  write_file(config, "listen = [\"unix:" + gone + "\", \"unix:" + kept + "\"]\n");
  start_program(lastcall_binary(),
                {"demo", "--io", GetParam(), "--reactors", "1", "--idle-grace", "20ms", "--config", config});
  write_file(config, "listen = [\"unix:" + added + "\", \"unix:" + kept + "\"]\n");
  server().signal(SIGUSR2);
  ASSERT_EQ(server().follow(), 0);
  EXPECT_FALSE(std::filesystem::exists(gone));
  for (const std::string& path : {kept, added})
    EXPECT_EQ(RawClient("unix:" + path).ask(get_request("/plaintext")).status, 200);
}

// Its reactor is stuck: the successor takes whoever waits in the queue.
TEST_P(Upgrade, QueueOfAStuckReactorIsServed) {
  start();
  RawClient hog = connect();
  hog.send(get_request("/spin?ms=1500"));
  ASSERT_FALSE(hog.readable(100ms));
  RawClient waiting = connect();
  waiting.send(get_request("/plaintext"));
  server().signal(SIGUSR2);
  EXPECT_EQ(waiting.read_answer().status, 200);
  EXPECT_FALSE(hog.readable(0s)) << "the reactor is stuck still";
  EXPECT_EQ(hog.read_answer().status, 200);
  EXPECT_EQ(server().follow(), 0);
}

TEST_P(Upgrade, AdminListenerIsReadyAllTheTime) {
  const std::string path = "unix:" + in_folder("admin.sock");
  start({"--admin", path});
  std::atomic<bool> stop = false;
  std::atomic<int> asked = 0;
  std::vector<std::string> unready;
  std::jthread balancer([&] {
    while (!stop) {
      const HttpAnswer answer = RawClient(path).ask(get_request("/readyz", "Connection: close\r\n"));
      if (answer.status != 200) unready.push_back(std::to_string(answer.status) + " " + answer.body);
      ++asked;
    }
  });
  for (int times = 0; times < 3; ++times) replace();
  const int before = asked;
  while (asked < before + 10) std::this_thread::yield();
  stop = true;
  balancer.join();
  EXPECT_THAT(unready, testing::IsEmpty());
  const HttpAnswer status = RawClient(path).ask(get_request("/status"));
  EXPECT_EQ(Json::parse(status.body).at("pid"), server().pid());
}

// What is handed over to a process is still on its way when that is to be replaced, or stopped.
TEST_P(Upgrade, OneAfterTheOtherAtOnce) {
  constexpr int kMany = 1500;
  start({"--reactors", "2"});
  std::vector<RawClient> crowd;
  for (int i = 0; i < kMany; ++i) {
    crowd.push_back(connect());
    ASSERT_TRUE(crowd.back().connected());
  }
  ASSERT_EQ(crowd.back().ask(get_request("/plaintext")).status, 200);
  server().signal(SIGUSR2);
  const auto ready = server().wait_for_event("upgrade_ready");
  ASSERT_TRUE(ready);
  const pid_t second = std::stoi(log_field(*ready, "pid"));
  ::kill(second, SIGUSR2);
  ASSERT_EQ(server().follow(), 0);
  ASSERT_EQ(server().pid(), second);
  ASSERT_EQ(server().follow(), 0);
  for (RawClient& client : crowd) ASSERT_EQ(client.ask(get_request("/plaintext")).status, 200);
}

TEST_P(Upgrade, StopOfASuccessorServesWhoIsStillOnTheWay) {
  constexpr int kMany = 1500;
  start({"--reactors", "2", "--idle-grace", "1s"});
  std::vector<RawClient> crowd;
  for (int i = 0; i < kMany; ++i) {
    crowd.push_back(connect());
    ASSERT_TRUE(crowd.back().connected());
  }
  ASSERT_EQ(crowd.back().ask(get_request("/plaintext")).status, 200);
  server().signal(SIGUSR2);
  const auto ready = server().wait_for_event("upgrade_ready");
  ASSERT_TRUE(ready);
  ::kill(std::stoi(log_field(*ready, "pid")), SIGTERM);
  for (RawClient& client : crowd) client.send(get_request("/plaintext"));
  int answered = 0;
  for (RawClient& client : crowd) answered += client.read_answer().status == 200;
  EXPECT_EQ(answered, kMany);
  crowd.clear();
  EXPECT_EQ(server().follow(), 0);
  EXPECT_EQ(wait_exit(), 0);
}

TEST_P(Upgrade, LinkThatLeadsToAnotherBinaryIsFollowed) {
  const std::string link = in_folder("current");
  std::filesystem::create_symlink(lastcall_binary(), link);
  start_program(link, {"demo", "--listen", "127.0.0.1:0", "--io", GetParam(), "--reactors", "1"});
  write_file(in_folder("next"), "#!/bin/sh\nexit 5\n");
  std::filesystem::permissions(in_folder("next"), std::filesystem::perms::owner_all);
  std::filesystem::remove(link);
  std::filesystem::create_symlink(in_folder("next"), link);
  server().signal(SIGUSR2);
  const auto failed = server().wait_for_event("upgrade_failed");
  ASSERT_TRUE(failed);
  EXPECT_EQ(log_field(*failed, "why"), "exited with status 5");
}

// It has no idea of hand-overs, and its child lives on: it must not keep the port.
TEST_P(Upgrade, ProgramThatIsNoLastcallKeepsNothing) {
  start_copy({"--upgrade-timeout", "200ms"});

  install("sleep 20 >/dev/null 2>&1 & echo $! > " + in_folder("child") + "; wait");
  server().signal(SIGUSR2);
  ASSERT_TRUE(server().wait_for_event("upgrade_failed"));
  EXPECT_EQ(stop(), 0);
  EXPECT_EQ(RawClient(address()).connect_error(), ECONNREFUSED);
  int child = 0;
  std::ifstream(in_folder("child")) >> child;
  if (child > 0) ::kill(child, SIGKILL);
}

TEST_P(Upgrade, CommandReplacesAndTellsOfIt) {
  const std::string admin = "unix:" + in_folder("admin.sock");
  start_copy({"--admin", admin});
  const Finished replaced = run_to_end({"upgrade", "--admin", admin});
  EXPECT_EQ(replaced.exit_code, 0) << replaced.errors;
  const pid_t former = server().pid();
  ASSERT_EQ(server().follow(), 0);
  EXPECT_EQ(replaced.output,
            "replaced: pid " + std::to_string(former) + " by pid " + std::to_string(server().pid()) + "\n");
  install("exit 4");
  const Finished failed = run_to_end({"upgrade", "--admin", admin});
  EXPECT_EQ(failed.exit_code, 1);
  EXPECT_EQ(failed.errors, "lastcall: the new process failed: exited with status 4\n");
  EXPECT_EQ(RawClient(admin).ask(post_request("/upgrade", "", "Origin: http://elsewhere.example\r\n")).status,
            403);
  const Finished nobody = run_to_end({"upgrade", "--admin", "unix:" + in_folder("nobody.sock")});
  EXPECT_EQ(nobody.exit_code, 1);
  EXPECT_NE(nobody.errors.find("nobody.sock"), std::string::npos);
}

TEST_P(Upgrade, OptionsThatWereReloadedHoldForItsStop) {
  const std::string config = in_folder("config.toml");
  write_file(config, "deadline = \"20s\"\n");
  start({"--config", config});
  write_file(config, "deadline = \"7s\"\n");
  server().signal(SIGHUP);
  ASSERT_TRUE(server().wait_for_event("reloaded"));
  replace();
  const auto stopped = server().wait_for_event("stop_requested");
  ASSERT_TRUE(stopped);
  EXPECT_EQ(log_field(*stopped, "deadline"), "7s");
}

TEST_P(Upgrade, NewProcessThatExitsChangesNothing) {
  start_copy({});
  RawClient client = connect();
  install("exit 3");
  server().signal(SIGUSR2);
  const auto failed = server().wait_for_event("upgrade_failed");
  ASSERT_TRUE(failed);
  EXPECT_EQ(log_field(*failed, "why"), "exited with status 3");
  EXPECT_EQ(client.ask(get_request("/plaintext")).status, 200);
  EXPECT_EQ(get("/plaintext").status, 200);
  std::filesystem::remove(binary_);
  server().signal(SIGUSR2);
  ASSERT_TRUE(server().wait_for_line("No such file or directory"));
  EXPECT_EQ(get("/plaintext").status, 200);
  install_again();
  server().signal(SIGUSR2);
  EXPECT_EQ(server().follow(), 0) << "and the next attempt can succeed";
  EXPECT_EQ(client.ask(get_request("/plaintext")).status, 200);
}

TEST_P(Upgrade, NewProcessThatCannotStartSaysWhy) {
  const std::string config = in_folder("config.toml");
  write_file(config, "");
  start({"--config", config});
  write_file(config, "admin = \"unix:/nowhere/at/all\"\n");
  server().signal(SIGUSR2);
  const auto failed = server().wait_for_event("upgrade_failed");
  ASSERT_TRUE(failed);
  EXPECT_NE(failed->find("--admin: listen unix:/nowhere/at/all"), std::string::npos) << *failed;
  EXPECT_EQ(get("/plaintext").status, 200);
}

TEST_P(Upgrade, NewProcessThatHangsIsKilled) {
  start_copy({"--upgrade-timeout", "200ms"});
  install("exec sleep 60");
  server().signal(SIGUSR2);
  const int successor = successor_of(server());
  server().signal(SIGUSR2);
  const auto refused = server().wait_for_event("upgrade_refused");
  ASSERT_TRUE(refused);
  EXPECT_EQ(log_field(*refused, "why"), "one is under way");
  const auto failed = server().wait_for_event("upgrade_failed");
  ASSERT_TRUE(failed);
  EXPECT_NE(failed->find("not ready in 200 ms"), std::string::npos) << *failed;
  EXPECT_TRUE(is_gone(successor));
  EXPECT_EQ(get("/plaintext").status, 200);
}

TEST_P(Upgrade, StopEndsAnAttempt) {
  start_copy({});
  install("exec sleep 60");
  server().signal(SIGUSR2);
  const int successor = successor_of(server());
  EXPECT_EQ(stop(), 0);
  EXPECT_TRUE(is_gone(successor));
}

TEST_P(Upgrade, IsRefusedInAStop) {
  start();
  RawClient slow = connect();
  slow.send(get_request("/sleep?ms=300"));
  settle();
  begin_stop();
  server().signal(SIGUSR2);
  const auto refused = server().wait_for_event("upgrade_refused");
  ASSERT_TRUE(refused);
  EXPECT_EQ(log_field(*refused, "why"), "stopping");
  EXPECT_EQ(slow.read_answer().status, 200);
  slow.close();
  EXPECT_EQ(wait_exit(), 0);
}

TEST_P(Upgrade, SecondSignalForcesTheFormer) {
  start();
  RawClient slow = connect();
  slow.send(get_request("/sleep?ms=60000"));
  settle();
  const pid_t former = server().pid();
  server().signal(SIGUSR2);
  ASSERT_TRUE(server().wait_for_event("drain_started"));
  ::kill(former, SIGTERM);
  ::kill(former, SIGINT);
  EXPECT_EQ(server().follow(), 2);
  EXPECT_EQ(slow.read_answer().status, 503);
  EXPECT_EQ(get("/plaintext").status, 200) << "the successor has nothing to do with it";
}

TEST_P(Upgrade, ManyIdleConnectionsLiveOn) {
  constexpr int kMany = 2000;
  start({"--reactors", "2"});
  std::vector<RawClient> crowd;
  for (int i = 0; i < kMany; ++i) {
    crowd.push_back(connect());
    ASSERT_TRUE(i % 2 != 0 || crowd.back().ask(get_request("/plaintext")).status == 200);
  }
  for (size_t i = 1; i < kMany; i += 2) ASSERT_EQ(crowd[i].ask(get_request("/plaintext")).status, 200);
  replace();
  EXPECT_EQ(handed_over(), uint64_t{kMany});
  for (RawClient& client : crowd) ASSERT_EQ(client.ask(get_request("/plaintext")).status, 200);
}

/// The test is the former process.
class Successor : public EndToEnd {
 protected:
  static constexpr int kChannel = 7;

  void SetUp() override {
    EndToEnd::SetUp();
    open_channel();
  }
  void open_channel() {
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    ours_ = Fd(ends[0]);
    theirs_ = Fd(ends[1]);
  }
  void launch(const std::string& channel = std::to_string(kChannel)) {
    ProcessOptions options;
    options.environment = {"LASTCALL_HANDOVER=" + channel};
    options.inherited = {{theirs_.get(), kChannel}};
    server_ = std::make_unique<ServerProcess>(
        lastcall_binary(), Arguments{"demo", "--listen", "127.0.0.1:0", "--io", GetParam()}, options);
    theirs_.reset();
    if (channel == std::to_string(kChannel)) {
      EXPECT_EQ(hear(), "K");
    }
  }
  void say(const std::string& message) const {
    ASSERT_EQ(::send(ours_.get(), message.data(), message.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(message.size()));
  }
  [[nodiscard]] std::string hear() const {
    char bytes[9000];
    const ssize_t got = ::recv(ours_.get(), bytes, sizeof bytes, 0);
    return got > 0 ? std::string(bytes, static_cast<size_t>(got)) : "";
  }
  void expect_refusal(const std::string& why) {
    EXPECT_EQ(server().wait_exit(), 1);
    EXPECT_NE(server().log().find(why), std::string::npos) << server().log();
    const std::string told = hear();
    EXPECT_EQ(told.substr(0, 1), "X");
    EXPECT_NE(told.find(why), std::string::npos) << told;
  }

  Fd ours_;
  Fd theirs_;
};
LASTCALL_ON_BOTH_BACKENDS(Successor);

TEST_P(Successor, RefusesAnotherVersion) {
  launch();
  say(R"(H{"version":99,"something":"else"})");
  expect_refusal("speaks version 99 of the hand-over, this binary version 1");
}

TEST_P(Successor, RefusesWhatIsNoHello) {
  for (const char* message : {"Hello", "H[]", "H{\"version\":1}", "L{}", "H{\"version\":-1}"}) {
    open_channel();
    launch();
    say(message);
    expect_refusal("hand-over: ");
  }
}

TEST_P(Successor, RefusesAListenerThatIsNone) {
  launch();
  say(R"(H{"version":1,"lastcall":"1","listeners":1})");
  say(R"(L{"address":"x","admin":false,"tier":"parking","note":"","sockets":1})");
  say("D");
  expect_refusal("hand-over: ");
}

TEST_P(Successor, EndsWhenTheFormerIsGone) {
  launch();
  say(R"(H{"version":1,"lastcall":"1","listeners":0})");
  EXPECT_EQ(hear(), R"(R{"taken":[]})");
  ours_.reset();
  EXPECT_EQ(server().wait_exit(), 1);
  EXPECT_EQ(server().log().find("event=ready"), std::string::npos);
}

TEST_P(Successor, ServesWhenItIsTold) {
  launch();
  say(R"(H{"version":1,"lastcall":"1","listeners":0})");
  EXPECT_EQ(hear(), R"(R{"taken":[]})");
  say("G");
  ASSERT_TRUE(server().wait_for_event("ready"));
  say("C");  // without its connection
  say("?");
  ours_.reset();
  ASSERT_TRUE(server().wait_for_event("predecessor_gone"));
  EXPECT_EQ(RawClient(server().addresses().at(0)).ask(get_request("/plaintext")).status, 200);
}

TEST_P(Successor, NameOfNoChannelIsAnError) {
  for (const char* name : {"", "x", "0", "2", "7x", "999", "-1"}) {
    open_channel();
    launch(name);
    EXPECT_EQ(server().wait_exit(), 1) << name;
    EXPECT_NE(server().log().find("LASTCALL_HANDOVER"), std::string::npos) << server().log();
  }
}

}  // namespace
}  // namespace lastcall::e2e
