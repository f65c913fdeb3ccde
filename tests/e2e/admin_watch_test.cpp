#include <sstream>
#include <thread>

#include "tests/e2e/admin_fixture.hpp"

namespace lastcall::e2e {
namespace {

using testing::HasSubstr;

/// What people and their tools see of a server: metrics, requests in flight, events, the page.
class AdminWatch : public Admin {
 protected:
  [[nodiscard]] Json requests() const {
    const HttpAnswer answer = look("/status?requests=1");
    EXPECT_EQ(answer.status, 200);
    Json parsed = Json::parse(answer.body, nullptr, false);
    EXPECT_FALSE(parsed.is_discarded()) << answer.body;
    return parsed.at("reactors").at(0);
  }
  /// As soon as there are that many, or else what there is after some seconds.
  [[nodiscard]] Json await_in_flight(size_t count) const {
    Json told;
    for (const Clock::time_point limit = Clock::now() + 5s; Clock::now() < limit;) {
      told = requests().at("in_flight");
      if (told.size() == count) break;
      std::this_thread::sleep_for(5ms);
    }
    return told;
  }
  [[nodiscard]] double metric(const std::string& name) const {
    std::istringstream lines(look("/metrics").body);
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with(name + " ")) return std::stod(line.substr(name.size()));
    }
    ADD_FAILURE() << "no " << name;
    return -1;
  }
  /// The next event of a stream: its type (empty: a status) and what it tells.
  static std::pair<std::string, Json> next_event(RawClient& stream) {
    std::string type;
    for (;;) {
      const std::string line = stream.read_until("\n");
      if (line.empty()) return {"end", {}};
      if (line.starts_with("event: ")) type = line.substr(7, line.size() - 8);
      if (line.starts_with("data: ")) return {type, Json::parse(line.substr(6), nullptr, false)};
    }
  }
  [[nodiscard]] RawClient follow() const {
    RawClient client = watch();
    client.send("GET /status/stream HTTP/1.0\r\nHost: test\r\n\r\n");  // events as they are, without chunks
    return client;
  }
};
LASTCALL_ON_BOTH_BACKENDS(AdminWatch);

TEST_P(AdminWatch, MetricsCountAnswersByClass) {
  start();
  const HttpAnswer answer = look("/metrics");
  EXPECT_EQ(answer.header("Content-Type"), "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_THAT(answer.body, HasSubstr("lastcall_build_info{version=\"0."));
  EXPECT_EQ(metric("lastcall_ready"), 1);
  const std::string of = "lastcall_responses_total{reactor=\"0\",code=";
  RawClient client = connect();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(client.ask(get_request("/plaintext")).status, 200);
  EXPECT_EQ(client.ask(get_request("/nowhere")).status, 404);
  EXPECT_EQ(client.ask(get_request("/throw")).status, 500);
  EXPECT_EQ(client.ask("GET / HTTP/1.1\r\n\r\n").status, 400) << "refused before it has a route";
  RawClient socket = connect();
  socket.send(get_request("/ws",
                          "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"));
  EXPECT_THAT(socket.read_until("\r\n\r\n"), HasSubstr("101"));
  EXPECT_EQ(metric(of + "\"1xx\"}"), 1);
  EXPECT_EQ(metric(of + "\"2xx\"}"), 3);
  EXPECT_EQ(metric(of + "\"3xx\"}"), 0);
  EXPECT_EQ(metric(of + "\"4xx\"}"), 2);
  EXPECT_EQ(metric(of + "\"5xx\"}"), 1);
  EXPECT_GT(metric("lastcall_sent_bytes_total{reactor=\"0\"}"), 300);
  EXPECT_EQ(metric("lastcall_connections_accepted_total{reactor=\"0\"}"), 2);
}

TEST_P(AdminWatch, DescriptorsAreThoseOfTheProcess) {
  start();
  RawClient watcher = watch();
  const auto open = [&] {
    return Json::parse(watcher.ask(get_request("/status")).body).at("descriptors").at("open").get<size_t>();
  };
  const size_t before = open();
  EXPECT_EQ(before, server().descriptors());
  RawClient client = connect();
  EXPECT_EQ(client.ask(get_request("/plaintext")).status, 200);
  EXPECT_EQ(open(), before + 1);
}

TEST_P(AdminWatch, MetricsAnswerWhileTheReactorIsStuck) {
  start();
  RawClient hog = hog_the_reactor(1500);
  EXPECT_EQ(metric("lastcall_ready"), 1);
  while (metric("lastcall_loop_lag_seconds{reactor=\"0\"}") < 0.3) ASSERT_FALSE(hog.readable(10ms));
  EXPECT_EQ(hog.read_answer().status, 200);
}

