#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include <lastcall/core/clock.hpp>
#include <lastcall/net/handover.hpp>
#include <lastcall/net/listener.hpp>

namespace lastcall {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

class Channel : public ::testing::Test {
 protected:
  Channel() : Channel(HandoverChannel::open_pair().value()) {}

  static Instant soon() { return monotonic_now() + 10s; }
  static Instant past() { return monotonic_now() - 1s; }
  /// A connected pair; one end is closed when its other is.
  static std::pair<Fd, Fd> connection() {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    return {Fd(ends[0]), Fd(ends[1])};
  }

  HandoverChannel former;
  HandoverChannel later;

 private:
  explicit Channel(std::pair<Fd, Fd> ends) : former(std::move(ends.first)), later(std::move(ends.second)) {}
};

TEST_F(Channel, CarriesTextAndDescriptors) {
  const auto [one, other] = connection();
  const int sent[] = {one.get(), other.get()};
  ASSERT_TRUE(former.send(HandoverKind::descriptors, "words", sent, soon()));
  const Result<HandoverMessage> got = later.receive(soon());
  ASSERT_TRUE(got);
  EXPECT_EQ(got->kind, HandoverKind::descriptors);
  EXPECT_EQ(got->text, "words");
  ASSERT_THAT(got->descriptors, SizeIs(2));
  EXPECT_EQ(::write(got->descriptors[0].get(), "x", 1), 1);
  char byte = 0;
  EXPECT_EQ(::read(other.get(), &byte, 1), 1);
  EXPECT_TRUE((::fcntl(got->descriptors[1].get(), F_GETFD) & FD_CLOEXEC) != 0);
}

TEST_F(Channel, TakesAConnectionAndClosesOurDescriptor) {
  auto [ours, theirs] = connection();
  const int fd = ours.release();
  EXPECT_EQ(former.take(fd, "a note"), ConnectionTaker::Answer::taken);
  EXPECT_EQ(::fcntl(fd, F_GETFD), -1);
  const Result<HandoverMessage> got = later.receive(soon());
  ASSERT_TRUE(got);
  EXPECT_EQ(got->kind, HandoverKind::connection);
  EXPECT_EQ(got->text, "a note");
  EXPECT_THAT(got->descriptors, SizeIs(1));
}

TEST_F(Channel, SaysNotNowWhenItIsFullAndNeverWhenNobodyIsThere) {
  const auto [ours, theirs] = connection();
  ConnectionTaker::Answer answer = ConnectionTaker::Answer::taken;
  for (int i = 0; i < 10'000 && answer == ConnectionTaker::Answer::taken; ++i)
    answer = former.take(::fcntl(ours.get(), F_DUPFD_CLOEXEC, 0), {});
  EXPECT_EQ(answer, ConnectionTaker::Answer::not_now);
  EXPECT_EQ(former.send(HandoverKind::go, "", {}, past()).error().code, ETIMEDOUT);
  later.close_input();
  EXPECT_EQ(former.take(ours.get(), {}), ConnectionTaker::Answer::never);
  EXPECT_NE(::fcntl(ours.get(), F_GETFD), -1) << "it is ours still";
  int received = 0;
  while (later.receive(soon())) ++received;
  EXPECT_GT(received, 50) << "what was on its way is not lost";
}

TEST_F(Channel, KnowsItsLimits) {
  const std::string most(HandoverChannel::kMaxText, 'x');
  ASSERT_TRUE(former.send(HandoverKind::hello, most, {}, soon()));
  EXPECT_EQ(later.receive(soon())->text, most);
  EXPECT_EQ(former.send(HandoverKind::hello, most + "x", {}, soon()).error().code, EMSGSIZE);
  const std::vector<int> descriptors(HandoverChannel::kMaxDescriptors, STDIN_FILENO);
  ASSERT_TRUE(former.send(HandoverKind::descriptors, "", descriptors, soon()));
  EXPECT_THAT(later.receive(soon())->descriptors, SizeIs(HandoverChannel::kMaxDescriptors));
  const std::vector<int> more(HandoverChannel::kMaxDescriptors + 1, STDIN_FILENO);
  EXPECT_EQ(former.send(HandoverKind::descriptors, "", more, soon()).error().code, EMSGSIZE);

  // Somebody else's idea of a message.
  const std::string long_one = "H" + most + "x";
  ASSERT_GT(::send(former.fd(), long_one.data(), long_one.size(), 0), 0);
  EXPECT_EQ(later.receive(soon()).error().code, EPROTO);
}

TEST_F(Channel, TellsOfTheEndAndOfTime) {
  EXPECT_EQ(later.receive(past()).error().code, ETIMEDOUT);
  former.end();
  EXPECT_EQ(later.receive(soon()).error().code, EPIPE);
  EXPECT_FALSE(former.send(HandoverKind::go, "", {}, soon()));
}

TEST(HandoverMessages, AreReadAsTheyWereWritten) {
  const HandoverListener listener{
      .address = "unix:/run/\"x\".sock", .admin = true, .tier = "unix", .gate_note = "why", .sockets = 3};
  const Result<HandoverListener> read = parse_handover_listener(to_json(listener));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->address, listener.address);
  EXPECT_EQ(read->admin, true);
  EXPECT_EQ(read->tier, "unix");
  EXPECT_EQ(read->gate_note, "why");
  EXPECT_EQ(read->sockets, 3u);
  const Result<HandoverHello> hello =
      parse_handover_hello(to_json(HandoverHello{.lastcall = "1", .listeners = 2}));
  ASSERT_TRUE(hello);
  EXPECT_EQ(hello->version, HandoverChannel::kVersion);
  EXPECT_EQ(hello->listeners, 2u);
  const uint32_t taken[] = {0, 2};
  EXPECT_THAT(parse_taken(taken_to_json(taken), 3).value(), ElementsAre(0u, 2u));
}

TEST(HandoverMessages, OfAnotherVersionAreNotLookedInto) {
  const Result<HandoverHello> hello = parse_handover_hello(R"({"version":7,"listeners":"many"})");
  ASSERT_TRUE(hello);
  EXPECT_EQ(hello->version, 7);
}

TEST(HandoverMessages, ThatAreMalformedAreRefused) {
  const std::string many = std::to_string(HandoverChannel::kMaxListeners + 2);
  for (const std::string& text :
       {std::string(), std::string("{"), std::string("[]"), std::string("{}"),
        std::string(R"({"version":1})"), std::string(R"({"version":"1","lastcall":"1","listeners":0})"),
        std::string(R"({"version":1,"lastcall":1,"listeners":0})"),
        R"({"version":1,"lastcall":"1","listeners":)" + many + "}"}) {
    EXPECT_EQ(parse_handover_hello(text).error().code, EPROTO) << text;
  }
  const auto listener = [](const char* sockets) {
    return R"({"address":"a","admin":false,"tier":"plain","note":"","sockets":)" + std::string(sockets) + "}";
  };
  EXPECT_TRUE(parse_handover_listener(listener("1")));
  EXPECT_TRUE(parse_handover_listener(listener("1024")));
  for (const char* sockets : {"0", "-1", "1025", "1.5", "\"1\"", "99999999999999999999"})
    EXPECT_EQ(parse_handover_listener(listener(sockets)).error().code, EPROTO) << sockets;
  EXPECT_FALSE(parse_handover_listener(R"({"address":"a"})"));
  for (const char* taken : {"", "{}", R"({"taken":3})", R"({"taken":[3]})", R"({"taken":[-1]})",
                            R"({"taken":["0"]})", R"({"taken":[0,0,0,0]})"})
    EXPECT_EQ(parse_taken(taken, 3).error().code, EPROTO) << taken;
}

class Inherited : public ::testing::TestWithParam<std::pair<uint32_t, uint32_t>> {
 protected:
  /// Copies, as they come out of a channel.
  static ListenerParts<Fd> received(const ListenerParts<int>& parts) {
    const auto copy = [](int fd) { return Fd(fd < 0 ? -1 : ::fcntl(fd, F_DUPFD_CLOEXEC, 0)); };
    ListenerParts<Fd> copies{.sockets = {},
                             .parking = copy(parts.parking),
                             .filler = copy(parts.filler),
                             .tier = parts.tier,
                             .gate_note = parts.gate_note};
    for (const int socket : parts.sockets) copies.sockets.push_back(copy(socket));
    return copies;
  }
};

INSTANTIATE_TEST_SUITE_P(Reactors, Inherited,
                         ::testing::Values(std::pair(1u, 1u), std::pair(2u, 2u), std::pair(1u, 3u),
                                           std::pair(3u, 1u), std::pair(5u, 2u), std::pair(2u, 5u)),
                         [](const auto& made) {
                           return "From" + std::to_string(made.param.first) + "To" +
                                  std::to_string(made.param.second);
                         });

TEST_P(Inherited, EverySocketHasAReactorAndEveryReactorASocket) {
  const auto [before, after] = GetParam();
  const Address address = parse_address("127.0.0.1:0").value();
  Result<ListenerGroup> former = ListenerGroup::open(address, before, 128);
  ASSERT_TRUE(former);
  const ListenerParts<int> parts = former->parts();
  ASSERT_THAT(parts.sockets, SizeIs(before));
  Result<ListenerGroup> later = ListenerGroup::inherit(address, received(parts), after);
  ASSERT_TRUE(later) << later.error().message;
  EXPECT_EQ(later->port(), former->port());
  EXPECT_EQ(later->tier(), former->tier());
  std::vector<std::vector<Fd>> dealt;
  size_t sockets = 0;
  for (uint32_t i = 0; i < after; ++i) {
    dealt.push_back(later->take(i));
    EXPECT_FALSE(dealt.back().empty());
    sockets += dealt.back().size();
  }
  EXPECT_EQ(sockets, std::max(before, after));
  EXPECT_THAT(later->parts().sockets, SizeIs(before)) << "a third process gets the same";

  // The former lets go, and every connection still finds a queue of the later one.
  for (uint32_t i = 0; i < before; ++i) former->take(i).clear();
  former->hand_over();
  for (int i = 0; i < 16; ++i) {
    const Fd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons(later->port());
    ASSERT_EQ(::connect(client.get(), reinterpret_cast<sockaddr*>(&to), sizeof to), 0)
        << std::strerror(errno);
  }
}

TEST(InheritedListeners, ThatAreNoneAreRefused) {
  const Address address = parse_address("127.0.0.1:0").value();
  EXPECT_FALSE(ListenerGroup::inherit(address, {}, 1));
  ListenerParts<Fd> plain;
  plain.sockets.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const auto refused = ListenerGroup::inherit(address, std::move(plain), 1);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("not listening"), std::string::npos) << refused.error().message;
}

TEST(InheritedListeners, SocketFileIsTheSuccessors) {
  const std::string path = ::testing::TempDir() + "lastcall-handover-" + std::to_string(::getpid());
  const Address address = parse_address("unix:" + path).value();
  std::optional<ListenerGroup> former = ListenerGroup::open(address, 2, 128).value();
  ListenerParts<Fd> parts;
  parts.tier = former->tier();
  for (const int socket : former->parts().sockets)
    parts.sockets.emplace_back(::fcntl(socket, F_DUPFD_CLOEXEC, 0));
  ASSERT_THAT(parts.sockets, SizeIs(1)) << "one queue, whoever shares it";
  std::optional<ListenerGroup> later = ListenerGroup::inherit(address, std::move(parts), 3).value();
  former->hand_over();
  ASSERT_TRUE(former->close_gate());
  former.reset();
  EXPECT_EQ(::access(path.c_str(), F_OK), 0);
  later.reset();
  EXPECT_NE(::access(path.c_str(), F_OK), 0);
}

}  // namespace
}  // namespace lastcall
