#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "tests/e2e/fixture.hpp"
#include "tests/support/notify_socket.hpp"
#include "tests/support/real_peer.hpp"

namespace lastcall::e2e {
namespace {

using testing::HasSubstr;

/// A process that finds sockets as 3, 4, … as those find them that systemd starts. A shell stands in between,
/// because LISTEN_PID is the number of a process that is not there before.
class SocketActivation : public EndToEnd {
 protected:
  [[nodiscard]] std::unique_ptr<ServerProcess> activate(const std::vector<int>& sockets,
                                                        const std::string& names, Arguments arguments,
                                                        std::vector<std::string> environment = {}) const {
    ProcessOptions options{.environment = std::move(environment)};
    // Not onto one of their own numbers: they are moved one after the other.
    std::vector<Fd> copies;
    for (size_t i = 0; i < sockets.size(); ++i) {
      copies.emplace_back(::fcntl(sockets[i], F_DUPFD_CLOEXEC, 100));
      options.inherited.emplace_back(copies.back().get(), 3 + static_cast<int>(i));
    }
    options.environment.push_back("LISTEN_FDS=" + std::to_string(sockets.size()));
    options.environment.push_back("LISTEN_FDNAMES=" + names);
    const Arguments mine = {"-c",       R"(LISTEN_PID=$$ exec "$@")",
                            "sh",       lastcall_binary(),
                            "demo",     "--io",
                            GetParam(), "--idle-grace",
                            "20ms"};
    arguments.insert(arguments.begin(), mine.begin(), mine.end());
    return std::make_unique<ServerProcess>("/bin/sh", std::move(arguments), std::move(options));
  }
  static std::string address_of(const Fd& listener) {
    sockaddr_in bound{};
    socklen_t size = sizeof bound;
    EXPECT_EQ(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&bound), &size), 0);
    return "127.0.0.1:" + std::to_string(ntohs(bound.sin_port));
  }
  static int ask(const std::string& address, const std::string& target = "/plaintext") {
    return RawClient(address).ask(get_request(target, "Connection: close\r\n")).status;
  }
  static void expect_stop(ServerProcess& process) {
    process.signal(SIGTERM);
    EXPECT_EQ(process.wait_exit(), 0) << process.log();
  }
};
LASTCALL_ON_BOTH_BACKENDS(SocketActivation);

TEST_P(SocketActivation, ByName) {
  Fd web = listen_tcp();
  auto process = activate({web.get()}, "web", {"--listen", "fd:web", "--reactors", "2"});
  ASSERT_TRUE(process->wait_for_event("ready")) << process->log();
  for (int i = 0; i < 8; ++i) EXPECT_EQ(ask(address_of(web)), 200);
  expect_stop(*process);
}

TEST_P(SocketActivation, SeveralOfOneNameAndTheAdminOfAnother) {
  Fd web = listen_tcp();
  Fd admin = listen_tcp();
  Fd more = listen_tcp();
  auto process = activate({web.get(), admin.get(), more.get()}, "web:admin:web",
                          {"--listen", "fd:web", "--admin", "fd:admin", "--reactors", "3"});
  ASSERT_TRUE(process->wait_for_event("ready")) << process->log();
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(ask(address_of(web)), 200);
    EXPECT_EQ(ask(address_of(more)), 200);
  }
  EXPECT_EQ(ask(address_of(admin), "/readyz"), 200);
  EXPECT_EQ(process->addresses(), (std::vector<std::string>{address_of(web), address_of(more)}));
  expect_stop(*process);
}

TEST_P(SocketActivation, ANameThatWasNotPassedIsAnErrorThatSaysWhatWas) {
  Fd web = listen_tcp();
  for (const Arguments& wrong :
       {Arguments{"--listen", "fd:wep"}, Arguments{"--listen", "fd:web", "--admin", "fd:wep"}}) {
    auto process = activate({web.get()}, "web", wrong);
    EXPECT_EQ(process->wait_exit(), 1);
    EXPECT_THAT(process->log(), HasSubstr("fd:wep: no socket of that name was passed"));
    EXPECT_THAT(process->log(), HasSubstr("passed were: web"));
  }
}