TEST_P(AdminWatch, MetricsTellOfTheStop) {
  start({"--deadline", "20s"});
  EXPECT_THAT(look("/metrics").body, testing::Not(HasSubstr("stop_remaining")));
  RawClient busy = connect();
  busy.send(get_request("/sleep?ms=700"));
  settle();
  begin_stop();
  EXPECT_EQ(metric("lastcall_ready"), 0);
  EXPECT_EQ(metric("lastcall_phase{phase=\"draining\"}"), 1);
  const double remaining = metric("lastcall_stop_remaining_seconds");
  EXPECT_LE(remaining, 20);
  EXPECT_GT(remaining, 10);
  EXPECT_EQ(busy.read_answer().status, 200);
  busy.close();
  EXPECT_EQ(wait_exit(), 0);
}

TEST_P(AdminWatch, ListsRequestsInFlightWithTheirAge) {
  start();
  RawClient idle = connect();
  EXPECT_EQ(idle.ask(get_request("/plaintext")).status, 200);
  RawClient busy = connect();
  busy.send(get_request("/sleep?ms=3000&x"));
  Json told = await_in_flight(1);
  ASSERT_EQ(told.size(), 1u) << told;
  EXPECT_EQ(told[0].at("method"), "GET");
  EXPECT_EQ(told[0].at("target"), "/sleep?ms=3000&x");
  EXPECT_EQ(told[0].at("route"), "/sleep");
  EXPECT_EQ(told[0].at("state"), "handling");
  EXPECT_EQ(told[0].at("peer"), busy.local_address());
  EXPECT_EQ(told[0].at("bytes_sent"), 0);
  const int64_t age = told[0].at("age_ms");
  int64_t later = age;
  while (later < age + 100) {
    told = requests().at("in_flight");
    ASSERT_EQ(told.size(), 1u);
    ASSERT_GE(told[0].at("age_ms").get<int64_t>(), later);
    later = told[0].at("age_ms");
  }
  RawClient half = connect();
  half.send("POST /upload HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nhalf");
  RawClient head = connect();
  head.send("GET /plain");
  told = await_in_flight(3);
  ASSERT_EQ(told.size(), 3u) << told;
  EXPECT_EQ(told[0].at("target"), "/sleep?ms=3000&x") << "the oldest first";
  for (const Json& request : told) EXPECT_GE(told[0].at("age_ms"), request.at("age_ms"));
  EXPECT_EQ(requests().at("in_flight_unlisted"), 0);
  EXPECT_FALSE(status().at("reactors")[0].contains("in_flight")) << "only where it is asked for";
}

TEST_P(AdminWatch, ListsAHundredAndCountsTheRest) {
  start();
  std::vector<RawClient> clients;
  for (int i = 0; i < 103; ++i) {
    clients.push_back(connect());
    clients.back().send(get_request("/sleep?ms=60000&n=" + std::to_string(i)));
  }
  settle();
  EXPECT_EQ(await_in_flight(100).size(), 100u);
  EXPECT_EQ(requests().at("in_flight_unlisted"), 3);
  for (RawClient& client : clients) client.reset();
  EXPECT_EQ(await_in_flight(0).size(), 0u);
}

TEST_P(AdminWatch, NamesTheHandlerThatAReactorIsStuckIn) {
  start();
  RawClient hog = hog_the_reactor(2000);
  const Clock::time_point began = Clock::now();
  const Json told = requests();
  EXPECT_LE(Clock::now() - began, 1s) << "it waits for 50 ms";
  EXPECT_EQ(told.at("in_flight"), nullptr);
  EXPECT_EQ(told.at("stuck_in"), "/spin");
  for (int i = 0; i < 20; ++i) static_cast<void>(requests());  // questions that wait in its mailbox
  EXPECT_EQ(hog.read_answer().status, 200);
  hog.close();
  EXPECT_EQ(await_in_flight(0).size(), 0u);
}

TEST_P(AdminWatch, StreamsTheStatusUntilTheServerLeaves) {
  start();
  RawClient busy = connect();
  busy.send(get_request("/sleep?ms=2500"));
  settle();
  RawClient stream = follow();
  const std::string head = stream.read_until("\r\n\r\n");
  EXPECT_THAT(head, HasSubstr("200 OK"));
  EXPECT_THAT(head, HasSubstr("Content-Type: text/event-stream"));
  const auto [type, first] = next_event(stream);
  EXPECT_EQ(type, "");
  EXPECT_EQ(first.at("phase"), "running");
  EXPECT_EQ(first.at("reactors")[0].at("in_flight").size(), 1u);
  const auto [second_type, second] = next_event(stream);
  EXPECT_GE(second.at("uptime").get<double>() - first.at("uptime").get<double>(), 0.9);
  begin_stop();
  const Clock::time_point began = Clock::now();
  std::vector<std::string> phases;
  std::pair<std::string, Json> event;
  for (event = next_event(stream); event.first.empty(); event = next_event(stream)) {
    if (phases.empty()) {
      EXPECT_LE(Clock::now() - began, 800ms) << "at once, not when it is due";
    }
    phases.push_back(event.second.at("phase"));
  }
  EXPECT_EQ(phases.at(0), "draining");
  EXPECT_EQ(event.first, "bye");
  EXPECT_EQ(event.second.at("phase"), "stopped");
  EXPECT_EQ(event.second.at("reactors")[0].at("active"), 0);
  EXPECT_EQ(stream.read_all().second, StreamEnd::eof);
  EXPECT_EQ(wait_exit(), 0);
}

