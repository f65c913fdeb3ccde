#include <cerrno>
#include <chrono>
#include <set>
#include <thread>

#include "tests/e2e/admin_fixture.hpp"

namespace lastcall::e2e {
namespace {

using testing::HasSubstr;

LASTCALL_ON_BOTH_BACKENDS(Admin);

TEST_P(Admin, AnswersItsRoutes) {
  start();
  EXPECT_THAT(admin(), testing::StartsWith("127.0.0.1:"));
  EXPECT_NE(admin(), "127.0.0.1:0");
  for (const char* target :
       {"/livez", "/readyz", "/status", "/status?pretty", "/status?requests=1", "/metrics", "/"}) {
    const HttpAnswer answer = look(target);
    EXPECT_EQ(answer.status, 200) << target;
    EXPECT_EQ(answer.header("Cache-Control"), "no-store") << target;
    RawClient client = watch();
    client.send("HEAD " + std::string(target) + " HTTP/1.1\r\nHost: test\r\n\r\n");
    const HttpAnswer head = client.read_answer(true);
    EXPECT_EQ(head.status, 200) << target;
    EXPECT_NE(head.header("Content-Length"), "0") << target;
  }
  for (const char* target : {"/index.html", "/plaintext", "/livez/x", "/drain/now"}) {
    EXPECT_EQ(look(target).status, 404) << target;
  }
}

TEST_P(Admin, RefusesOtherMethods) {
  start();
  RawClient client = watch();
  for (const char* target : {"/livez", "/readyz", "/status"}) {
    const HttpAnswer answer = client.ask(post_request(target, "x"));
    EXPECT_EQ(answer.status, 405) << target;
    EXPECT_EQ(answer.header("Allow"), "GET, HEAD, OPTIONS") << target;
  }
  const HttpAnswer answer = client.ask(get_request("/drain"));
  EXPECT_EQ(answer.status, 405);
  EXPECT_EQ(answer.header("Allow"), "POST, OPTIONS");
  EXPECT_EQ(client.ask(get_request("/readyz")).status, 200) << "nothing has begun";
}

TEST_P(Admin, StatusTellsOfTheServer) {
  start({"--reactors", "2"});
  const std::string listening = server().wait_for_event("listening").value_or("");
  const Json told = status();
  EXPECT_THAT(told.at("version").get<std::string>(), testing::StartsWith("0."));
  EXPECT_EQ(told.at("pid"), server().pid());
  EXPECT_EQ(told.at("io"), GetParam());
  EXPECT_EQ(told.at("phase"), "running");
  EXPECT_GE(told.at("uptime").get<double>(), 0);
  EXPECT_LT(told.at("uptime").get<double>(), 60);
  ASSERT_EQ(told.at("listeners").size(), 1u);
  EXPECT_EQ(told.at("listeners")[0].at("address"), address());
  EXPECT_EQ(told.at("listeners")[0].at("gate"), log_field(listening, "gate"));
  ASSERT_EQ(told.at("reactors").size(), 2u);
  EXPECT_EQ(told.at("reactors")[1].at("id"), 1);
}

TEST_P(Admin, StatusNamesTheGateThatWasChosen) {
  start({"--gate", "plain", "--listen", "127.0.0.1:0", "--listen", "unix:" + socket_path()});
  const Json listeners = status().at("listeners");
  ASSERT_EQ(listeners.size(), 2u);
  EXPECT_EQ(listeners[0].at("gate"), "plain");
  EXPECT_EQ(listeners[1].at("address"), "unix:" + socket_path());
  EXPECT_EQ(listeners[1].at("gate"), "unix");
}

TEST_P(Admin, StatusCountsConnectionsOfTheServerAlone) {
  start();
  settle();
  const std::string request = post_request("/echo", "both halves");
  RawClient busy = connect();
  busy.send(request.substr(0, request.size() - 5));
  RawClient watcher = watch();
  for (int i = 0; i < 5; ++i) {
    settle();
    EXPECT_EQ(watcher.ask(get_request("/livez")).status, 200);
  }
  const Json expected = {{"accepted", 2},    {"accepted_while_stopping", 0},
                         {"active", 1},      {"idle", 1},
                         {"idle_closed", 0}, {"completed", 0},
                         {"aborted", 0}};
  EXPECT_EQ(await_counters(expected), expected);
  busy.send(request.substr(request.size() - 5));
  EXPECT_EQ(busy.read_answer().body, "both halves");
  busy.close();
  EXPECT_EQ(stop(), 0);
  EXPECT_EQ(total(report(), "accepted"), 2u);
}

TEST_P(Admin, IsNotReadyFromTheAnnounceOn) {
  start({"--announce", "700ms"});
  RawClient watcher = watch();
  EXPECT_EQ(watcher.ask(get_request("/readyz")).status, 200);
  server().signal(SIGTERM);
  ASSERT_TRUE(server().wait_for_event("announcing"));
  const HttpAnswer answer = watcher.ask(get_request("/readyz"));
  EXPECT_EQ(answer.status, 503);
  EXPECT_TRUE(answer.complete);
  EXPECT_EQ(look("/readyz").status, 503);
  EXPECT_EQ(look("/livez").status, 200);
  EXPECT_EQ(phase(), "announcing");
  EXPECT_EQ(get("/plaintext").status, 200) << "still serving";
  EXPECT_EQ(server().wait_for_event("drain_started", 0s), std::nullopt);
  EXPECT_EQ(wait_exit(), 0);
}

TEST_P(Admin, AnswersThroughTheDrain) {
  start();
  RawClient watcher = watch();
  EXPECT_EQ(watcher.ask(get_request("/livez")).status, 200);
  RawClient busy = connect();
  busy.send(get_request("/sleep?ms=1000"));
  settle();
  begin_stop_for_good();
  EXPECT_EQ(watcher.ask(get_request("/livez")).header("Connection"), "") << "whoever watches may stay";
  EXPECT_EQ(watcher.ask(get_request("/readyz")).status, 503);
  EXPECT_EQ(look("/readyz").status, 503);
  EXPECT_EQ(look("/livez").status, 200);
  const Json told = status();
  EXPECT_EQ(told.at("phase"), "draining");
  EXPECT_EQ(told.at("reactors")[0].at("active"), 1);
  EXPECT_EQ(busy.read_answer().body, "slept 1000 ms\n");
  busy.close();
  EXPECT_EQ(watcher.read_all(), std::pair(std::string(), StreamEnd::eof));
  EXPECT_EQ(wait_exit(), 0);
  EXPECT_EQ(RawClient(admin()).connect_error(), ECONNREFUSED);
  EXPECT_EQ(total(report(), "accepted"), total(report(), "completed") + total(report(), "idle_closed"));
  EXPECT_EQ(report().at("late_requests"), 0);
}

TEST_P(Admin, DrainBeginsTheStop) {
  start();
  RawClient busy = connect();
  busy.send(get_request("/sleep?ms=300"));
  settle();
  RawClient watcher = watch();
  const HttpAnswer answer = watcher.ask(post_request("/drain", ""));
  EXPECT_EQ(answer.status, 202);
  EXPECT_EQ(watcher.ask(get_request("/readyz")).status, 503);
  EXPECT_EQ(busy.read_answer().body, "slept 300 ms\n");
  busy.close();
  EXPECT_EQ(wait_exit(), 0);
  EXPECT_EQ(report().at("reason"), "POST /drain");
}

TEST_P(Admin, ShowsAReactorThatIsStuck) {
  start();
  EXPECT_LT(loop_lag_us(), 1'000'000);
  RawClient hog = hog_the_reactor(1500);
  int64_t lag = 0;
  while (lag < 500'000) {
    const int64_t now = loop_lag_us();
    ASSERT_GE(now, lag) << "it grows as long as the reactor is stuck";
    lag = now;
    ASSERT_FALSE(hog.readable(10ms)) << "too late to see it: " << lag;
  }
  EXPECT_EQ(look("/livez").status, 200);
  EXPECT_EQ(look("/readyz").status, 200);
  EXPECT_EQ(hog.read_answer().status, 200);
  EXPECT_GE(loop_lag_us(), 500'000) << "it was of late";
}

TEST_P(Admin, ShowsEveryPhaseOfAStopWithAStuckReactor) {
  start({"--deadline", "2s"});
  RawClient hog = hog_the_reactor(60'000);
  RawClient silent = watch_without_reading();
  RawClient watcher = watch();
  for (int i = 0; i < 20; ++i) {  // turns, in which the thread gets through with that one
    EXPECT_EQ(watcher.ask(get_request("/livez")).status, 200);
  }
  const Clock::time_point began = Clock::now();
  server().signal(SIGTERM);
  std::set<std::string> phases;
  for (;;) {
    const HttpAnswer answer = watcher.ask(get_request("/status"));
    if (answer.status != 200) break;  // nothing, or 503 for a request that came with its end
    phases.insert(Json::parse(answer.body).at("phase").get<std::string>());
  }
  EXPECT_EQ(wait_exit(), 2);
  EXPECT_LE(Clock::now() - began, 2s + kLate);
  for (const char* name : {"draining", "forcing", "stopped"}) EXPECT_TRUE(phases.contains(name)) << name;
  EXPECT_EQ(report().at("aborted").size(), 1u);
  EXPECT_EQ(total(report(), "accepted"), 1u);
}

// Whoever watches is not who the stop waits for.
TEST_P(Admin, NobodyOnItDelaysTheExit) {
  start();
  RawClient silent =
      watch_without_reading();  // takes long on a slow machine; the others would have a 408 by then
  RawClient idle = watch();
  EXPECT_EQ(idle.ask(get_request("/livez")).status, 200);
  RawClient mute = watch();
  RawClient half_head = watch();
  half_head.send("GET /livez HTTP/1.1\r\nHo");
  RawClient half_body = watch();
  half_body.send("POST /drain HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nhalf");
  EXPECT_EQ(look("/livez").status, 200);
  const Clock::time_point began = Clock::now();
  EXPECT_EQ(stop(), 0);
  EXPECT_LE(Clock::now() - began, 20ms + kLate);
  EXPECT_EQ(idle.read_all(), std::pair(std::string(), StreamEnd::eof));
  EXPECT_EQ(mute.read_all(), std::pair(std::string(), StreamEnd::eof));
  EXPECT_EQ(half_head.read_answer().status, 503);
  EXPECT_EQ(report().at("aborted").size(), 0u);
  EXPECT_EQ(total(report(), "accepted"), 0u);
}

TEST_P(Admin, ConnectionBeyondItsLimitGets503) {
  start();
  std::vector<RawClient> inside;
  for (int i = 0; i < 256; ++i) {
    inside.push_back(watch());
    ASSERT_EQ(inside.back().ask(get_request("/livez")).status, 200) << i;
  }
  RawClient outside = watch();
  const HttpAnswer answer = outside.ask(get_request("/livez"));
  EXPECT_EQ(answer.status, 503);
  EXPECT_EQ(answer.header("Retry-After"), "1");
  EXPECT_EQ(outside.read_end(), StreamEnd::eof);
  EXPECT_EQ(get("/plaintext").status, 200) << "a limit of its own";
  inside.pop_back();
  bool served = false;
  for (int i = 0; i < 500 && !served; ++i) {
    served = look("/livez").status == 200;
    if (!served) std::this_thread::sleep_for(10ms);
  }
  EXPECT_TRUE(served);
  EXPECT_EQ(stop(), 0);
  EXPECT_EQ(total(report(), "accepted"), 1u);
}

// Or those that are forgotten would fill it up.
TEST_P(Admin, IdleAndSilentConnectionsEndByThemselves) {
  start({"--idle-timeout", "200ms", "--header-timeout", "200ms", "--body-timeout", "200ms"});
  RawClient idle = watch();
  EXPECT_EQ(idle.ask(get_request("/livez")).status, 200);
  RawClient mute = watch();
  RawClient half_body = watch();
  half_body.send("POST /drain HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nhalf");
  EXPECT_EQ(idle.read_all(), std::pair(std::string(), StreamEnd::eof));
  EXPECT_EQ(mute.read_end(), StreamEnd::eof);
  EXPECT_EQ(half_body.read_answer().status, 408);
  EXPECT_EQ(phase(), "running");
}

TEST_P(Admin, KeepsTheLimitsOfTheServer) {
  start({"--header-timeout", "300ms", "--max-header-bytes", "1k"});
  RawClient slow = watch();
  slow.send("GET /livez HT");
  EXPECT_EQ(slow.read_answer().status, 408);
  EXPECT_EQ(watch().ask(get_request("/livez", "X: " + std::string(2000, 'x') + "\r\n")).status, 431);
}

TEST_P(Admin, OnAUnixSocket) {
  start({"--admin", "unix:" + socket_path()});
  EXPECT_EQ(admin(), "unix:" + socket_path());
  EXPECT_EQ(look("/readyz").status, 200);
  EXPECT_EQ(stop(), 0);
  EXPECT_NE(::access(socket_path().c_str(), F_OK), 0);
}

// But for the watchdog, which ends a process that a busy machine keeps from leaving in time.
TEST_P(Admin, LeavesNoSocketFileBehindAStuckReactor) {
  bool left = true;
  for (int attempt = 0; attempt < 5 && left; ++attempt) {
    start({"--admin", "unix:" + socket_path(), "--deadline", "500ms"});
    RawClient hog = hog_the_reactor(60'000);
    EXPECT_EQ(stop(), 2);
    left = ::access(socket_path().c_str(), F_OK) == 0;
    ::unlink(socket_path().c_str());
  }
  EXPECT_FALSE(left);
}

TEST_P(Admin, AddressInUseIsNamedWithItsHolder) {
  start();
  for (const std::string& taken : {address(), admin()}) {
    const Finished second =
        run_to_end({"demo", "--listen", "127.0.0.1:0", "--io", GetParam(), "--admin", taken});
    EXPECT_EQ(second.exit_code, 1);
    EXPECT_THAT(second.errors, HasSubstr("--admin"));
    EXPECT_THAT(second.errors, HasSubstr(taken));
    EXPECT_THAT(second.errors, HasSubstr("pid " + std::to_string(server().pid()) + " (lastcall)"));
  }
  const Finished second = run_to_end({"demo", "--listen", admin(), "--io", GetParam()});
  EXPECT_EQ(second.exit_code, 1) << "nor can it be joined";
}

TEST(AdminAddress, ThatIsBadIsExitCode1AndNamed) {
  for (const char* address : {"nonsense", "127.0.0.1:70000", "unix:", "fd:x", "fd:77", "192.0.2.1:0"}) {
    const Finished finished = run_to_end({"demo", "--listen", "127.0.0.1:0", "--admin", address});
    EXPECT_EQ(finished.exit_code, 1) << address;
    EXPECT_THAT(finished.errors, HasSubstr("--admin"));
    EXPECT_THAT(finished.errors, HasSubstr(address));
  }
}

/// Whether a server that is started like this has an admin listener.
bool has_admin(Arguments arguments, std::vector<std::string> environment = {}) {
  arguments.insert(arguments.begin(), {"demo", "--listen", "127.0.0.1:0", "--reactors", "1"});
  ServerProcess process(lastcall_binary(), std::move(arguments), {.environment = std::move(environment)});
  EXPECT_TRUE(process.wait_for_event("ready")) << process.log();
  const bool has = process.wait_for_event("admin_listening", 0s).has_value();
  process.signal(SIGTERM);
  EXPECT_EQ(process.wait_exit(), 0);
  return has;
}

TEST(AdminAddress, IsOffUnlessAsked) {
  EXPECT_FALSE(has_admin({}));
  EXPECT_TRUE(has_admin({"--admin", "127.0.0.1:0"}));
  EXPECT_TRUE(has_admin({}, {"LASTCALL_ADMIN=127.0.0.1:0"}));
  EXPECT_FALSE(has_admin({"--admin", "off"}, {"LASTCALL_ADMIN=127.0.0.1:0"}));

  const std::string path = testing::TempDir() + "lastcall-admin-" + std::to_string(::getpid()) + ".toml";
  std::ofstream(path) << "admin = \"127.0.0.1:0\"\n";
  EXPECT_TRUE(has_admin({"--config", path}));
  EXPECT_FALSE(has_admin({"--config", path}, {"LASTCALL_ADMIN=off"}));
  ::unlink(path.c_str());
}

}  // namespace
}  // namespace lastcall::e2e
