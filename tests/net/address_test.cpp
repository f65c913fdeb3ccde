#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <cstddef>
#include <cstring>

#include <lastcall/net/address.hpp>
#include <lastcall/net/socket.hpp>

namespace lastcall {
namespace {

std::string parsed(std::string_view text) {
  auto address = parse_address(text);
  if (!address) return address.error().message;
  EXPECT_EQ(address->text, text);
  return format_address(reinterpret_cast<const sockaddr*>(&address->storage), address->length);
}

TEST(Address, HostAndPort) {
  EXPECT_EQ(parsed("127.0.0.1:8080"), "127.0.0.1:8080");
  EXPECT_EQ(parsed("0.0.0.0:0"), "0.0.0.0:0");
  EXPECT_EQ(parsed("127.0.0.1:65535"), "127.0.0.1:65535");
  EXPECT_EQ(parsed("[::1]:8080"), "[::1]:8080");
  EXPECT_EQ(parsed("[2001:db8::7]:443"), "[2001:db8::7]:443");
  auto address = parse_address("127.0.0.1:8080");
  ASSERT_TRUE(address);
  EXPECT_EQ(address->kind, Address::Kind::inet);
  EXPECT_EQ(address->port(), 8080);
  EXPECT_FALSE(address->dual_stack);
}

TEST(Address, PortAloneIsDualStack) {
  auto address = parse_address(":8080");
  ASSERT_TRUE(address);
  EXPECT_TRUE(address->dual_stack);
  EXPECT_EQ(address->port(), 8080);
  EXPECT_EQ(parsed(":8080"), "[::]:8080");
  ASSERT_TRUE(parse_address("[::]:8080"));
  EXPECT_FALSE(parse_address("[::]:8080")->dual_stack);
}

TEST(Address, NamesAreResolved) {
  auto address = parse_address("localhost:80");
  ASSERT_TRUE(address) << address.error().message;
  EXPECT_EQ(address->port(), 80);
}

TEST(Address, UnixPath) {
  auto address = parse_address("unix:/run/x.sock");
  ASSERT_TRUE(address);
  EXPECT_EQ(address->kind, Address::Kind::unix_path);
  EXPECT_EQ(address->port(), 0);
  EXPECT_EQ(parsed("unix:/run/x.sock"), "unix:/run/x.sock");
  EXPECT_EQ(parsed("unix:relative:80"), "unix:relative:80");
  std::string longest(sizeof(sockaddr_un::sun_path) - 1, 'x');
  EXPECT_EQ(parsed("unix:" + longest), "unix:" + longest);
  EXPECT_EQ(parsed("unix:" + longest + "x"),
            "listen address 'unix:" + longest + "x': the path is longer than 107 bytes");
  EXPECT_EQ(parsed("unix:"), "listen address 'unix:': the path is empty");
  EXPECT_NE(parsed(std::string_view("unix:a\0b", 8)).find("zero byte"), std::string::npos);
}

TEST(Address, InheritedDescriptor) {
  auto address = parse_address("fd:3");
  ASSERT_TRUE(address);
  EXPECT_EQ(address->kind, Address::Kind::inherited);
  EXPECT_EQ(address->fd, 3);
  EXPECT_EQ(address->port(), 0);
  for (std::string text : {"fd:", "fd:x", "fd:-1", "fd:3x", "fd: 3", "fd:99999999999"})
    EXPECT_EQ(parsed(text), "listen address '" + text + "': fd: needs the number of a descriptor");
}

TEST(Address, ErrorsSayWhatIsWrong) {
  auto wrong = [](const std::string& text) {
    std::string message = parsed(text), start = "listen address '" + text + "': ";
    return message.starts_with(start) ? message.substr(start.size())
                                      : "accepted, or without the text: " + message;
  };
  for (const char* text :
       {"foo:99999", "127.0.0.1:65536", "127.0.0.1:", "127.0.0.1:-1", "127.0.0.1:80x", ":http", ":",
        "127.0.0.1:+80", "127.0.0.1: 80", "[::1]:", "127.0.0.1:99999999999999999999"})
    EXPECT_EQ(wrong(text), "port must be 0 to 65535") << text;
  EXPECT_EQ(wrong(""), "must be HOST:PORT, [::1]:PORT, :PORT, unix:PATH or fd:N");
  EXPECT_EQ(wrong("8080"), "must be HOST:PORT, [::1]:PORT, :PORT, unix:PATH or fd:N");
  EXPECT_EQ(wrong("::1:8080"), "an IPv6 address needs brackets: [::1]:PORT");
  EXPECT_EQ(wrong("[::1]"), "needs ':PORT' after ']'");
  EXPECT_EQ(wrong("[::1]8080"), "needs ':PORT' after ']'");
  EXPECT_EQ(wrong("[::1:8080"), "'[' without ']'");
  EXPECT_EQ(wrong("[]:8080"), "nothing between the brackets");
  EXPECT_EQ(wrong("[127.0.0.1]:8080"), "no IPv6 address between the brackets");
  EXPECT_EQ(wrong("[localhost]:8080"), "no IPv6 address between the brackets");
  EXPECT_TRUE(wrong("no host:80").starts_with("cannot resolve 'no host': ")) << wrong("no host:80");
}

TEST(FormatAddress, MappedIpv4IsShownPlain) {
  EXPECT_EQ(parsed("[::ffff:127.0.0.1]:80"), "127.0.0.1:80");
}

TEST(FormatAddress, LinkLocalKeepsItsScope) {
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_addr.s6_addr[0] = 0xfe;
  address.sin6_addr.s6_addr[1] = 0x80;
  address.sin6_scope_id = 2;
  EXPECT_EQ(format_address(reinterpret_cast<sockaddr*>(&address), sizeof address), "[fe80::%2]:0");
}

TEST(FormatAddress, UnixForms) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  constexpr socklen_t kStart = offsetof(sockaddr_un, sun_path);
  EXPECT_EQ(format_address(generic, sizeof(sa_family_t)), "unix:");
  std::memcpy(address.sun_path, "\0name", 5);
  EXPECT_EQ(format_address(generic, kStart + 5), "unix:@name");
  std::memset(address.sun_path, 'x', sizeof address.sun_path);  // the kernel may leave out the zero byte
  EXPECT_EQ(format_address(generic, sizeof address), "unix:" + std::string(sizeof address.sun_path, 'x'));
}

TEST(FormatAddress, UnknownFamily) {
  sockaddr address{};
  address.sa_family = AF_NETLINK;
  EXPECT_EQ(format_address(&address, sizeof address), "?");
  EXPECT_EQ(format_address(&address, 0), "?");
}

TEST(PeerAddress, OfConnectedAndOfNoSocket) {
  int pair[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  Fd one(pair[0]), two(pair[1]);
  EXPECT_EQ(peer_address(one.get()), "unix:");
  EXPECT_EQ(peer_address(-1), "?");
  auto lonely = make_stream_socket(AF_INET);
  ASSERT_TRUE(lonely);
  EXPECT_EQ(peer_address(lonely->get()), "?");
}

}  // namespace
}  // namespace lastcall
