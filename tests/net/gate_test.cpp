#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <stdexcept>
#include <thread>

#include <lastcall/core/clock.hpp>
#include <lastcall/core/thread.hpp>
#include <lastcall/net/gate.hpp>
#include <lastcall/net/listener.hpp>
#include <lastcall/net/socket.hpp>
#include <lastcall/net/steering.hpp>
#include <lastcall/net/tcp_table.hpp>

// How the entrance closes, on real sockets: loopback, or a network namespace that a child process made.
namespace lastcall {
namespace {

constexpr int kBacklog = 512;
constexpr int kPatienceMs = 5000;  // a SYN, or the answer to one, is sent again after a second

ListenerGroup open_group(const std::string& text, uint32_t reactors, const GateOptions& gate = {}) {
  auto address = parse_address(text);
  if (!address) throw std::runtime_error(address.error().message);
  auto group = ListenerGroup::open(*address, reactors, kBacklog, gate);
  if (!group) throw std::runtime_error(group.error().message);
  return std::move(*group);
}

std::vector<Fd> take_all(ListenerGroup& group, uint32_t reactors) {
  std::vector<Fd> listeners;
  for (uint32_t i = 0; i < reactors; ++i) listeners.push_back(std::move(group.take(i).front()));
  for (const Fd& listener : listeners) ::fcntl(listener.get(), F_SETFL, O_NONBLOCK);
  return listeners;
}

/// A client of its own, which does not wait for its connection.
class Client {
 public:
  explicit Client(const std::string& text) : address_(*parse_address(text)) {
    socket_ = Fd(::socket(address_.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  }
  /// Drops every packet that comes: the handshake stays half done. Needs CAP_NET_ADMIN.
  bool deafen() {
    sock_filter drop{.code = BPF_RET | BPF_K, .jt = 0, .jf = 0, .k = 0};
    sock_fprog program{.len = 1, .filter = &drop};
    return ::setsockopt(socket_.get(), SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0;
  }
  void hear_again() {
    const int ignored = 0;
    ASSERT_EQ(::setsockopt(socket_.get(), SOL_SOCKET, SO_DETACH_FILTER, &ignored, sizeof ignored), 0);
  }
  /// 0: connected, EINPROGRESS: not yet; else why not.
  int begin() {
    const int code =
        ::connect(socket_.get(), reinterpret_cast<sockaddr*>(&address_.storage), address_.length);
    return code == 0 ? 0 : errno;
  }
  int state(int patience_ms = 0) {
    pollfd connected{.fd = socket_.get(), .events = POLLOUT, .revents = 0};
    if (::poll(&connected, 1, patience_ms) != 1) return EINPROGRESS;
    return socket_option(socket_.get(), SO_ERROR).value_or(EBADF);
  }
  int connect() {
    const int code = begin();
    return code == EINPROGRESS ? state() : code;
  }

 private:
  Address address_;
  Fd socket_;
};

int accept_all(const std::vector<Fd>& listeners) {
  int accepted = 0;
  for (const Fd& listener : listeners) {
    while (Fd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC))) ++accepted;
  }
  return accepted;
}

bool has_ipv6() {
  std::ifstream file("/proc/net/if_inet6");
  return file.peek() != std::ifstream::traits_type::eof();
}

struct Way {
  const char* name;
  const char* listen;
  const char* connect;  // to which the port is appended
  GateTier tier;
};

class GateOfTcp : public testing::TestWithParam<Way> {
 protected:
  void SetUp() override {
    if (GetParam().listen[0] != '1' && !has_ipv6()) GTEST_SKIP() << "no IPv6";
    if (GetParam().tier == GateTier::syn_filter && !can_drop_syns()) GTEST_SKIP() << "no CAP_NET_ADMIN";
  }
};

INSTANTIATE_TEST_SUITE_P(Ways, GateOfTcp,
                         testing::Values(Way{"ParkingIpv4", "127.0.0.1:0", "127.0.0.1:", GateTier::parking},
                                         Way{"ParkingIpv6", "[::1]:0", "[::1]:", GateTier::parking},
                                         Way{"ParkingDualStack", ":0", "[::1]:", GateTier::parking},
                                         Way{"ParkingDualStackIpv4", ":0", "127.0.0.1:", GateTier::parking},
                                         Way{"FilterIpv4", "127.0.0.1:0", "127.0.0.1:", GateTier::syn_filter},
                                         Way{"FilterDualStackIpv4", ":0",
                                             "127.0.0.1:", GateTier::syn_filter}),
                         [](const auto& way) { return way.param.name; });

TEST_P(GateOfTcp, WhoIsInsideIsServedAndNobodyElseGetsIn) {
  for (const uint32_t reactors : {1u, 3u}) {
    auto group = open_group(GetParam().listen, reactors, {.tier = GetParam().tier, .cpus = {}});
    ASSERT_EQ(group.tier(), GetParam().tier);
    const std::string target = GetParam().connect + std::to_string(group.port());
    auto listeners = take_all(group, reactors);
    std::vector<Client> inside;
    for (int i = 0; i < 40; ++i) inside.emplace_back(target);
    for (Client& client : inside) ASSERT_EQ(client.connect(), 0);
    ASSERT_TRUE(group.close_gate());
    std::vector<Client> outside;
    for (int i = 0; i < 40; ++i) outside.emplace_back(target);
    for (Client& client : outside) EXPECT_EQ(client.connect(), EINPROGRESS) << "neither let in nor refused";
    EXPECT_EQ(accept_all(listeners), 40);
    EXPECT_FALSE(handshakes_under_way(std::array{group.port()}).value());
    listeners.clear();
    for (Client& client : inside) EXPECT_EQ(client.state(), 0) << "accepted ones are not reset";
    EXPECT_EQ(Client(target).connect(), EINPROGRESS);
    group.let_go();
    EXPECT_EQ(Client(target).connect(), ECONNREFUSED);
    if (reactors == 1) continue;
    EXPECT_EQ(outside.back().state(kPatienceMs), ECONNREFUSED) << "asked again, and refused";
  }
}

TEST_P(GateOfTcp, HandshakeUnderWayIsSeenAndMayEnd) {
  auto group = open_group(GetParam().listen, 2, {.tier = GetParam().tier, .cpus = {}});
  const std::string target = GetParam().connect + std::to_string(group.port());
  auto listeners = take_all(group, 2);
  Client slow(target);
  if (!slow.deafen()) GTEST_SKIP() << "no CAP_NET_ADMIN";
  EXPECT_FALSE(handshakes_under_way(std::array{group.port()}).value());
  ASSERT_EQ(slow.connect(), EINPROGRESS);
  EXPECT_TRUE(handshakes_under_way(std::array{group.port()}).value());
  const uint16_t other = static_cast<uint16_t>(group.port() + 1);
  EXPECT_FALSE(handshakes_under_way(std::array{other}).value());
  bool in_table = false;
  const std::vector<TcpRow> rows = read_tcp_table(group.port()).value();
  for (const TcpRow& row : rows) {
    in_table = in_table || (row.state == TcpRow::syn_received && row.waits_for_accept());
  }
  EXPECT_TRUE(in_table);

  ASSERT_TRUE(group.close_gate());
  slow.hear_again();
  EXPECT_EQ(slow.state(kPatienceMs), 0);
  EXPECT_EQ(accept_all(listeners), 1);
  EXPECT_FALSE(handshakes_under_way(std::array{group.port()}).value());
}

TEST(Gate, PlainKeepsNobodyAway) {
  auto group = open_group("127.0.0.1:0", 2, {.tier = GateTier::plain, .cpus = {}});
  auto listeners = take_all(group, 2);
  ASSERT_TRUE(group.close_gate());
  EXPECT_FALSE(group.holds_newcomers());
  Client client(group.text());
  EXPECT_EQ(client.connect(), 0);
  EXPECT_EQ(accept_all(listeners), 1);
}

TEST(Gate, UnixSocketRefusesAndItsQueueIsServed) {
  char name[] = "/tmp/lastcall-gate-XXXXXX";
  const std::string folder = ::mkdtemp(name);
  auto group = open_group("unix:" + folder + "/x.sock", 2);
  ASSERT_EQ(group.tier(), GateTier::unix_socket);
  auto listeners = take_all(group, 2);
  std::vector<Client> inside;
  for (int i = 0; i < 10; ++i) inside.emplace_back(group.text());
  for (Client& client : inside) ASSERT_EQ(client.connect(), 0);
  ASSERT_TRUE(group.close_gate());
  EXPECT_EQ(Client(group.text()).connect(), ECONNREFUSED);
  EXPECT_EQ(accept_all(listeners), 10);
  EXPECT_EQ(::accept4(listeners[0].get(), nullptr, nullptr, 0), -1);
  EXPECT_TRUE(errno == EAGAIN || errno == EINVAL) << "which of the two depends on the kernel";
  std::filesystem::remove_all(folder);
}

TEST(Gate, InheritedListenerIsLeftAlone) {
  auto original = open_group("127.0.0.1:0", 1);
  original.let_go();
  Fd inherited = std::move(original.take(0).front());
  auto group = open_group("fd:" + std::to_string(inherited.release()), 2);
  EXPECT_EQ(group.tier(), GateTier::plain) << "others may hold it, and want to go on";
}

/// The gate of a server with two reactors, which the test plays.
class WholeGate {
 public:
  explicit WholeGate(const char* listen = "127.0.0.1:0") {
    groups_.push_back(open_group(listen, 2));
    listeners_ = take_all(groups_[0], 2);
    gate_.emplace(groups_, control_);
  }
  std::string target() { return "127.0.0.1:" + std::to_string(groups_[0].port()); }
  StopControl& control() { return control_; }
  void close() {
    began_ = monotonic_now();
    gate_->close();
  }
  /// How long the listeners are held.
  Duration held() {
    while (control_.listeners_held()) std::this_thread::yield();
    return monotonic_now() - began_;
  }
  void close_listener(uint32_t reactor) {
    listeners_[reactor].reset();
    control_.acknowledge(reactor, Phase::draining);
  }
  GateReport report() { return gate_->report(); }

