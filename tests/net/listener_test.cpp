#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <stdexcept>

#include <lastcall/net/listener.hpp>
#include <lastcall/net/socket.hpp>

namespace lastcall {
namespace {

constexpr int kBacklog = 512;

ListenerGroup open_group(const std::string& text, uint32_t reactors) {
  auto address = parse_address(text);
  EXPECT_TRUE(address) << address.error().message;
  auto group = ListenerGroup::open(*address, reactors, kBacklog);
  if (!group) throw std::runtime_error(group.error().message);
  return std::move(*group);
}

Error open_error(const std::string& text, uint32_t reactors = 2) {
  auto address = parse_address(text);
  if (!address) return address.error();
  auto group = ListenerGroup::open(*address, reactors, kBacklog);
  return group ? Error{"opened " + group->text()} : group.error();
}

Fd connect_to(const std::string& text) {
  auto address = parse_address(text);
  EXPECT_TRUE(address);
  auto fd = make_stream_socket(address->storage.ss_family);
  EXPECT_TRUE(fd);
  if (::connect(fd->get(), reinterpret_cast<sockaddr*>(&address->storage), address->length) != 0) return Fd();
  return std::move(*fd);
}

int option(int fd, int level, int name) {
  int value = -1;
  socklen_t length = sizeof value;
  EXPECT_EQ(::getsockopt(fd, level, name, &value, &length), 0);
  return value;
}

/// Accepts `total` connections and counts them by listener.
std::vector<int> accept_all(const std::vector<Fd>& listeners, int total) {
  std::vector<int> counts(listeners.size());
  std::vector<pollfd> polls;
  for (const Fd& fd : listeners) polls.push_back({.fd = fd.get(), .events = POLLIN, .revents = 0});
  for (int accepted = 0; accepted < total;) {
    if (::poll(polls.data(), polls.size(), 5000) <= 0) return counts;
    for (size_t i = 0; i < polls.size(); ++i) {
      if (!(polls[i].revents & POLLIN)) continue;
      Fd connection(::accept4(polls[i].fd, nullptr, nullptr, SOCK_CLOEXEC));
      if (!connection) continue;
      ++counts[i];
      ++accepted;
    }
  }
  return counts;
}

std::vector<Fd> take_all(ListenerGroup& group, uint32_t reactors) {
  std::vector<Fd> listeners;
  for (uint32_t i = 0; i < reactors; ++i) listeners.push_back(std::move(group.take(i).front()));
  return listeners;
}

bool has_ipv6() {
  return open_error("[::1]:0").message.starts_with("opened");
}

/// A child process that listens, until it is destroyed.
class Holder {
 public:
  explicit Holder(bool reuse_port, int family = AF_INET) {
    int up[2], down[2];
    EXPECT_EQ(::pipe2(up, O_CLOEXEC), 0);
    EXPECT_EQ(::pipe2(down, O_CLOEXEC), 0);
    Fd port_in(up[0]), port_out(up[1]), end_in(down[0]);
    end_.reset(down[1]);
    pid_ = ::fork();
    if (pid_ == 0) {
      end_.reset();
      hold(reuse_port, family, port_out.get(), end_in.get());
    }
    port_out.reset();
    EXPECT_EQ(::read(port_in.get(), &port_, sizeof port_), static_cast<ssize_t>(sizeof port_));
  }
  ~Holder() {
    end_.reset();
    ::waitpid(pid_, nullptr, 0);
  }
  Holder(const Holder&) = delete;
  Holder& operator=(const Holder&) = delete;

  [[nodiscard]] std::string port() const { return std::to_string(port_); }
  [[nodiscard]] std::string name() const { return "pid " + std::to_string(pid_) + " (the holder)"; }

 private:
  [[noreturn]] static void hold(bool reuse_port, int family, int port_out, int end_in) {
    ::prctl(PR_SET_NAME, "the holder");
    auto fd = make_stream_socket(family);
    sockaddr_in6 any{};  // zero bytes are the any address and port 0 of both families
    any.sin6_family = static_cast<sa_family_t>(family);
    bool ok = fd && set_reuse_address(fd->get()) && (!reuse_port || set_reuse_port(fd->get())) &&
              ::bind(fd->get(), reinterpret_cast<sockaddr*>(&any),
                     family == AF_INET ? sizeof(sockaddr_in) : sizeof any) == 0 &&
              ::listen(fd->get(), 1) == 0;
    auto local = ok ? local_address(fd->get()) : error("");
    uint16_t port = local ? local->port() : 0;
    char byte = 0;
    if (::write(port_out, &port, sizeof port) > 0) static_cast<void>(!::read(end_in, &byte, 1));
    ::_exit(0);
  }

