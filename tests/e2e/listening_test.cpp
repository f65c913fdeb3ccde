#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "tests/e2e/fixture.hpp"
#include "tests/support/real_peer.hpp"

namespace lastcall::e2e {
namespace {

using testing::HasSubstr;

class Listening : public EndToEnd {
 protected:
  void TearDown() override {
    EndToEnd::TearDown();
    ::unlink(socket_path().c_str());
  }
  [[nodiscard]] static std::string socket_path() {
    return testing::TempDir() + "lastcall-" + std::to_string(::getpid()) + ".sock";
  }
  [[nodiscard]] static bool exists(const std::string& path) {
    struct stat info {};
    return ::lstat(path.c_str(), &info) == 0;
  }
  static HttpAnswer ask(const std::string& address) {
    RawClient client(address);
    EXPECT_TRUE(client.connected()) << address;
    return client.connected() ? client.ask(get_request("/anything")) : HttpAnswer();
  }
  /// Starts a second server, which is expected to fail, and gives what it said.
  [[nodiscard]] static Finished start_another(const std::string& listen) {
    return run_to_end({"demo", "--listen", listen, "--io", GetParam()});
  }
  static std::string port_of(const std::string& address) { return address.substr(address.rfind(':') + 1); }
  static bool have_ipv6() {
    return Fd(::socket(AF_INET6, SOCK_STREAM, 0)) && ::access("/proc/net/if_inet6", R_OK) == 0;
  }
};
LASTCALL_ON_BOTH_BACKENDS(Listening);

TEST_P(Listening, PortZeroPicksOneAndSaysWhich) {
  start();
  EXPECT_THAT(address(), testing::StartsWith("127.0.0.1:"));
  EXPECT_NE(address(), "127.0.0.1:0");
  std::string line = server().wait_for_event("listening").value_or("");
  EXPECT_EQ(log_field(line, "io"), GetParam());
  EXPECT_EQ(log_field(line, "reactors"), "1");
  EXPECT_EQ(ask(address()).status, 200);
}

TEST_P(Listening, SeveralReactorsShareAPort) {
  start({"--reactors", "4"});
  std::vector<RawClient> clients;
  for (int i = 0; i < 64; ++i) {
    clients.push_back(connect());
    ASSERT_EQ(clients.back().ask(get_request("/plaintext")).status, 200);
  }
  clients.clear();
  EXPECT_EQ(stop(), 0);
  size_t busy = 0;
  Json written = report();
  for (const Json& reactor : written.at("reactors")) busy += reactor.at("accepted") > 0;
  EXPECT_GE(busy, 2u);
  EXPECT_EQ(total(written, "accepted"), 64u);
}

TEST_P(Listening, OnIpv6) {
  if (!have_ipv6()) GTEST_SKIP() << "no IPv6 here";
  start({"--listen", "[::1]:0"});
  EXPECT_THAT(address(), testing::StartsWith("[::1]:"));
  HttpAnswer answer = ask(address());
  EXPECT_THAT(Json::parse(answer.body).at("peer").get<std::string>(), testing::StartsWith("[::1]:"));
}

TEST_P(Listening, OnBothFamiliesAtOnce) {
  if (!have_ipv6()) GTEST_SKIP() << "no IPv6 here";
  start({"--listen", ":0", "--reactors", "2"});
  std::string port = port_of(address());
  HttpAnswer over_4 = ask("127.0.0.1:" + port);
  EXPECT_THAT(Json::parse(over_4.body).at("peer").get<std::string>(), testing::StartsWith("127.0.0.1:"));
  EXPECT_EQ(ask("[::1]:" + port).status, 200);
}

TEST_P(Listening, OnAUnixSocket) {
  start({"--listen", "unix:" + socket_path(), "--reactors", "2"});
  EXPECT_EQ(address(), "unix:" + socket_path());
  HttpAnswer answer = ask(address());
  EXPECT_THAT(Json::parse(answer.body).at("peer").get<std::string>(), testing::StartsWith("unix:"));
  EXPECT_EQ(stop(), 0);
  EXPECT_FALSE(exists(socket_path()));
}

TEST_P(Listening, StaleUnixSocketIsReplaced) {
  {
    start({"--listen", "unix:" + socket_path()});
    server().signal(SIGKILL);
    ASSERT_EQ(server().wait_exit(), 128 + SIGKILL);
  }
  ASSERT_TRUE(exists(socket_path()));
  start({"--listen", "unix:" + socket_path()});
  EXPECT_EQ(ask(address()).status, 200);
}

TEST_P(Listening, LivingUnixSocketIsNot) {
  start({"--listen", "unix:" + socket_path()});
  Finished second = start_another("unix:" + socket_path());
  EXPECT_EQ(second.exit_code, 1);
  EXPECT_THAT(second.errors, HasSubstr(socket_path()));
  EXPECT_THAT(second.errors, HasSubstr("pid " + std::to_string(server().pid())));
  EXPECT_EQ(ask(address()).status, 200);
}

TEST_P(Listening, FileThatIsNoSocketStays) {
  std::ofstream(socket_path()) << "precious";
  Finished failed = start_another("unix:" + socket_path());
  EXPECT_EQ(failed.exit_code, 1);
  EXPECT_THAT(failed.errors, HasSubstr(socket_path()));
  EXPECT_TRUE(exists(socket_path()));
}

TEST_P(Listening, OnAnInheritedDescriptor) {
  Fd listener = listen_tcp();
  sockaddr_in bound{};
  socklen_t size = sizeof bound;
  ASSERT_EQ(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&bound), &size), 0);
  start({"--listen", "fd:7", "--reactors", "2"}, {.inherited = {{listener.get(), 7}}});
  listener.reset();
  EXPECT_EQ(port_of(address()), std::to_string(ntohs(bound.sin_port)));
  for (int i = 0; i < 8; ++i) EXPECT_EQ(ask("127.0.0.1:" + port_of(address())).status, 200);
}

