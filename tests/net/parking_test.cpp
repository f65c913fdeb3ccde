#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <cerrno>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include <lastcall/net/listener.hpp>
#include <lastcall/net/parking.hpp>
#include <lastcall/net/socket.hpp>
#include <lastcall/net/steering.hpp>

// How the parking listener comes to be, among clients that are there already.
namespace lastcall {
namespace {

constexpr int kBacklog = 512;
constexpr int kSynAgainMs = 1000;  // a SYN that nobody answered is sent again then
constexpr int kAnsweredMs = kSynAgainMs / 2;

/// A client of its own, which does not wait for its connection.
class Client {
 public:
  explicit Client(const Address& address)
      : socket_(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    const auto* target = reinterpret_cast<const sockaddr*>(&address.storage);
    if (::connect(socket_.get(), target, address.length) != 0) state_ = errno;
  }
  /// 0: connected, EINPROGRESS: not yet; else why not.
  int state(int patience_ms = 0) {
    if (state_ != 0 && state_ != EINPROGRESS) return state_;
    pollfd connected{.fd = socket_.get(), .events = POLLOUT, .revents = 0};
    if (::poll(&connected, 1, patience_ms) != 1) return EINPROGRESS;
    return socket_option(socket_.get(), SO_ERROR).value_or(EBADF);
  }

 private:
  Fd socket_;
  int state_ = 0;
};

Address at(const std::string& host, uint16_t port) {
  return *parse_address(host + ":" + std::to_string(port));
}

/// A bound socket: no port for others to pick, until it listens one that others may listen on.
struct Bound {
  explicit Bound(const std::string& host) {
    const Address address = at(host.empty() ? "[::]" : host, 0);
    socket = std::move(*make_stream_socket(address.storage.ss_family));
    EXPECT_TRUE(set_reuse_address(socket.get()));
    EXPECT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address.storage), address.length), 0);
    port = local_address(socket.get())->port();
  }
  Fd socket;
  uint16_t port = 0;
};

/// A parking listener that waits to be filled, and the one member beside it.
struct Pair {
  Pair(Bound bound, size_t strangers) : target(at("127.0.0.1", bound.port)) {
    parking = std::move(*ParkingListener::listen(std::move(bound.socket), kBacklog));
    for (size_t i = 0; i < strangers; ++i) clients.emplace_back(target);
    EXPECT_TRUE(set_reuse_port(parking.fd()));
    member = std::move(*make_stream_socket(AF_INET));
    EXPECT_TRUE(set_reuse_address(member.get()) && set_reuse_port(member.get()));
    EXPECT_EQ(::bind(member.get(), reinterpret_cast<const sockaddr*>(&target.storage), target.length), 0);
    EXPECT_EQ(::listen(member.get(), kBacklog), 0);
    EXPECT_TRUE(steer_to_reactors(parking.fd(), 1, {}));
  }
  Address target;
  ParkingListener parking;
  Fd member;
  std::vector<Client> clients;
};

int queue_length(int listener) {
  int length = 0;
  while (Fd(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC))) ++length;
  return length;
}

TEST(Parking, NobodyGetsInAndNobodyIsRefused) {
  Pair pair(Bound("127.0.0.1"), 0);
  const auto filled = pair.parking.fill(1, {});
  ASSERT_TRUE(filled) << filled.error().message;
  EXPECT_EQ(Client(pair.target).state(kAnsweredMs), 0) << "who comes now goes to the member";
  ASSERT_TRUE(steer_syns_aside(pair.parking.fd(), 1, {}));
  Client client(pair.target);
  EXPECT_EQ(client.state(), EINPROGRESS);
  EXPECT_TRUE(pair.parking.take_strays().empty());
  pair.member.reset();
  pair.parking = {};
  EXPECT_EQ(client.state(5 * kSynAgainMs), ECONNREFUSED);
}

// Whoever comes before there is anybody else to go to is not forgotten.
TEST(Parking, WhoComesFirstIsAStray) {
  for (const size_t strangers : {1u, 2u, 10u}) {
    Pair pair(Bound("127.0.0.1"), strangers);
    const auto filled = pair.parking.fill(1, {});
    ASSERT_TRUE(filled) << filled.error().message;
    EXPECT_EQ(pair.parking.take_strays().size(), strangers);
    for (Client& client : pair.clients) EXPECT_EQ(client.state(), 0);
    ASSERT_TRUE(steer_syns_aside(pair.parking.fd(), 1, {}));
    EXPECT_EQ(Client(pair.target).state(), EINPROGRESS);
  }
}

struct Way {
  const char* name;
  const char* listen;
  const char* connect;
};

class ClientsWhileItOpens : public testing::TestWithParam<Way> {
 protected:
  void SetUp() override {
    std::ifstream file("/proc/net/if_inet6");
    const bool ipv6 = file.peek() != std::ifstream::traits_type::eof();
    if (GetParam().listen[0] != '1' && !ipv6) GTEST_SKIP() << "no IPv6";
  }
};

INSTANTIATE_TEST_SUITE_P(Ways, ClientsWhileItOpens,
                         testing::Values(Way{"Ipv4", "127.0.0.1", "127.0.0.1"}, Way{"Ipv6", "[::1]", "[::1]"},
                                         Way{"DualStack", "", "[::1]"},
                                         Way{"DualStackIpv4", "", "127.0.0.1"}),
                         [](const auto& way) { return way.param.name; });

/// Connects without a pause; what became of it.
struct Crowd {
  static constexpr size_t kMost = 400;  // within the backlog, and the descriptors that a process may have
  static constexpr size_t kAfterwards = 20;

  void connect(const Address& target) {
    size_t left = kAfterwards;
    while (inside.size() < kMost && left > 0) {
      if (open) --left;
      Client client(target);
      const int state = client.state(kAnsweredMs);
      if (state == 0) {
        inside.push_back(std::move(client));
      } else if (state == EINPROGRESS) {
        ++unanswered;
      } else if (!inside.empty() || state != ECONNREFUSED) {
        ++refused;
      }
    }
  }
  std::atomic<bool> open = false;
  std::vector<Client> inside;
  int unanswered = 0;
  int refused = 0;
};

TEST_P(ClientsWhileItOpens, NobodyHasToAskAgainAndNobodyIsLost) {
  constexpr int kStarts = 40;
  constexpr uint32_t kReactors = 2;
  for (int start = 0; start < kStarts; ++start) {
    const Bound reserved(GetParam().listen);
    Crowd crowd;
    std::jthread thread([&] { crowd.connect(at(GetParam().connect, reserved.port)); });
    auto group = ListenerGroup::open(at(GetParam().listen, reserved.port), kReactors, kBacklog,
                                     {.tier = GateTier::parking, .cpus = {}});
    crowd.open = true;
    thread.join();
    ASSERT_TRUE(group) << group.error().message;
    ASSERT_EQ(crowd.unanswered, 0) << "in start " << start;
    ASSERT_EQ(crowd.refused, 0) << "in start " << start;
    size_t served = group->take_strays().size();
    for (uint32_t reactor = 0; reactor < kReactors; ++reactor) {
      const std::vector<Fd> listeners = group->take(reactor);
      ASSERT_EQ(::fcntl(listeners[0].get(), F_SETFL, O_NONBLOCK), 0);
      served += static_cast<size_t>(queue_length(listeners[0].get()));
    }
    EXPECT_EQ(served, crowd.inside.size());
    for (Client& client : crowd.inside) ASSERT_EQ(client.state(), 0);
  }
}

}  // namespace
}  // namespace lastcall