 private:
  StopControl control_{2};
  std::vector<ListenerGroup> groups_;
  std::vector<Fd> listeners_;
  std::optional<Gate> gate_;
  Instant began_{};
};

TEST(Gate, IsCertifiedWhenNobodyIsOnTheWayIn) {
  WholeGate gate;
  gate.close();
  gate.held();
  for (uint32_t reactor : {0u, 1u}) gate.close_listener(reactor);
  const GateReport report = gate.report();
  EXPECT_NE(report.certified, report.cookies) << "one or the other";
  if (report.cookies) GTEST_SKIP() << "this kernel sends SYN cookies";
  ASSERT_EQ(report.listeners.size(), 1u);
  EXPECT_EQ(report.listeners[0].tier, "parking");
  EXPECT_LT(report.held_ms, 200);
}

TEST(Gate, WaitsForAHandshakeAsLongAsItMay) {
  WholeGate gate;
  Client slow(gate.target());
  if (!slow.deafen()) GTEST_SKIP() << "no CAP_NET_ADMIN";
  ASSERT_EQ(slow.connect(), EINPROGRESS);
  gate.close();
  EXPECT_GE(gate.held(), 200ms);
  for (uint32_t reactor : {0u, 1u}) gate.close_listener(reactor);
  EXPECT_FALSE(gate.report().certified);
  EXPECT_GE(gate.report().held_ms, 200);
}

TEST(Gate, LeadsNewcomersAsideUntilTheLastListenerIsClosed) {
  WholeGate gate;
  gate.close();
  gate.held();
  gate.close_listener(0);
  // The other one's reactor is stuck: who came to its queue would not be served.
  const Instant until = monotonic_now() + 30ms;
  while (monotonic_now() < until) EXPECT_EQ(Client(gate.target()).connect(), EINPROGRESS);
  gate.close_listener(1);
  while (Client(gate.target()).connect() != ECONNREFUSED) std::this_thread::yield();
  gate.report();
}

TEST(Gate, WantedTierThatDoesNotWorkIsAnError) {
  if (can_drop_syns()) GTEST_SKIP() << "has CAP_NET_ADMIN";
  auto group = ListenerGroup::open(*parse_address("127.0.0.1:0"), 1, kBacklog,
                                   {.tier = GateTier::syn_filter, .cpus = {}});
  ASSERT_FALSE(group);
  EXPECT_NE(group.error().message.find("SO_ATTACH_FILTER"), std::string::npos) << group.error().message;
}

// Over loopback a SYN is handled on the CPU of who sends it.
TEST(Steering, ByCpuGoesToTheReactorOfThatCpu) {
  const std::vector<uint32_t> cpus = pinned_cpus(2);
  if (cpus.size() < 2) GTEST_SKIP() << "one CPU";
  for (const GateTier tier : {GateTier::parking, GateTier::plain}) {
    auto group = open_group("127.0.0.1:0", 2, {.tier = tier, .cpus = cpus});
    auto listeners = take_all(group, 2);
    for (uint32_t cpu = 0; cpu < 2; ++cpu) {
      std::thread([&] {
        ASSERT_TRUE(pin_thread(cpu));
        for (int i = 0; i < 20; ++i) ASSERT_EQ(Client(group.text()).connect(), 0);
      }).join();
      std::vector<Fd> mine;
      mine.push_back(std::move(listeners[cpu]));
      EXPECT_EQ(accept_all(mine), 20);
      EXPECT_EQ(accept_all(listeners), 0);
      listeners[cpu] = std::move(mine[0]);
    }
  }
}

/// Runs `test` in a child process with a network namespace of its own, loopback up; returns what it returns,
/// or nullopt where that is not allowed.
template <class Test>
std::optional<int> in_namespace(Test test) {
  constexpr int kNotAllowed = 77;
  const pid_t child = ::fork();
  if (child == 0) {
    if (::unshare(CLONE_NEWNET) != 0 && ::unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) ::_exit(kNotAllowed);
    Fd any(::socket(AF_INET, SOCK_DGRAM, 0));
    ifreq loopback{};
    std::strcpy(loopback.ifr_name, "lo");
    loopback.ifr_flags = IFF_UP;
    if (::ioctl(any.get(), SIOCSIFFLAGS, &loopback) != 0) ::_exit(kNotAllowed);
    int result = 1;
    try {
      result = test();
    } catch (const std::exception& thrown) {
      std::fprintf(stderr, "%s\n", thrown.what());
    }
    std::fflush(nullptr);
    ::_exit(result);
  }
  int status = 0;
  if (TEMP_FAILURE_RETRY(::waitpid(child, &status, 0)) != child || !WIFEXITED(status)) return 1;
  if (WEXITSTATUS(status) == kNotAllowed) return std::nullopt;
  return WEXITSTATUS(status);
}

/// Clients on several threads connect until one of them is led aside, the gate closes among them; true when
/// everybody whose handshake ended is in a queue.
bool storm_loses_nobody(const char* listen) {
  constexpr size_t kEnough = 200;
  auto group = open_group(listen, 3, {.tier = GateTier::parking, .cpus = {}});
  auto listeners = take_all(group, 3);
  const std::string target = (listen[0] == '1' ? "127.0.0.1:" : "[::1]:") + std::to_string(group.port());
  std::atomic<size_t> connected = 0;
  std::vector<std::vector<Client>> clients(4);
  std::vector<std::jthread> threads;
  for (std::vector<Client>& mine : clients) {
    threads.emplace_back([&] {
      while (mine.size() < 300) {
        mine.emplace_back(target);
        if (mine.back().connect() != 0) return;
        ++connected;
      }
    });
  }
  while (connected < kEnough) std::this_thread::yield();
  if (!group.close_gate()) return false;
  threads.clear();
  if (Client(target).connect() != EINPROGRESS) return false;
  size_t inside = 0;
  for (std::vector<Client>& mine : clients) {
    for (Client& client : mine) inside += client.state() == 0 ? 1 : 0;
  }
  return static_cast<size_t>(accept_all(listeners)) == inside && inside >= kEnough;
}

TEST(Gate, StormLosesNobody) {
  for (const char* listen : {"127.0.0.1:0", ":0", "[::1]:0"}) {
    if (listen[0] != '1' && !has_ipv6()) continue;
    EXPECT_TRUE(storm_loses_nobody(listen)) << listen;
  }
}

// With SYN cookies no listener knows of a handshake before it ends, and the program is asked again for its
// last packet.
TEST(Gate, StormLosesNobodyBySynCookies) {
  constexpr int kNotAllowed = 78;
  const std::optional<int> failed = in_namespace([] {
    std::ofstream("/proc/sys/net/ipv4/tcp_syncookies") << "2" << std::flush;
    if (syn_cookies_sent() != UINT64_MAX) return kNotAllowed;
    for (const char* listen : {"127.0.0.1:0", ":0", "[::1]:0"}) {
      for (int times = 0; times < 10; ++times) {
        if ((listen[0] == '1' || has_ipv6()) && !storm_loses_nobody(listen)) return 1;
      }
    }
    return 0;
  });
  if (!failed || *failed == kNotAllowed) GTEST_SKIP() << "no network namespace, or its settings are fixed";
  EXPECT_EQ(*failed, 0);
}

// Nobody knows of a handshake by SYN cookie: only time helps, and the report says so.
TEST(Gate, WaitsOutItsTimeForSynCookies) {
  constexpr int kNotAllowed = 78;
  const std::optional<int> failed = in_namespace([] {
    std::ofstream("/proc/sys/net/ipv4/tcp_syncookies") << "2" << std::flush;
    if (syn_cookies_sent() != UINT64_MAX) return kNotAllowed;
    WholeGate gate;
    gate.close();
    const Duration held = gate.held();
    for (uint32_t reactor : {0u, 1u}) gate.close_listener(reactor);
    const GateReport report = gate.report();
    return held >= 200ms && report.cookies && !report.certified ? 0 : 1;
  });
  if (!failed || *failed == kNotAllowed) GTEST_SKIP() << "no network namespace, or its settings are fixed";
  EXPECT_EQ(*failed, 0);
}

}  // namespace
}  // namespace lastcall