TEST_P(AdminWatch, StreamsAreLimited) {
  start();
  std::vector<RawClient> streams;
  for (int i = 0; i < 16; ++i) {
    streams.push_back(follow());
    EXPECT_THAT(streams.back().read_until("\r\n"), HasSubstr("200"));
  }
  const HttpAnswer answer = look("/status/stream");
  EXPECT_EQ(answer.status, 503);
  EXPECT_EQ(answer.header("Retry-After"), "1");
  EXPECT_EQ(look("/status").status, 200);
  streams.pop_back();
  bool taken = false;
  for (const Clock::time_point limit = Clock::now() + 5s; !taken && Clock::now() < limit;) {
    RawClient again = follow();
    taken = again.read_until("\r\n").find("200") != std::string::npos;
  }
  EXPECT_TRUE(taken) << "who has left makes room";
}

TEST_P(AdminWatch, ThePageIsServedWithAStrictPolicy) {
  start();
  const HttpAnswer page = look("/");
  EXPECT_EQ(page.status, 200);
  EXPECT_EQ(page.header("Content-Type"), "text/html; charset=utf-8");
  const std::string policy = page.header("Content-Security-Policy");
  EXPECT_THAT(policy, testing::StartsWith("default-src 'none'"));
  const size_t at = policy.find("script-src 'nonce-") + 18;
  const std::string nonce = policy.substr(at, policy.find('\'', at) - at);
  EXPECT_EQ(nonce.size(), 32u);
  EXPECT_THAT(page.body, HasSubstr("<script nonce=\"" + nonce + "\">"));
  EXPECT_THAT(page.body, HasSubstr("EventSource"));
  EXPECT_EQ(page.header("X-Content-Type-Options"), "nosniff");
  EXPECT_NE(look("/").header("Content-Security-Policy"), policy) << "a new nonce each time";
}

TEST_P(AdminWatch, ADrainThatAPageOfAnotherSiteSendsIsRefused) {
  start();
  RawClient client = watch();
  const auto drain = [&](const std::string& host, const std::string& fields) {
    return client.ask("POST /drain HTTP/1.1\r\nHost: " + host + "\r\n" + fields +
                      "Content-Length: 0\r\n\r\n");
  };
  EXPECT_EQ(drain(admin(), "Sec-Fetch-Site: cross-site\r\n").status, 403);
  EXPECT_EQ(drain(admin(), "Sec-Fetch-Site: same-site\r\n").status, 403);
  EXPECT_EQ(drain(admin(), "Origin: http://evil.example\r\n").status, 403);
  EXPECT_EQ(drain(admin(), "Origin: null\r\n").status, 403);
  EXPECT_EQ(drain("evil.example", "Origin: http://evil.example\r\nSec-Fetch-Site: same-origin\r\n").status,
            403);
  EXPECT_EQ(client.ask(get_request("/readyz")).status, 200) << "nothing has begun";
  EXPECT_EQ(drain(admin(), "Origin: http://" + admin() + "\r\nSec-Fetch-Site: same-origin\r\n").status, 202);
  EXPECT_EQ(wait_exit(), 0);
}

/// `lastcall status|drain|top` against a real server.
class AdminCommands : public AdminWatch {};
LASTCALL_ON_BOTH_BACKENDS(AdminCommands);

TEST_P(AdminCommands, StatusIsATableOrJson) {
  start();
  RawClient busy = connect();
  busy.send(get_request("/sleep?ms=60000"));
  settle();
  const Finished table = run_to_end({"status", "--admin", admin()});
  EXPECT_EQ(table.exit_code, 0) << table.errors;
  EXPECT_THAT(table.output, HasSubstr("pid " + std::to_string(server().pid())));
  EXPECT_THAT(table.output, HasSubstr("running, ready\n"));
  EXPECT_THAT(table.output, HasSubstr("GET /sleep?ms=60000"));
  EXPECT_THAT(table.output, testing::Not(HasSubstr("\x1b"))) << "no terminal, no escape sequences";
  const Finished json = run_to_end({"status", "--json"}, {.environment = {"LASTCALL_ADMIN=" + admin()}});
  EXPECT_EQ(json.exit_code, 0) << json.errors;
  EXPECT_EQ(Json::parse(json.output).at("pid"), server().pid());
  const Finished top = run_to_end({"top", "--once", "--admin", admin()});
  EXPECT_EQ(top.exit_code, 0) << top.errors;
  EXPECT_THAT(top.output, HasSubstr("GET /sleep?ms=60000"));
  EXPECT_THAT(top.output, testing::Not(HasSubstr("\x1b")));
  busy.reset();
}

