// Limits of connections and requests: who is turned away is told so and when to come again, whoever leaves
// makes room, and readiness follows.

#include <thread>

#include "tests/e2e/fixture.hpp"

namespace lastcall::e2e {
namespace {

class TurnedAway : public EndToEnd {
 protected:
  template <class F>
  static bool eventually(F done) {
    for (int i = 0; i < 1000; ++i) {
      if (done()) return true;
      std::this_thread::sleep_for(10ms);
    }
    return false;
  }
  static void expect_turned_away(const HttpAnswer& answer) {
    EXPECT_EQ(answer.status, 503);
    EXPECT_TRUE(answer.complete);
    EXPECT_EQ(answer.header("Retry-After"), "1");
  }
  [[nodiscard]] std::string reason() {
    return log_field(server().wait_for_event("turned_away").value_or(""), "reason");
  }
  void start_with_admin(Arguments arguments) {
    arguments.insert(arguments.end(), {"--admin", "127.0.0.1:0", "--unready-when-full"});
    start(std::move(arguments));
    admin_ = log_field(server().wait_for_event("admin_listening").value_or(""), "address");
  }
  [[nodiscard]] int ready() const {
    return RawClient(admin_).ask(get_request("/readyz", "Connection: close\r\n")).status;
  }

  std::string admin_;
};
LASTCALL_ON_BOTH_BACKENDS(TurnedAway);

TEST_P(TurnedAway, ClientWithTooManyConnections) {
  start({"--max-connections-per-client", "2", "--reactors", "2"});
  std::vector<RawClient> inside;
  for (int i = 0; i < 2; ++i) {
    inside.push_back(connect());
    ASSERT_EQ(inside.back().ask(get_request("/plaintext")).status, 200);
  }
  for (int i = 0; i < 5; ++i) {
    RawClient outside = connect();
    const HttpAnswer answer = outside.read_answer();
    expect_turned_away(answer);
    EXPECT_EQ(answer.header("Connection"), "close");
    EXPECT_EQ(outside.read_end(), StreamEnd::eof);
  }
  EXPECT_EQ(reason(), "per_client");
  for (RawClient& client : inside) EXPECT_EQ(client.ask(get_request("/plaintext")).status, 200);
  inside.pop_back();
  EXPECT_TRUE(eventually([&] { return get("/plaintext").status == 200; }));
}

TEST_P(TurnedAway, ClientsThatVanishMakeRoom) {
  start({"--max-connections-per-client", "3", "--header-timeout", "2s"});
  for (int i = 0; i < 200; ++i) {
    RawClient client = connect();
    if (i % 2 == 0) client.send(get_request(i % 4 == 0 ? "/sleep?ms=60000" : "/plaintext"));
    client.reset();
  }
  std::vector<RawClient> clients(3);
  for (RawClient& client : clients) {
    EXPECT_TRUE(eventually([&] {
      client = connect();
      return client.ask(get_request("/plaintext")).status == 200;
    }));
  }
  expect_turned_away(connect().read_answer());
}

TEST_P(TurnedAway, ClientBehindAProxyIsWhomTheHeaderNames) {
  start({"--max-connections-per-client", "1", "--proxy-protocol", "all", "--trusted-proxies", "loopback"});
  const auto ask_as = [](RawClient& client, const std::string& ip) {
    return client.ask("PROXY TCP4 " + ip + " 127.0.0.1 4444 80\r\n" + get_request("/plaintext"));
  };
  RawClient one = connect();
  EXPECT_EQ(ask_as(one, "192.0.2.1").status, 200);
  RawClient again = connect();
  expect_turned_away(ask_as(again, "192.0.2.1"));
  EXPECT_EQ(again.read_end(), StreamEnd::eof);
  RawClient two = connect();
  EXPECT_EQ(ask_as(two, "192.0.2.2").status, 200);
  std::vector<RawClient> checks(5);
  for (RawClient& check : checks) {
    check = connect();
    EXPECT_EQ(check.ask("PROXY UNKNOWN\r\n" + get_request("/plaintext")).status, 200) << "the proxy itself";
  }
}

TEST_P(TurnedAway, RequestsBeyondTheLimit) {
  start({"--max-in-flight", "2"});
  std::vector<RawClient> inside;
  for (int i = 0; i < 2; ++i) {
    inside.push_back(connect());
    inside.back().send(get_request("/sleep?ms=1500"));
  }
  RawClient outside = connect();
  EXPECT_TRUE(eventually([&] { return outside.ask(get_request("/plaintext")).status == 503; }));
  const HttpAnswer answer = outside.ask(post_request("/upload", std::string(100'000, 'x')));
  expect_turned_away(answer);
  EXPECT_EQ(answer.header("Connection"), "") << "the connection lives on";
  EXPECT_EQ(outside.ask(get_request("/nowhere")).status, 404) << "no handler, no limit";
  EXPECT_EQ(reason(), "in_flight");
  for (RawClient& client : inside) EXPECT_EQ(client.read_answer().status, 200);
  EXPECT_EQ(outside.ask(post_request("/upload", "x")).status, 200);
}

TEST_P(TurnedAway, LimitIsReloaded) {
  const std::string config = testing::TempDir() + "lastcall-limits-" + std::to_string(::getpid()) + ".toml";
  std::ofstream(config) << "max-in-flight = 1\n";
  const std::string admin = "unix:" + config + ".sock";
  start({"--config", config, "--admin", admin});
  RawClient inside = connect();
  inside.send(get_request("/sleep?ms=1500"));
  RawClient outside = connect();
  EXPECT_TRUE(eventually([&] { return outside.ask(get_request("/plaintext")).status == 503; }));
  const std::string metrics = RawClient(admin).ask(get_request("/metrics")).body;
  EXPECT_EQ(metrics.find("turned_away_total{reactor=\"0\",reason=\"in_flight\"} 0"), std::string::npos);
  std::ofstream(config) << "max-in-flight = 2\n";
  server().signal(SIGHUP);
  const auto reloaded = server().wait_for_event("reloaded");
  ASSERT_TRUE(reloaded);
  EXPECT_EQ(log_field(*reloaded, "changed"), "max-in-flight");
  EXPECT_EQ(outside.ask(get_request("/plaintext")).status, 200);
  inside.close();
  ::unlink(config.c_str());
}

TEST_P(TurnedAway, LargeBodyIsNotTakenIntoMemory) {
  start({"--max-in-flight", "1"});
  RawClient inside = connect();
  inside.send(get_request("/sleep?ms=60000"));
  RawClient outside = connect();
  ASSERT_TRUE(eventually([&] { return outside.ask(get_request("/plaintext")).status == 503; }));
  const size_t before = server().peak_memory_bytes();
  std::vector<RawClient> uploads;
  for (int i = 0; i < 50; ++i) {
    uploads.push_back(connect());
    uploads.back().send("POST /upload HTTP/1.1\r\nHost: test\r\nContent-Length: 1000000000\r\n\r\n" +
                        std::string(1'000'000, 'x'));
  }
  for (RawClient& upload : uploads) {
    const HttpAnswer answer = upload.read_answer();
    expect_turned_away(answer);
    EXPECT_EQ(answer.header("Connection"), "close") << "a body that nobody waits for";
  }
  if (!kSanitized) {
    EXPECT_LT(server().peak_memory_bytes() - before, 8u << 20);
  }
  inside.reset();
}

TEST_P(TurnedAway, RequestsWhoseClientsVanishMakeRoom) {
  start({"--max-in-flight", "2"});
  for (int i = 0; i < 100; ++i) {
    RawClient client = connect();
    client.send(i % 2 == 0 ? get_request("/sleep?ms=60000")
                           : "POST /anything HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nhalf");
    client.reset();
  }
  std::vector<RawClient> inside;
  for (int i = 0; i < 2; ++i) {
    inside.push_back(connect());
    EXPECT_TRUE(eventually([&] { return inside.back().ask(get_request("/plaintext")).status == 200; }));
    inside.back().send(get_request("/sleep?ms=60000"));
  }
  RawClient outside = connect();
  EXPECT_TRUE(eventually([&] { return outside.ask(get_request("/plaintext")).status == 503; }));
  for (RawClient& client : inside) client.reset();
  EXPECT_TRUE(eventually([&] { return outside.ask(get_request("/plaintext")).status == 200; }));
}

TEST_P(TurnedAway, ReadinessFollowsRequests) {
  start_with_admin({"--max-in-flight", "2"});
  EXPECT_EQ(ready(), 200);
  std::vector<RawClient> inside(2);
  for (RawClient& client : inside) {
    client = connect();
    client.send(get_request("/sleep?ms=60000"));
  }
  EXPECT_TRUE(eventually([this] { return ready() == 503; }));
  inside.back().reset();
  EXPECT_TRUE(eventually([this] { return ready() == 200; }));
  inside.front().reset();
}

TEST_P(TurnedAway, ReadinessFollowsConnections) {
  start_with_admin({"--max-connections", "10"});
  std::vector<RawClient> inside;
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(ready(), 200);
    inside.push_back(connect());
    ASSERT_EQ(inside.back().ask(get_request("/plaintext")).status, 200);
  }
  EXPECT_TRUE(eventually([this] { return ready() == 503; }));
  expect_turned_away(connect().read_answer());
  EXPECT_EQ(reason(), "max_connections");
  inside.pop_back();
  std::this_thread::sleep_for(100ms);
  EXPECT_EQ(ready(), 503) << "nine of ten are not below 90 %";
  inside.pop_back();
  EXPECT_TRUE(eventually([this] { return ready() == 200; }));
}

}  // namespace
}  // namespace lastcall::e2e