// Blocking or not is a property of the socket, and each backend wants it its own way.
TEST_P(Listening, OneInheritedListenerServesAProcessOfEachBackend) {
  Fd listener = listen_tcp();
  start({"--listen", "fd:7"}, {.inherited = {{listener.get(), 7}}});
  const std::string other_io = std::string(GetParam()) == "epoll" ? "io_uring" : "epoll";
  ServerProcess other(lastcall_binary(), {"demo", "--listen", "fd:7", "--reactors", "1", "--io", other_io},
                      {.inherited = {{listener.get(), 7}}});
  if (!other.wait_for_event("ready")) GTEST_SKIP() << other.log();
  listener.reset();
  for (int i = 0; i < 50; ++i) EXPECT_EQ(ask("127.0.0.1:" + port_of(address())).status, 200);
  other.signal(SIGTERM);
  EXPECT_EQ(other.wait_exit(10s), 0) << "one of them sleeps in accept";
  for (int i = 0; i < 20; ++i) EXPECT_EQ(ask("127.0.0.1:" + port_of(address())).status, 200);
}

TEST_P(Listening, WrongDescriptorIsNamed) {
  EXPECT_THAT(start_another("fd:77").errors, HasSubstr("fd:77"));
  EXPECT_EQ(start_another("fd:2").exit_code, 1);
}

TEST_P(Listening, OnTwoAddressesAtOnce) {
  start({"--listen", "127.0.0.1:0", "--listen", "unix:" + socket_path()});
  std::vector<std::string> all = server().addresses();
  ASSERT_EQ(all.size(), 2u);
  for (const std::string& one : all) EXPECT_EQ(ask(one).status, 200) << one;
}

TEST_P(Listening, PortInUseIsNamedWithItsHolder) {
  for (const char* reactors : {"1", "2"}) {
    start({"--reactors", reactors});
    Finished second = start_another(address());
    EXPECT_EQ(second.exit_code, 1);
    EXPECT_THAT(second.errors, HasSubstr(address()));
    EXPECT_THAT(second.errors, HasSubstr("pid " + std::to_string(server().pid()) + " (lastcall)"));
    EXPECT_EQ(ask(address()).status, 200);
    EXPECT_EQ(stop(), 0);
  }
}

TEST_P(Listening, PortIsFreeAgainAtOnce) {
  start();
  std::string first = address();
  RawClient client = connect();
  EXPECT_EQ(client.ask(get_request("/plaintext")).status, 200);
  begin_stop();
  EXPECT_EQ(client.read_end(), StreamEnd::eof);  // leaves the server's socket in TIME_WAIT
  EXPECT_EQ(wait_exit(), 0);
  start({"--listen", first});
  EXPECT_EQ(address(), first);
  EXPECT_EQ(get("/plaintext").status, 200);
}

TEST_P(Listening, PortIsFreeAgainAfterAKill) {
  start();
  std::string first = address();
  server().signal(SIGKILL);
  ASSERT_EQ(server().wait_exit(), 128 + SIGKILL);
  start({"--listen", first});
  EXPECT_EQ(get("/plaintext").status, 200);
}

}  // namespace
}  // namespace lastcall::e2e
