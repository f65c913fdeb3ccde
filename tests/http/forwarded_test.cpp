#include <gtest/gtest.h>

#include <string>
#include <vector>

#include <lastcall/http/forwarded.hpp>
#include <lastcall/http/fullness.hpp>

namespace lastcall {
namespace {

const TrustedProxies& trusted() {
  static const TrustedProxies proxies = *TrustedProxies::parse({"10.0.0.0/8", "2001:db8:ff::/48"});
  return proxies;
}

/// Of a request with these field lines, in order: the client; "malformed", "none".
std::string client_of(ForwardedHeader header, const std::vector<std::string>& values) {
  std::vector<Field> fields;
  const bool forwarded = header == ForwardedHeader::forwarded;
  for (const std::string& value : values) {
    fields.push_back({"Host", "a"});
    fields.push_back({forwarded ? "forwarded" : "x-forwarded-FOR", value});
    fields.push_back({forwarded ? "X-Forwarded-For" : "Forwarded", "what nobody looks at \""});
  }
  const ForwardedClient found = find_client(fields, header, trusted());
  switch (found.outcome) {
    case ForwardedClient::Outcome::none: return "none";
    case ForwardedClient::Outcome::malformed: return "malformed";
    case ForwardedClient::Outcome::found: return found.client().text();
  }
  return "?";
}

std::string by_x(const std::vector<std::string>& values) {
  return client_of(ForwardedHeader::x_forwarded_for, values);
}
std::string by_forwarded(const std::vector<std::string>& values) {
  return client_of(ForwardedHeader::forwarded, values);
}

TEST(XForwardedFor, TheFirstFromTheRightThatIsNoProxy) {
  EXPECT_EQ(by_x({"192.0.2.1"}), "192.0.2.1");
  EXPECT_EQ(by_x({"198.51.100.1, 192.0.2.1"}), "192.0.2.1");
  EXPECT_EQ(by_x({"198.51.100.1, 192.0.2.1, 10.1.1.1,10.2.2.2"}), "192.0.2.1");
  EXPECT_EQ(by_x({"198.51.100.1", "192.0.2.1", "10.1.1.1"}), "192.0.2.1");
  EXPECT_EQ(by_x({"10.3.3.3, 10.1.1.1"}), "10.3.3.3") << "all trusted: the leftmost";
  EXPECT_EQ(by_x({"2001:db8::1, 2001:db8:ff::1"}), "2001:db8::1");
  EXPECT_EQ(by_x({"192.0.2.1, ::ffff:10.1.1.1"}), "192.0.2.1");
}

TEST(XForwardedFor, NothingThere) {
  EXPECT_EQ(by_x({}), "none");
  EXPECT_EQ(by_x({""}), "none");
  EXPECT_EQ(by_x({" , ,\t"}), "none");
  EXPECT_EQ(by_x({"192.0.2.1,", ""}), "192.0.2.1");
}

TEST(XForwardedFor, Ports) {
  EXPECT_EQ(by_x({"192.0.2.1:4711"}), "192.0.2.1:4711");
  EXPECT_EQ(by_x({"[2001:db8::1]:4711"}), "[2001:db8::1]:4711");
  EXPECT_EQ(by_x({"[2001:db8::1]"}), "2001:db8::1");
  EXPECT_EQ(by_x({"192.0.2.1, 10.1.1.1:99"}), "192.0.2.1");
}

TEST(XForwardedFor, WhatTheClientMayHaveWrittenIsNotLookedAt) {
  EXPECT_EQ(by_x({"garbage \" , 192.0.2.1"}), "192.0.2.1");
  EXPECT_EQ(by_x({std::string(5000, 'x'), "192.0.2.1"}), "192.0.2.1");
  EXPECT_EQ(by_x({"10.9.9.9, 192.0.2.1"}), "192.0.2.1") << "a client that poses as a proxy";
}

TEST(XForwardedFor, WhatAProxyWroteMustBeReadable) {
  for (const char* value :
       {"garbage", "192.0.2.1 10.1.1.1", "192.0.2", "192.0.2.1:", "192.0.2.1:x", "192.0.2.1:65536",
        "[192.0.2.1]", "[2001:db8::1", "2001:db8::1]", "_hidden", "\"192.0.2.1\"", "fe80::1%eth0",
        "for=192.0.2.1", "192.0.2.1;10.1.1.1", "[::1]x", "[]"}) {
    EXPECT_EQ(by_x({value}), "malformed") << value;
    EXPECT_EQ(by_x({"192.0.2.1", value}), "malformed") << value;
    EXPECT_EQ(by_x({std::string(value) + ", 10.1.1.1"}), "malformed") << value;
  }
}

TEST(XForwardedFor, UnknownIsAnAnswer) {
  EXPECT_EQ(by_x({"192.0.2.1, Unknown, 10.1.1.1"}), "unknown");
}

TEST(XForwardedFor, Limits) {
  std::string chain = "192.0.2.1";
  for (size_t i = 1; i < kMaxForwardedElements; ++i) chain += ",10.0.0.1";
  EXPECT_EQ(by_x({chain}), "192.0.2.1");
  EXPECT_EQ(by_x({chain + ",10.0.0.1"}), "malformed");
  EXPECT_EQ(by_x({"192.0.2.1", chain.substr(10), "10.0.0.1,10.0.0.1"}), "malformed")
      << "of all fields together";
  const std::string blanks(kMaxForwardedBytes - 9, ' ');
  EXPECT_EQ(by_x({blanks + "192.0.2.1"}), "192.0.2.1");
  EXPECT_EQ(by_x({blanks + " 192.0.2.1"}), "malformed");
  EXPECT_EQ(by_x({std::string(kMaxForwardedBytes, ',')}), "none");
}

TEST(Forwarded, ExamplesOfTheStandard) {
  EXPECT_EQ(by_forwarded({"for=\"_gazonk\""}), "_gazonk");
  EXPECT_EQ(by_forwarded({"For=\"[2001:db8:cafe::17]:4711\""}), "[2001:db8:cafe::17]:4711");
  EXPECT_EQ(by_forwarded({"for=192.0.2.60;proto=http;by=203.0.113.43"}), "192.0.2.60");
  EXPECT_EQ(by_forwarded({"for=192.0.2.43, for=198.51.100.17"}), "198.51.100.17");
  EXPECT_EQ(by_forwarded({"for=_hidden, for=_SEVKISEK"}), "_SEVKISEK");
  EXPECT_EQ(by_forwarded({"for=unknown"}), "unknown");
  EXPECT_EQ(by_forwarded({"for=192.0.2.43,for=\"[2001:db8:cafe::17]\",for=10.1.1.1"}), "2001:db8:cafe::17");
}

TEST(Forwarded, QuotedStrings) {
  EXPECT_EQ(by_forwarded({R"(for="192.0.2.1:80")"}), "192.0.2.1:80");
  EXPECT_EQ(by_forwarded({R"(for="192.0.2.1:_x")"}), "192.0.2.1");
  EXPECT_EQ(by_forwarded({R"(for="\1\9\2.0.2.1")"}), "192.0.2.1");
  EXPECT_EQ(by_forwarded({R"(host="a,for=198.51.100.1;b\", c";for=192.0.2.1)"}), "192.0.2.1");
  EXPECT_EQ(by_forwarded({R"(for="unknown:_x")"}), "unknown");
  EXPECT_EQ(by_forwarded({R"(for=192.0.2.1;ext="\\")"}), "192.0.2.1");
}

TEST(Forwarded, FieldsAndElementsFromTheRight) {
  EXPECT_EQ(by_forwarded({"for=198.51.100.1", "for=192.0.2.1", "for=10.1.1.1"}), "192.0.2.1");
  EXPECT_EQ(by_forwarded({"for=10.3.3.3, for=10.1.1.1"}), "10.3.3.3");
  EXPECT_EQ(by_forwarded({"for=192.0.2.1 ; proto=https , ,"}), "192.0.2.1");
  EXPECT_EQ(by_forwarded({"for=\"broken", "for=192.0.2.1"}), "192.0.2.1")
      << "in a field of its own, the client's";
  EXPECT_EQ(by_forwarded({"nonsense, for=192.0.2.1"}), "192.0.2.1");
  EXPECT_EQ(by_forwarded({"", ","}), "none");
}

TEST(Forwarded, AProxyThatDoesNotSayWhomItSpeaksFor) {
  EXPECT_EQ(by_forwarded({"for=192.0.2.1, proto=https"}), "unknown");
}

TEST(Forwarded, WhatAProxyWroteMustBeReadable) {
  for (const char* value : {"192.0.2.1",
                            "for",
                            "for=",
                            "for =192.0.2.1",
                            "for= 192.0.2.1",
                            "=192.0.2.1",
                            "for=192.0.2.1:80",
                            "for=[::1]",
                            "for=\"2001:db8::1\"",
                            "for=\"[192.0.2.1]\"",
                            "for=\"192.0.2.1",
                            "for=192.0.2.1\"",
                            "for=\"192.0.2.1\"x",
                            "for=192.0.2.1;for=192.0.2.1",
                            "for=\"_\"",
                            "for=hidden",
                            "for=\"_a b\"",
                            "for=\"[::1]:99999\"",
                            "for=\"\"",
                            "for=\"unknown:\"",
                            "for=192.0.2.1;proto",
                            "for=\"\\\"",
                            "for=192.0.2.1 for=192.0.2.1",
                            "f\"or=192.0.2.1"}) {
    EXPECT_EQ(by_forwarded({value}), "malformed") << value;
    EXPECT_EQ(by_forwarded({"for=192.0.2.1", value}), "malformed") << value;
  }
  EXPECT_EQ(by_forwarded({"for=\"x, for=192.0.2.1"}), "malformed") << "nobody knows where its elements begin";
}

TEST(Forwarded, Limits) {
  std::string chain = "for=192.0.2.1";
  for (size_t i = 1; i < kMaxForwardedElements; ++i) chain += ",for=10.0.0.1";
  EXPECT_EQ(by_forwarded({chain}), "192.0.2.1");
  EXPECT_EQ(by_forwarded({chain + ",for=10.0.0.1"}), "malformed");
  const std::string blanks(kMaxForwardedBytes - 13, ' ');
  EXPECT_EQ(by_forwarded({blanks + "for=192.0.2.1"}), "192.0.2.1");
  EXPECT_EQ(by_forwarded({blanks + " for=192.0.2.1"}), "malformed");
}

TEST(ClientAddress, Text) {
  EXPECT_EQ((ClientAddress{"192.0.2.1", 0}.text()), "192.0.2.1");
  EXPECT_EQ((ClientAddress{"192.0.2.1", 80}.text()), "192.0.2.1:80");
  EXPECT_EQ((ClientAddress{"2001:db8::1", 80}.text()), "[2001:db8::1]:80");
  EXPECT_EQ((ClientAddress{"unix:", 0}.text()), "unix:");
}

TEST(Fullness, FromTheLimitUntilBelowNineTenths) {
  Fullness fullness;
  EXPECT_FALSE(fullness.update(9, 10));
  EXPECT_TRUE(fullness.update(10, 10));
  EXPECT_TRUE(fullness.update(9, 10));
  EXPECT_FALSE(fullness.update(8, 10));
  EXPECT_FALSE(fullness.update(9, 10));
  EXPECT_TRUE(fullness.update(11, 10));
  EXPECT_FALSE(fullness.update(1000, 0)) << "no limit";
  Fullness one;
  EXPECT_TRUE(one.update(1, 1));
  EXPECT_FALSE(one.update(0, 1));
}

}  // namespace
}  // namespace lastcall
