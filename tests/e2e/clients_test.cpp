// Who the client is behind proxies, over real sockets: PROXY headers, the fields of proxies, who is named in
// the report; and real HAProxy in front.

#include <netinet/in.h>
#include <sys/socket.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <thread>

#include "tests/e2e/fixture.hpp"
#include "tests/support/real_peer.hpp"

namespace lastcall::e2e {
namespace {

using testing::HasSubstr;
using testing::Not;

const std::string kLine = "PROXY TCP4 203.0.113.5 127.0.0.1 4444 80\r\n";
const std::string kBinary = std::string("\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", 16) +
                            std::string("\xcb\0\x71\x05\x7f\0\0\x01\x11\x5c\0\x50", 12);
const std::string kLocal = std::string("\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", 16);

class Clients : public EndToEnd {
 protected:
  void start_behind_proxy(Arguments more = {}) {
    Arguments arguments{"--proxy-protocol", "all"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    add_default(arguments, "--trusted-proxies", "loopback");
    start(std::move(arguments));
  }
  static std::string peer_of(const HttpAnswer& answer, const char* key = "peer") {
    const Json body = Json::parse(answer.body, nullptr, false);
    return body.is_object() ? body.value(key, "") : "status " + std::to_string(answer.status);
  }
  /// The peers of what the stop cut off, in the order of the report.
  std::vector<std::string> cut_off() {
    std::vector<std::string> peers;
    const Json written = report();
    for (const Json& one : written.at("aborted")) peers.push_back(one.value("peer", ""));
    return peers;
  }
};
LASTCALL_ON_BOTH_BACKENDS(Clients);

TEST_P(Clients, BothVersionsNameTheClient) {
  start_behind_proxy();
  for (const std::string& header : {kLine, kBinary}) {
    RawClient client = connect();
    EXPECT_EQ(peer_of(client.ask(header + get_request("/anything"))), "203.0.113.5:4444");
    const HttpAnswer second = client.ask(get_request("/anything", "X-Forwarded-For: 192.0.2.9\r\n"));
    EXPECT_EQ(peer_of(second), "203.0.113.5:4444");
    EXPECT_EQ(peer_of(second, "client"), "203.0.113.5:4444") << "who is named is no trusted proxy";
  }
}

// … and the process that replaces this one knows it still.
TEST_P(Clients, ASuccessorKnowsWhomTheHeaderNamed) {
  start_behind_proxy();
  RawClient named = connect();
  EXPECT_EQ(peer_of(named.ask(kLine + get_request("/anything"))), "203.0.113.5:4444");
  RawClient itself = connect();
  EXPECT_EQ(peer_of(itself.ask(kLocal + get_request("/anything"))), itself.local_address());
  RawClient silent = connect();
  server().signal(SIGUSR2);
  ASSERT_EQ(server().follow(), 0);
  EXPECT_EQ(total(report(), "handed_over"), 3u);
  EXPECT_EQ(peer_of(named.ask(get_request("/anything"))), "203.0.113.5:4444");
  EXPECT_EQ(peer_of(itself.ask(get_request("/anything"))), itself.local_address());
  EXPECT_EQ(peer_of(silent.ask(kBinary + get_request("/anything"))), "203.0.113.5:4444");
}

TEST_P(Clients, ProxyThatSpeaksForItselfIsThePeer) {
  start_behind_proxy();
  for (const std::string& header : {std::string("PROXY UNKNOWN\r\n"), kLocal}) {
    RawClient client = connect();
    EXPECT_EQ(peer_of(client.ask(header + get_request("/anything"))), client.local_address());
  }
}

TEST_P(Clients, HeaderInPieces) {
  start_behind_proxy();
  for (const std::string& header : {kLine, kBinary}) {
    const std::string wire = header + get_request("/anything");
    RawClient client = connect();
    for (const char byte : wire) {
      ASSERT_TRUE(client.send(std::string_view(&byte, 1)));
      if (&byte - wire.data() < 60) std::this_thread::sleep_for(1ms);  // so that it arrives alone
    }
    EXPECT_EQ(peer_of(client.read_answer()), "203.0.113.5:4444");
  }
}

TEST_P(Clients, StrangersAreClosed) {
  start({"--proxy-protocol", "all", "--trusted-proxies", "192.0.2.0/24"});
  for (int i = 0; i < 3; ++i) {
    RawClient client = connect();
    client.send(kLine + get_request("/anything"));
    EXPECT_EQ(client.read_answer().status, 0);
    EXPECT_TRUE(client.wait_hang_up());
  }
  const std::string line = server().wait_for_event("turned_away").value_or("");
  EXPECT_EQ(log_field(line, "reason"), "untrusted_proxy");
  EXPECT_THAT(log_field(line, "peer"), HasSubstr("127.0.0.1:"));
}

TEST_P(Clients, MalformedHeadersAreClosed) {
  start_behind_proxy();
  std::string changed = kBinary;
  changed[12] = '\x31';
  for (const std::string& wire :
       {get_request("/anything"), "PROXY TCP4 203.0.113.5 127.0.0.1 4444\r\n" + get_request("/anything"),
        "PROXY " + std::string(200, 'x'), changed + get_request("/anything")}) {
    RawClient client = connect();
    client.send(wire);
    EXPECT_EQ(client.read_answer().status, 0) << wire;
    EXPECT_TRUE(client.wait_hang_up());
  }
  EXPECT_EQ(log_field(server().wait_for_event("turned_away").value_or(""), "reason"), "bad_proxy_header");
  EXPECT_EQ(peer_of(connect().ask(kLine + get_request("/anything"))), "203.0.113.5:4444");
}

TEST_P(Clients, HeaderHasToComeInTime) {
  start_behind_proxy({"--header-timeout", "300ms"});
  RawClient silent = connect();
  EXPECT_EQ(silent.read_end(), StreamEnd::eof);
  EXPECT_THAT(server().log(), Not(HasSubstr("turned_away"))) << "somebody looked whether we are there";
  RawClient half = connect();
  half.send(kLine.substr(0, 20));
  const auto [bytes, end] = half.read_all();
  EXPECT_EQ(bytes, "");
  EXPECT_EQ(end, StreamEnd::eof);
  EXPECT_EQ(log_field(server().wait_for_event("turned_away").value_or(""), "reason"), "bad_proxy_header");
}

TEST_P(Clients, OnlyTheChosenListener) {
  start({"--listen", "127.0.0.1:0", "--listen", "[::1]:0", "--proxy-protocol", "[::1]:0", "--trusted-proxies",
         "::1", "--forwarded-header", "off"});
  RawClient plain = connect();
  EXPECT_EQ(peer_of(plain.ask(get_request("/anything"))), plain.local_address());
  const std::vector<std::string> addresses = server().addresses();
  ASSERT_EQ(addresses.size(), 2u);
  RawClient proxied(addresses[1]);
  EXPECT_EQ(peer_of(proxied.ask(kLine + get_request("/anything"))), "203.0.113.5:4444");
}

TEST_P(Clients, OverUnixSockets) {
  const std::string path = testing::TempDir() + "lastcall-clients-" + std::to_string(::getpid()) + ".sock";
  start({"--listen", "unix:" + path, "--proxy-protocol", "all", "--trusted-proxies", "unix"});
  EXPECT_EQ(peer_of(connect().ask(kLine + get_request("/anything"))), "203.0.113.5:4444");
  EXPECT_EQ(peer_of(connect().ask(kLocal + get_request("/anything"))), "unix:");
}

TEST_P(Clients, MistakesAreNamed) {
  const auto errors = [](Arguments arguments) {
    arguments.insert(arguments.begin(), {"demo", "--listen", "127.0.0.1:0", "--io", GetParam()});
    const Finished finished = run_to_end(arguments);
    EXPECT_EQ(finished.exit_code, 1);
    return finished.errors;
  };
  EXPECT_THAT(errors({"--proxy-protocol", "127.0.0.1:1", "--trusted-proxies", "loopback"}),
              HasSubstr("--proxy-protocol 127.0.0.1:1"));
  EXPECT_THAT(errors({"--proxy-protocol", "all"}), HasSubstr("--trusted-proxies"));
  EXPECT_THAT(errors({"--trusted-proxies", "10.0.0.1/8"}), HasSubstr("10.0.0.1/8"));
  EXPECT_THAT(errors({"--forwarded-header", "forwarded"}), HasSubstr("--trusted-proxies"));
  EXPECT_THAT(errors({"--forwarded-header", "via", "--trusted-proxies", "loopback"}),
              HasSubstr("--forwarded-header"));
  EXPECT_THAT(errors({"--max-in-flight", "0"}), HasSubstr("--max-in-flight"));
  EXPECT_THAT(errors({"--max-connections-per-client", "0"}), HasSubstr("--max-connections-per-client"));
}

TEST_P(Clients, FieldsOfTrustedProxies) {
  start({"--trusted-proxies", "loopback,10.0.0.0/8"});
  RawClient client = connect();
  EXPECT_EQ(
      peer_of(client.ask(get_request("/anything", "X-Forwarded-For: x, 192.0.2.7, 10.1.1.1\r\n")), "client"),
      "192.0.2.7");
  EXPECT_EQ(peer_of(client.ask(get_request("/anything", "Forwarded: for=192.0.2.8\r\n")), "client"),
            client.local_address());
  EXPECT_EQ(client.ask(get_request("/anything", "X-Forwarded-For: x\r\n")).status, 400);
  EXPECT_EQ(client.read_end(), StreamEnd::eof);
  EXPECT_EQ(log_field(server().wait_for_event("turned_away").value_or(""), "reason"), "bad_forwarded_header");
}

TEST_P(Clients, ForwardedAndNothingElse) {
  start({"--trusted-proxies", "loopback", "--forwarded-header", "forwarded"});
  RawClient client = connect();
  EXPECT_EQ(peer_of(client.ask(get_request("/anything",
                                           "Forwarded: for=\"[2001:db8::7]:99\"\r\n"
                                           "X-Forwarded-For: 192.0.2.7\r\n")),
                    "client"),
            "[2001:db8::7]:99");
}

TEST_P(Clients, NobodyIsTrustedUnasked) {
  start();
  RawClient client = connect();
  EXPECT_EQ(peer_of(client.ask(get_request("/anything", "X-Forwarded-For: nonsense\r\n")), "client"),
            client.local_address());
}

TEST_P(Clients, StopFindsNoRequestInAPartOfAHeader) {
  start_behind_proxy({"--idle-grace", "200ms"});
  RawClient half = connect();
  half.send(kLine.substr(0, 20));
  RawClient other = connect();
  ASSERT_EQ(peer_of(other.ask(kLine + get_request("/anything"))),
            "203.0.113.5:4444");  // the half is read by now
  EXPECT_EQ(stop(), 0);
  EXPECT_EQ(half.read_all().first, "");
  EXPECT_TRUE(cut_off().empty());
}

TEST_P(Clients, HeaderThatIsCompletedDuringTheStopIsServed) {
  start_behind_proxy({"--idle-grace", "5s"});
  RawClient half = connect();
  half.send(kLine.substr(0, 20));
  RawClient other = connect();
  ASSERT_EQ(peer_of(other.ask(kLine + get_request("/anything"))), "203.0.113.5:4444");
  begin_stop_for_good();
  const HttpAnswer answer = half.ask(kLine.substr(20) + get_request("/anything"));
  EXPECT_EQ(peer_of(answer), "203.0.113.5:4444");
  EXPECT_EQ(answer.header("Connection"), "close");
  other.close();
  half.close();
  EXPECT_EQ(wait_exit(), 0);
}

TEST_P(Clients, ReportNamesWhomTheHeaderNamed) {
  start_behind_proxy({"--deadline", "700ms"});
  RawClient client = connect();
  client.send(kLine + get_request("/sleep?ms=60000"));
  RawClient other = connect();
  ASSERT_EQ(peer_of(other.ask(kLine + get_request("/anything"))), "203.0.113.5:4444");
  other.close();
  EXPECT_EQ(stop(), 2);
  EXPECT_EQ(cut_off(), std::vector<std::string>{"203.0.113.5:4444"});
}

TEST_P(Clients, ReportNamesWhomTheFieldsName) {
  start({"--trusted-proxies", "loopback", "--deadline", "700ms"});
  RawClient client = connect();
  client.send(get_request("/sleep?ms=60000", "X-Forwarded-For: 192.0.2.7\r\n"));
  settle();
  EXPECT_EQ(stop(), 2);
  EXPECT_EQ(cut_off(), std::vector<std::string>{"192.0.2.7"});
}

TEST_P(Clients, StuckReactorNamesWhomTheHeaderNamed) {
  start_behind_proxy({"--deadline", "1s"});
  RawClient client = connect();
  client.send(kLine + get_request("/sleep?ms=60000"));
  RawClient spinner = connect();
  ASSERT_EQ(peer_of(spinner.ask(kLine + get_request("/anything"))), "203.0.113.5:4444");
  const Duration before = server().cpu_time();
  spinner.send(get_request("/spin?ms=60000"));
  while (server().cpu_time() - before < 30ms) EXPECT_FALSE(spinner.readable(5ms));
  server().signal(SIGTERM);
  EXPECT_EQ(wait_exit(), 2);
  EXPECT_EQ(cut_off(), std::vector<std::string>(2, "203.0.113.5:4444"));
}

/// Real HAProxy on a port of its own, that sends PROXY headers.
class BehindHaproxy : public Clients {
 protected:
  static constexpr const char* kProgram = "/usr/sbin/haproxy";