TEST_P(SocketActivation, WhatIsNoListeningStreamSocketIsAnError) {
  Fd datagram(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  Fd silent(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  auto process = activate({datagram.get(), silent.get()}, "dgram:silent", {"--listen", "fd:dgram"});
  EXPECT_EQ(process->wait_exit(), 1);
  EXPECT_THAT(process->log(), HasSubstr("fd:dgram: is not a stream socket"));
  process = activate({datagram.get(), silent.get()}, "dgram:silent", {"--listen", "fd:silent"});
  EXPECT_EQ(process->wait_exit(), 1);
  EXPECT_THAT(process->log(), HasSubstr("fd:silent: the socket is not listening"));
}

TEST_P(SocketActivation, WhatNobodyNamedIsClosedWithAWarning) {
  Fd web = listen_tcp();
  Fd other = listen_tcp();
  auto process = activate({web.get(), other.get()}, "web:other", {"--listen", "fd:web"});
  ASSERT_TRUE(process->wait_for_event("ready")) << process->log();
  EXPECT_EQ(log_field(process->wait_for_event("passed_socket_unused").value_or(""), "name"), "other");
  const std::string there = address_of(other);
  other.reset();
  EXPECT_FALSE(RawClient(there).connected()) << "somebody still listens";
  expect_stop(*process);
}

TEST_P(SocketActivation, ByNumberAsBefore) {
  Fd web = listen_tcp();
  auto process = activate({web.get()}, "web", {"--listen", "fd:3"});
  ASSERT_TRUE(process->wait_for_event("ready")) << process->log();
  EXPECT_EQ(process->log().find("passed_socket_unused"), std::string::npos);
  EXPECT_EQ(ask(address_of(web)), 200);
  expect_stop(*process);
}

TEST_P(SocketActivation, OfAnotherProcessIsNone) {
  Fd web = listen_tcp();
  auto process = activate({web.get()}, "web", {"--listen", "fd:web"});
  ASSERT_TRUE(process->wait_for_event("ready")) << process->log();
  Finished finished = run_to_end({"demo", "--listen", "fd:web", "--io", GetParam()},
                                 {.environment = {"LISTEN_PID=1", "LISTEN_FDS=1", "LISTEN_FDNAMES=web"}});
  EXPECT_EQ(finished.exit_code, 1);
  EXPECT_THAT(finished.errors, HasSubstr("nor any other"));
  expect_stop(*process);
}

// Whoever comes while no process is there waits in the queue that systemd keeps, and is served by the next
// one.
TEST_P(SocketActivation, NobodyIsRefusedBetweenTwoProcesses) {
  Fd web = listen_tcp();
  auto first = activate({web.get()}, "web", {"--listen", "fd:web"});
  ASSERT_TRUE(first->wait_for_event("ready")) << first->log();
  EXPECT_EQ(ask(address_of(web)), 200);
  expect_stop(*first);
  RawClient between(address_of(web));
  ASSERT_TRUE(between.connected());
  between.send(get_request("/plaintext", "Connection: close\r\n"));
  auto second = activate({web.get()}, "web", {"--listen", "fd:web"});
  EXPECT_EQ(between.read_answer().status, 200);
  between.close();
  expect_stop(*second);
}

/// The test keeps what it is given, as systemd does with FileDescriptorStoreMax=.
class Store : public SocketActivation {
 protected:
  struct Kept {
    std::string name;
    Fd socket;
  };
  [[nodiscard]] std::unique_ptr<ServerProcess> run(Arguments arguments) {
    arguments.emplace_back("--fd-store");
    std::vector<int> sockets;
    std::string names;
    for (const Kept& one : kept_) {
      sockets.push_back(one.socket.get());
      names += (names.empty() ? "" : ":") + one.name;
    }
    auto process = activate(sockets, names, std::move(arguments), {"NOTIFY_SOCKET=" + manager_.name()});
    EXPECT_TRUE(process->wait_for_event("ready")) << process->log();
    for (;;) {
      auto message = manager_.receive();
      EXPECT_TRUE(message);
      if (!message || message->text.starts_with("READY=1")) return process;
      told_ += message->text;
      for (Fd& socket : message->descriptors)
        kept_.push_back({notify_field(message->text, "FDNAME"), std::move(socket)});
    }
  }
  std::vector<Kept>& kept() { return kept_; }
  [[nodiscard]] const std::string& told() const { return told_; }

 private:
  NotifySocket manager_;
  std::vector<Kept> kept_;
  std::string told_;
};
LASTCALL_ON_BOTH_BACKENDS(Store);

TEST_P(Store, ARestartRefusesNobody) {
  auto first = run({"--listen", "127.0.0.1:0", "--reactors", "2"});
  ASSERT_EQ(kept().size(), 1u);
  EXPECT_EQ(told(), "FDSTORE=1\nFDNAME=lastcall=127.0.0.1|0\nFDPOLL=0\n");
  const std::string address = first->addresses().at(0);
  EXPECT_EQ(address, address_of(kept()[0].socket));
  EXPECT_EQ(ask(address), 200);
  expect_stop(*first);
  RawClient between(address);
  ASSERT_TRUE(between.connected());
  between.send(get_request("/plaintext", "Connection: close\r\n"));
  auto second = run({"--listen", "127.0.0.1:0", "--reactors", "3"});
  EXPECT_EQ(between.read_answer().status, 200);
  EXPECT_EQ(kept().size(), 1u) << "it is kept already";
  EXPECT_EQ(second->addresses().at(0), address);
  EXPECT_TRUE(second->wait_for_event("listener_restored"));
  between.close();
  expect_stop(*second);
}

TEST_P(Store, ACrashKeepsTheQueue) {
  auto first = run({"--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0"});
  ASSERT_EQ(kept().size(), 2u);
  const std::vector<std::string> addresses = first->addresses();
  first->signal(SIGKILL);
  EXPECT_EQ(first->wait_exit(), 128 + SIGKILL);
  std::vector<RawClient> clients;
  for (const std::string& address : addresses) {
    clients.emplace_back(address);
    ASSERT_TRUE(clients.back().connected());
    clients.back().send(get_request("/plaintext", "Connection: close\r\n"));
  }
  auto second = run({"--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0"});
  EXPECT_EQ(second->addresses(), addresses) << "their order, too";
  for (RawClient& client : clients) EXPECT_EQ(client.read_answer().status, 200);
  clients.clear();
  expect_stop(*second);
}

TEST_P(Store, WhatIsNotListenedOnAnyMoreIsForgotten) {
  auto first = run({"--listen", "127.0.0.1:0"});
  const std::string address = first->addresses().at(0);
  expect_stop(*first);
  auto second = run({"--listen", "localhost:0"});
  EXPECT_THAT(told(), HasSubstr("FDSTOREREMOVE=1\nFDNAME=lastcall=127.0.0.1|0\n"));
  EXPECT_THAT(told(), HasSubstr("FDNAME=lastcall=localhost|0\n"));
  kept().clear();
  EXPECT_FALSE(RawClient(address).connected());
  expect_stop(*second);
}

TEST_P(Store, WithoutAManagerItServesAllTheSame) {
  start({"--fd-store"});
  EXPECT_TRUE(server().wait_for_event("no_fd_store"));
  EXPECT_EQ(get("/plaintext").status, 200);
}

}  // namespace
}  // namespace lastcall::e2e
