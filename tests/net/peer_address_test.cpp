#include <gtest/gtest.h>
#include <netinet/in.h>

#include <lastcall/net/peer_address.hpp>
#include <lastcall/net/trusted_proxies.hpp>

#include "tests/support/real_peer.hpp"

namespace lastcall {
namespace {

std::string round_trip(std::string_view text) {
  const auto peer = parse_peer(text);
  return peer ? peer->text() : "none";
}

TEST(PeerAddress, TextAndBack) {
  for (const char* text : {"192.0.2.1:53124", "[2001:db8::1]:80", "[::1]:0", "unix:", "0.0.0.0:65535"})
    EXPECT_EQ(round_trip(text), text);
  EXPECT_EQ(round_trip("[::ffff:192.0.2.1]:7"), "192.0.2.1:7");
  for (const char* text : {"", "192.0.2.1", "192.0.2.1:", "192.0.2.1:65536", "::1:80", "[192.0.2.1]:80",
                           "[::1]", "?", "[::1:80", "192.0.2.1:+1", "192.0.2.1:01"})
    EXPECT_EQ(round_trip(text), "none") << text;
}

TEST(PeerAddress, IpAlone) {
  EXPECT_EQ(parse_ip("192.0.2.1")->host(), "192.0.2.1");
  EXPECT_EQ(parse_ip("2001:DB8::1")->host(), "2001:db8::1");
  EXPECT_EQ(parse_ip("192.0.2.1"), parse_ip("::ffff:192.0.2.1"));
  for (std::string_view text : {std::string_view(""), std::string_view("1.2.3"), std::string_view("[::1]"),
                                std::string_view("1.2.3.4\0", 8), std::string_view(" 1.2.3.4")})
    EXPECT_FALSE(parse_ip(text)) << text;
  EXPECT_FALSE(parse_ip(std::string(1000, '1')));
}

TEST(PeerAddress, OfSockets) {
  const Fd listener = listen_tcp();
  const RealPeer client = connect_to(listener.get());
  EXPECT_EQ(read_peer_address(client.fd()).kind, PeerAddress::Kind::ipv4);
  EXPECT_EQ(read_peer_address(client.fd()).host(), "127.0.0.1");
  const Fd unix_listener = listen_unix();
  const RealPeer unix_client = connect_to(unix_listener.get());
  EXPECT_EQ(read_peer_address(unix_client.fd()).kind, PeerAddress::Kind::local);
  EXPECT_EQ(read_peer_address(-1), PeerAddress{});
  EXPECT_EQ(PeerAddress{}.text(), "?");
}

bool trusts(const std::vector<std::string>& entries, std::string_view ip) {
  const auto proxies = TrustedProxies::parse(entries);
  EXPECT_TRUE(proxies) << proxies.error().message;
  return proxies && proxies->contains(*parse_ip(ip));
}

TEST(TrustedProxies, Networks) {
  EXPECT_TRUE(trusts({"10.0.0.0/8"}, "10.255.255.255"));
  EXPECT_FALSE(trusts({"10.0.0.0/8"}, "11.0.0.0"));
  EXPECT_TRUE(trusts({"192.0.2.128/25"}, "192.0.2.128"));
  EXPECT_FALSE(trusts({"192.0.2.128/25"}, "192.0.2.127"));
  EXPECT_TRUE(trusts({"192.0.2.7"}, "192.0.2.7"));
  EXPECT_FALSE(trusts({"192.0.2.7"}, "192.0.2.6"));
  EXPECT_TRUE(trusts({"2001:db8::/33"}, "2001:db8:7fff::1"));
  EXPECT_FALSE(trusts({"2001:db8::/33"}, "2001:db8:8000::1"));
  EXPECT_TRUE(trusts({"1.2.3.4", "loopback"}, "127.200.0.1"));
  EXPECT_TRUE(trusts({"loopback"}, "::1"));
  EXPECT_FALSE(trusts({"loopback"}, "::2"));
}

TEST(TrustedProxies, Ipv4IsNoIpv6) {
  EXPECT_TRUE(trusts({"0.0.0.0/0"}, "203.0.113.1"));
  EXPECT_FALSE(trusts({"0.0.0.0/0"}, "2001:db8::1"));
  EXPECT_FALSE(trusts({"::/0"}, "203.0.113.1"));
  EXPECT_TRUE(trusts({"::/0"}, "2001:db8::1"));
  EXPECT_TRUE(trusts({"::ffff:10.0.0.0/104"}, "10.9.9.9"));
  EXPECT_TRUE(trusts({"10.0.0.0/8"}, "::ffff:10.9.9.9"));
  EXPECT_TRUE(trusts({"::ffff:0:0/96"}, "10.9.9.9"));
}

TEST(TrustedProxies, UnixSocketsAreTrustedByNameOnly) {
  const PeerAddress local{.kind = PeerAddress::Kind::local};
  EXPECT_TRUE(TrustedProxies::parse({"unix"})->contains(local));
  EXPECT_FALSE(TrustedProxies::parse({"unix"})->empty());
  EXPECT_FALSE(TrustedProxies::parse({"0.0.0.0/0", "::/0"})->contains(local));
  EXPECT_FALSE(TrustedProxies::parse({"unix", "0.0.0.0/0", "::/0"})->contains(PeerAddress{}));
  EXPECT_TRUE(TrustedProxies::parse({})->empty());
}

TEST(TrustedProxies, Mistakes) {
  for (const char* entry :
       {"", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/8x", "::/129",
        "2001:db8::1/64", "::ffff:0:0/95", "example.org", "[::1]", "10.0.0.0/8/8", "127.0.0.1:80"})
    EXPECT_FALSE(TrustedProxies::parse({entry})) << entry;
  std::vector<std::string> entries(TrustedProxies::kMost, "10.0.0.1");
  EXPECT_TRUE(TrustedProxies::parse(entries));
  entries.emplace_back("10.0.0.1");
  EXPECT_FALSE(TrustedProxies::parse(entries));
}

}  // namespace
}  // namespace lastcall