  void SetUp() override {
    Clients::SetUp();
    if (::access(kProgram, X_OK) != 0) GTEST_SKIP() << "no HAProxy is installed: apt-get install haproxy";
  }
  void TearDown() override {
    haproxy_.reset();
    ::unlink(config_.c_str());
    if (!IsSkipped()) Clients::TearDown();
  }

  /// `send`: of its server line. True when it listens.
  bool start_haproxy(const std::string& send) {
    {
      const Fd free_port = listen_tcp();
      RealPeer peer = connect_to(free_port.get());
      sockaddr_in address{};
      socklen_t size = sizeof address;
      ::getpeername(peer.fd(), reinterpret_cast<sockaddr*>(&address), &size);
      front_ = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
    }
    std::ofstream(config_)
        << "global\n  maxconn 100\ndefaults\n  mode http\n  timeout connect 5s\n  timeout client 30s\n"
           "  timeout server 30s\nfrontend f\n  bind "
        << front_ << "\n  default_backend b\nbackend b\n  server s " << address() << " " << send << "\n";
    haproxy_ = std::make_unique<ServerProcess>(kProgram, Arguments{"-db", "-f", config_});
    for (int i = 0; i < 500; ++i) {
      if (RawClient(front_).connected()) return true;
      std::this_thread::sleep_for(10ms);
    }
    ADD_FAILURE() << haproxy_->log();
    return false;
  }