  Fd end_;
  pid_t pid_ = -1;
  uint16_t port_ = 0;
};

void expect_balanced(const std::string& listen, const std::vector<std::string>& hosts) {
  auto group = open_group(listen, 2);
  ASSERT_NE(group.port(), 0);
  EXPECT_FALSE(group.shared());
  auto listeners = take_all(group, 2);
  std::vector<Fd> clients;
  for (int i = 0; i < 200; ++i) {
    const std::string& host = hosts[static_cast<size_t>(i) % hosts.size()];
    clients.push_back(connect_to(host + ":" + std::to_string(group.port())));
    ASSERT_TRUE(clients.back()) << std::strerror(errno);
  }
  auto counts = accept_all(listeners, 200);
  EXPECT_GT(counts[0], 0);
  EXPECT_GT(counts[1], 0);
  EXPECT_EQ(counts[0] + counts[1], 200);
}

TEST(ListenerGroup, BalancesIpv4) {
  expect_balanced("127.0.0.1:0", {"127.0.0.1"});
}

TEST(ListenerGroup, BalancesIpv6) {
  if (!has_ipv6()) GTEST_SKIP() << "no IPv6";
  expect_balanced("[::1]:0", {"[::1]"});
}

TEST(ListenerGroup, BalancesDualStack) {
  if (!has_ipv6()) GTEST_SKIP() << "no IPv6";
  expect_balanced(":0", {"127.0.0.1", "[::1]"});
}

TEST(ListenerGroup, Ipv6AddressTakesNoIpv4) {
  if (!has_ipv6()) GTEST_SKIP() << "no IPv6";
  auto group = open_group("[::]:0", 2);
  EXPECT_FALSE(connect_to("127.0.0.1:" + std::to_string(group.port())));
}

TEST(ListenerGroup, PortZeroPicksOneForAllAndSaysSo) {
  auto group = open_group("127.0.0.1:0", 3);
  EXPECT_EQ(group.text(), "127.0.0.1:" + std::to_string(group.port()));
  for (const Fd& fd : take_all(group, 3)) {
    auto local = local_address(fd.get());
    ASSERT_TRUE(local);
    EXPECT_EQ(local->port(), group.port());
  }
}

TEST(ListenerGroup, AcceptedSocketsInheritNoDelay) {
  auto group = open_group("127.0.0.1:0", 2);
  auto listeners = take_all(group, 2);
  Fd client = connect_to(group.text());
  pollfd polls[2] = {{listeners[0].get(), POLLIN, 0}, {listeners[1].get(), POLLIN, 0}};
  ASSERT_EQ(::poll(polls, 2, 5000), 1);
  Fd accepted(::accept4(polls[0].revents ? polls[0].fd : polls[1].fd, nullptr, nullptr, SOCK_CLOEXEC));
  ASSERT_TRUE(accepted);
  EXPECT_EQ(option(accepted.get(), IPPROTO_TCP, TCP_NODELAY), 1);
  EXPECT_EQ(peer_address(client.get()), group.text());
  for (const Fd& fd : listeners) {
    EXPECT_EQ(option(fd.get(), IPPROTO_TCP, TCP_DEFER_ACCEPT), 0);
    EXPECT_TRUE(::fcntl(fd.get(), F_GETFD) & FD_CLOEXEC);
    EXPECT_FALSE(::fcntl(fd.get(), F_GETFL) & O_NONBLOCK);
  }
}

// A connection that the server closed first is in TIME_WAIT on its port for a minute.
TEST(ListenerGroup, TimeWaitDoesNotMatter) {
  std::string text;
  {
    auto group = open_group("127.0.0.1:0", 1);
    text = group.text();
    Fd listener = std::move(group.take(0).front());
    Fd client = connect_to(text);
    Fd accepted(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    ASSERT_TRUE(accepted);
    accepted.reset();
    char byte = 0;
    EXPECT_EQ(::read(client.get(), &byte, 1), 0);
  }
  EXPECT_EQ(open_error(text).message, "opened " + text);
}

TEST(ListenerGroup, TakenPortNamesTheHolder) {
  for (bool reuse_port : {false, true}) {
    Holder holder(reuse_port);
    EXPECT_EQ(find_port_holder(static_cast<uint16_t>(std::stoi(holder.port()))), holder.name());
    for (uint32_t reactors : {1u, 2u}) {
      auto failed = open_error("127.0.0.1:" + holder.port(), reactors);
      EXPECT_EQ(failed.code, EADDRINUSE);
      EXPECT_EQ(failed.message,
                "listen 127.0.0.1:" + holder.port() + ": Address already in use: held by " + holder.name());
    }
    if (has_ipv6()) {
      EXPECT_EQ(open_error(":" + holder.port()).message,
                "listen :" + holder.port() + ": Address already in use: held by " + holder.name());
    }
  }
}

TEST(ListenerGroup, HolderOnIpv6IsNamedToo) {
  if (!has_ipv6()) GTEST_SKIP() << "no IPv6";
  Holder holder(true, AF_INET6);
  EXPECT_EQ(open_error("[::1]:" + holder.port()).message,
            "listen [::1]:" + holder.port() + ": Address already in use: held by " + holder.name());
}

TEST(ListenerGroup, SecondGroupCannotJoin) {
  auto group = open_group("127.0.0.1:0", 2);
  EXPECT_EQ(open_error(group.text()).code, EADDRINUSE);
  EXPECT_EQ(open_error("0.0.0.0:" + std::to_string(group.port())).code, EADDRINUSE);
}

// With SO_REUSEADDR on both, a bind alone excludes nobody; two servers that start at once are told apart by
// listen(2).
TEST(ListenerGroup, SecondServerBetweenBindAndListenLoses) {
  auto other = make_stream_socket(AF_INET);
  ASSERT_TRUE(other && set_reuse_address(other->get()));
  auto address = parse_address("127.0.0.1:0");
  ASSERT_EQ(::bind(other->get(), reinterpret_cast<sockaddr*>(&address->storage), address->length), 0);
  auto bound = local_address(other->get());
  ASSERT_TRUE(bound);
  auto group = open_group("127.0.0.1:" + std::to_string(bound->port()), 2);
  EXPECT_EQ(::listen(other->get(), 1), -1);
  EXPECT_EQ(errno, EADDRINUSE);
}

TEST(ListenerGroup, AddressThatIsNotOurs) {
  auto failed = open_error("192.0.2.1:80");  // TEST-NET-1, RFC 5737
  EXPECT_EQ(failed.message, "listen 192.0.2.1:80: Cannot assign requested address");
}

TEST(FindPortHolder, EmptyWhenNobodyListens) {
  uint16_t port = open_group("127.0.0.1:0", 1).port();
  EXPECT_EQ(find_port_holder(port), "");
}

struct UnixListener : testing::Test {
  UnixListener() {
    char name[] = "/tmp/lastcall-listener-XXXXXX";
    folder = ::mkdtemp(name);
    path = folder + "/x.sock";
    text = "unix:" + path;
  }
  ~UnixListener() override { std::filesystem::remove_all(folder); }
  [[nodiscard]] bool exists() const {
    struct stat found {};
    return ::lstat(path.c_str(), &found) == 0;
  }
  void leave_stale_file() const {
    auto stale = make_stream_socket(AF_UNIX);
    auto address = parse_address(text);
    ASSERT_EQ(::bind(stale->get(), reinterpret_cast<sockaddr*>(&address->storage), address->length), 0);
  }
  std::string folder, path, text;
};

TEST_F(UnixListener, OneQueueForAllReactors) {
  auto group = open_group(text, 3);
  EXPECT_TRUE(group.shared());
  EXPECT_EQ(group.port(), 0);
  EXPECT_EQ(group.text(), text);
  auto listeners = take_all(group, 3);
  Fd client = connect_to(text);
  ASSERT_TRUE(client);
  pollfd last{listeners[2].get(), POLLIN, 0};
  EXPECT_EQ(::poll(&last, 1, 5000), 1);
  for (const Fd& fd : listeners) EXPECT_TRUE(::fcntl(fd.get(), F_GETFD) & FD_CLOEXEC);
}

TEST_F(UnixListener, FileGoesWithTheGroup) {
  {
    auto group = open_group(text, 1);
    auto moved = std::move(group);
    EXPECT_TRUE(exists());
    moved = open_group("127.0.0.1:0", 1);
    EXPECT_FALSE(exists());
    moved = open_group(text, 1);
    EXPECT_TRUE(exists());
  }
  EXPECT_FALSE(exists());
}

TEST_F(UnixListener, FileOfASuccessorStays) {
  std::optional<ListenerGroup> first = open_group(text, 1);
  ASSERT_EQ(::unlink(path.c_str()), 0);
  auto second = open_group(text, 1);
  first.reset();
  EXPECT_TRUE(exists());
  EXPECT_TRUE(connect_to(text));
}

TEST_F(UnixListener, StaleFileIsReplaced) {
  leave_stale_file();
  ASSERT_TRUE(exists());
  EXPECT_EQ(open_error(text).message, "opened " + text);
}

TEST_F(UnixListener, LivingSocketIsAnErrorThatNamesIt) {
  auto group = open_group(text, 1);
  std::string self = std::filesystem::path(std::filesystem::read_symlink("/proc/self/exe")).filename();
  auto failed = open_error(text);
  EXPECT_EQ(failed.code, EADDRINUSE);
  EXPECT_EQ(failed.message, "listen " + text + ": Address already in use: held by pid " +
                                std::to_string(::getpid()) + " (" + self.substr(0, 15) + ")");
  EXPECT_TRUE(connect_to(text));
}

TEST_F(UnixListener, LivingSocketWithAFullQueueIsStillLiving) {
  auto address = parse_address(text);
  auto group = ListenerGroup::open(*address, 1, 0);
  ASSERT_TRUE(group);
  Fd filler = connect_to(text);  // a backlog of 0 holds one
  ASSERT_TRUE(filler);
  EXPECT_EQ(open_error(text).message, "listen " + text + ": Address already in use");
  EXPECT_TRUE(exists());
}

TEST_F(UnixListener, DatagramSocketIsLeftAlone) {
  Fd datagram(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  auto address = parse_address(text);
  ASSERT_EQ(::bind(datagram.get(), reinterpret_cast<sockaddr*>(&address->storage), address->length), 0);
  EXPECT_EQ(open_error(text).code, EADDRINUSE);
  EXPECT_TRUE(exists());
}

TEST_F(UnixListener, FileThatIsNoSocketIsNeverRemoved) {
  std::ofstream(path) << "precious";
  EXPECT_EQ(open_error(text).message, "listen " + text + ": the file exists and is not a socket");
  std::string content;
  std::ifstream(path) >> content;
  EXPECT_EQ(content, "precious");
  std::filesystem::remove(path);
  std::filesystem::create_symlink("/nowhere", path);
  EXPECT_EQ(open_error(text).message, "listen " + text + ": the file exists and is not a socket");
  EXPECT_TRUE(exists());
}

TEST_F(UnixListener, MissingFolder) {
  EXPECT_EQ(open_error("unix:" + folder + "/no/x.sock").message,
            "listen unix:" + folder + "/no/x.sock: No such file or directory");
}

struct InheritedListener : testing::Test {
  InheritedListener()
      : original(open_group("127.0.0.1:0", 1)), inherited(std::move(original.take(0).front())) {
    original.let_go();
  }
  [[nodiscard]] static std::string text(int fd) { return "fd:" + std::to_string(fd); }
  ListenerGroup original;
  Fd inherited;
};

TEST_F(InheritedListener, IsDuplicatedForEachReactorAndTakenOver) {
  // High, so that no duplicate is given its number.
  const int number = ::fcntl(inherited.get(), F_DUPFD_CLOEXEC, 100);
  inherited.reset();
  auto group = open_group(text(number), 2);
  EXPECT_TRUE(group.shared());
  EXPECT_EQ(group.port(), original.port());
  EXPECT_EQ(group.text(), original.text());
  EXPECT_EQ(::fcntl(number, F_GETFD), -1);
  auto listeners = take_all(group, 2);
  Fd client = connect_to(original.text());
  ASSERT_TRUE(client);
  for (const Fd& fd : listeners) {
    pollfd waiting{fd.get(), POLLIN, 0};
    EXPECT_EQ(::poll(&waiting, 1, 5000), 1);
    EXPECT_TRUE(::fcntl(fd.get(), F_GETFD) & FD_CLOEXEC);
  }
  listeners.clear();
  EXPECT_FALSE(connect_to(original.text()));
}

TEST_F(InheritedListener, ClearErrors) {
  auto lonely = make_stream_socket(AF_INET);
  Fd datagram(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  Fd file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(open_error(text(lonely->get())).message,
            "listen " + text(lonely->get()) + ": the socket is not listening");
  EXPECT_EQ(open_error(text(datagram.get())).message,
            "listen " + text(datagram.get()) + ": is not a stream socket");
  EXPECT_EQ(open_error(text(file.get())).message, "listen " + text(file.get()) + ": is not a socket");
  EXPECT_EQ(open_error("fd:1000000").message, "listen fd:1000000: no such descriptor was inherited");
  EXPECT_GE(::fcntl(file.get(), F_GETFD), 0) << "a refused descriptor stays the caller's";
}

}  // namespace
}  // namespace lastcall