TEST_P(AdminCommands, StatusTellsOfAStuckReactor) {
  start();
  RawClient hog = hog_the_reactor(1500);
  const Finished table = run_to_end({"status", "--admin", admin()});
  EXPECT_EQ(table.exit_code, 0) << table.errors;
  EXPECT_THAT(table.output, HasSubstr("reactor 0 does not answer: it is in the handler of /spin"));
  EXPECT_EQ(hog.read_answer().status, 200);
}

TEST_P(AdminCommands, DrainFollowsTheStopToItsEnd) {
  start();
  RawClient busy = connect();
  busy.send(get_request("/sleep?ms=1500"));
  settle();
  const Finished drain = run_to_end({"drain", "--admin", admin()});
  EXPECT_EQ(drain.exit_code, 0) << drain.errors;
  EXPECT_THAT(drain.output, HasSubstr("draining: 1 active"));
  EXPECT_THAT(drain.output, HasSubstr("stopped: pid " + std::to_string(server().pid())));
  EXPECT_EQ(RawClient(admin()).connect_error(), ECONNREFUSED);
  EXPECT_EQ(busy.read_answer().body, "slept 1500 ms\n");
  EXPECT_EQ(wait_exit(), 0);
  EXPECT_EQ(report().at("reason"), "POST /drain");
}

TEST_P(AdminCommands, WorkOverAUnixSocket) {
  start({"--admin", "unix:" + socket_path()});
  EXPECT_EQ(run_to_end({"status", "--admin", admin()}).exit_code, 0);
  const Finished drain = run_to_end({"drain", "--json", "--admin", admin()});
  EXPECT_EQ(drain.exit_code, 0) << drain.errors;
  const Json told = Json::parse(drain.output, nullptr, false);
  ASSERT_FALSE(told.is_discarded()) << drain.output;
  EXPECT_EQ(told.at("stopped"), true);
  EXPECT_EQ(told.at("pid"), server().pid());
  EXPECT_EQ(wait_exit(), 0);
}

TEST_P(AdminCommands, DrainNeedNotWait) {
  start();
  RawClient busy = connect();
  busy.send(get_request("/sleep?ms=1000"));
  settle();
  const Finished drain = run_to_end({"drain", "--no-wait", "--admin", admin()});
  EXPECT_EQ(drain.exit_code, 0) << drain.errors;
  EXPECT_THAT(drain.output, HasSubstr("stopping: pid "));
  EXPECT_EQ(server().wait_exit(0s), std::nullopt);
  EXPECT_EQ(busy.read_answer().status, 200);
  busy.close();
  EXPECT_EQ(wait_exit(), 0);
}

TEST(AdminCommandLine, MistakesAreExitCode1AndNameTheAddress) {
  struct Mistake {
    Arguments arguments;
    const char* message;
  };
  const std::vector<Mistake> mistakes = {
      {{"status"}, "--admin ADDR"},
      {{"status", "--admin", "127.0.0.1:1"}, "127.0.0.1:1: Connection refused"},
      {{"drain", "--admin", "unix:/nonexistent/x.sock"}, "unix:/nonexistent/x.sock"},
      {{"top", "--once", "--admin", "127.0.0.1:1"}, "127.0.0.1:1"},
      {{"top", "--admin", "nonsense"}, "nonsense"},
      {{"status", "--admin", "fd:3"}, "fd:3"},
      {{"status", "--admin", "127.0.0.1:0"}, "port 0"},
      {{"status", "--once"}, "--once"},
      {{"drain", "--listen", ":0"}, "--listen"},
      {{"top", "--json"}, "--json"},
  };
  for (const Mistake& mistake : mistakes) {
    const Finished finished = run_to_end(mistake.arguments);
    EXPECT_EQ(finished.exit_code, 1) << mistake.message;
    EXPECT_THAT(finished.errors, HasSubstr(mistake.message));
    EXPECT_EQ(finished.output, "") << mistake.message;
  }
}

TEST_P(AdminCommands, OfSomethingElseIsNoStatus) {
  start();
  const Finished finished = run_to_end({"status", "--admin", address()});
  EXPECT_EQ(finished.exit_code, 1);
  EXPECT_THAT(finished.errors, HasSubstr("status 404"));
}

}  // namespace
}  // namespace lastcall::e2e