  std::string front_;
  std::string config_ = testing::TempDir() + "lastcall-haproxy-" + std::to_string(::getpid()) + ".cfg";
  std::unique_ptr<ServerProcess> haproxy_;
};
LASTCALL_ON_BOTH_BACKENDS(BehindHaproxy);

TEST_P(BehindHaproxy, NamesItsClientsInEachVersion) {
  start_behind_proxy();
  for (const char* send :
       {"send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id"}) {
    ASSERT_TRUE(start_haproxy(send));
    RawClient client(front_);
    EXPECT_EQ(peer_of(client.ask(get_request("/anything"))), client.local_address()) << send;
    RawClient other(front_);
    EXPECT_EQ(peer_of(other.ask(get_request("/anything"))), other.local_address()) << send;
    haproxy_.reset();
  }
}

TEST_P(BehindHaproxy, HealthChecksAreNoClients) {
  start_behind_proxy();
  ASSERT_TRUE(start_haproxy("check inter 50ms send-proxy-v2 check-send-proxy"));
  std::this_thread::sleep_for(300ms);
  RawClient client(front_);
  EXPECT_EQ(peer_of(client.ask(get_request("/anything"))), client.local_address());
  EXPECT_THAT(server().log(), Not(HasSubstr("turned_away")));
  haproxy_.reset();
}

}  // namespace
}  // namespace lastcall::e2e
