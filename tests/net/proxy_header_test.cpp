#include <gtest/gtest.h>

#include <string>

#include <lastcall/net/proxy_header.hpp>

namespace lastcall {
namespace {

using Outcome = ProxyHeader::Outcome;

const std::string kSignature("\r\n\r\n\0\r\nQUIT\n", 12);

std::string binary(int version_command, int family, const std::string& rest) {
  return kSignature + static_cast<char>(version_command) + static_cast<char>(family) +
         static_cast<char>(rest.size() >> 8) + static_cast<char>(rest.size() & 255) + rest;
}

std::string ipv4_addresses() {
  return std::string("\xc0\x00\x02\x07", 4) + std::string("\x7f\x00\x00\x01", 4) +
         std::string("\xcf\x84\x1f\x90", 4);
}

std::string ipv6_addresses() {
  std::string source("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x09", 16);
  return source + std::string(15, '\0') + "\x01" + std::string("\xcf\x84\x1f\x90", 4);
}

/// Whom the header names; "refused: …", "incomplete" else.
std::string source_of(const std::string& bytes) {
  const ProxyHeader header = parse_proxy_header(bytes);
  if (header.outcome == Outcome::incomplete) return "incomplete";
  if (header.outcome == Outcome::refused) return std::string("refused: ") + header.what;
  return header.source.text();
}

/// The header is found whole and with a request behind it, and every part of it is incomplete.
void expect_source(const std::string& header, const std::string& source) {
  for (size_t size = 0; size < header.size(); ++size) {
    EXPECT_EQ(source_of(header.substr(0, size)), "incomplete") << size << " of " << header;
  }
  for (const char* behind : {"", "G", "GET / HTTP/1.1\r\n\r\n", "PROXY UNKNOWN\r\n", "\r\n\r\n"}) {
    const ProxyHeader parsed = parse_proxy_header(header + behind);
    EXPECT_EQ(parsed.length, header.size());
    EXPECT_EQ(source_of(header + behind), source);
  }
}

/// Refused, at the latest with its last byte, and never taken for a header before.
void expect_refused(const std::string& bytes, const std::string& why) {
  EXPECT_EQ(source_of(bytes), "refused: " + why);
  bool refused = false;
  for (size_t size = 0; size <= bytes.size(); ++size) {
    const ProxyHeader parsed = parse_proxy_header(bytes.substr(0, size));
    EXPECT_NE(parsed.outcome, Outcome::complete) << size;
    EXPECT_FALSE(refused && parsed.outcome != Outcome::refused) << "changed its mind at " << size;
    refused = parsed.outcome == Outcome::refused;
  }
}

TEST(ProxyHeader, LineAtEveryCut) {
  expect_source("PROXY TCP4 192.0.2.7 127.0.0.1 53124 8080\r\n", "192.0.2.7:53124");
  expect_source("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255:65535");
  expect_source("PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", "0.0.0.0:0");
  expect_source("PROXY TCP6 2001:db8::9 ::1 53124 8080\r\n", "[2001:db8::9]:53124");
  expect_source("PROXY TCP6 ::ffff:192.0.2.7 ::ffff:127.0.0.1 1 2\r\n", "192.0.2.7:1");
}

TEST(ProxyHeader, UnknownLineNamesNobody) {
  expect_source("PROXY UNKNOWN\r\n", "?");
  expect_source("PROXY UNKNOWN 192.0.2.7 127.0.0.1 1 2\r\n", "?");
  expect_source("PROXY UNKNOWN \r\n", "?");
}

TEST(ProxyHeader, LongestLine) {
  const std::string ip = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
  expect_source("PROXY TCP6 " + ip + " " + ip + " 65535 65535\r\n", "[" + ip + "]:65535");
  const std::string longest = "PROXY UNKNOWN " + std::string(kMaxProxyLineBytes - 16, 'x') + "\r\n";
  ASSERT_EQ(longest.size(), 107u);
  expect_source(longest, "?");
  expect_refused("PROXY UNKNOWN " + std::string(kMaxProxyLineBytes - 15, 'x') + "\r\n",
                 "a PROXY line of more than 107 bytes");
}

TEST(ProxyHeader, MalformedLines) {
  for (const char* line : {"PROXY TCP4 192.0.2.7 127.0.0.1 53124\r\n",
                           "PROXY TCP4 192.0.2.7 127.0.0.1 53124 8080 \r\n",
                           "PROXY TCP4  192.0.2.7 127.0.0.1 53124 8080\r\n",
                           "PROXY TCP4 192.0.2.7 127.0.0.1 53124 65536\r\n",
                           "PROXY TCP4 192.0.2.7 127.0.0.1 -1 8080\r\n",
                           "PROXY TCP4 192.0.2.7 127.0.0.1 053124 8080\r\n",
                           "PROXY TCP4 192.0.2 127.0.0.1 1 2\r\n",
                           "PROXY TCP4 192.0.2.256 127.0.0.1 1 2\r\n",
                           "PROXY TCP4 2001:db8::9 ::1 1 2\r\n",
                           "PROXY TCP6 192.0.2.7 127.0.0.1 1 2\r\n",
                           "PROXY TCP6 2001:db8::9 127.0.0.1 1 2\r\n",
                           "PROXY TCP6 fe80::1%lo ::1 1 2\r\n",
                           "PROXY UDP4 192.0.2.7 127.0.0.1 1 2\r\n",
                           "PROXY TCP4\t192.0.2.7 127.0.0.1 1 2\r\n",
                           "PROXY tcp4 192.0.2.7 127.0.0.1 1 2\r\n",
                           "PROXY UNKNOWNX\r\n",
                           "PROXY \r\n",
                           "PROXY TCP4 \r\n",
                           "PROXY TCP4 192.0.2.7 127.0.0.1 1 2\r\r\n",
                           "PROXY TCP4 localhost 127.0.0.1 1 2\r\n"}) {
    expect_refused(line, "a malformed PROXY line");
  }
  expect_refused("PROXY TCP4 192.0.2.7 127.0.0.1 1 2\n", "a PROXY line without CRLF");
  expect_refused("PROXY \n", "a PROXY line without CRLF");
}

TEST(ProxyHeader, WhatIsNoHeaderIsRefusedAtItsFirstWrongByte) {
  expect_refused("G", "no PROXY header");
  expect_refused("\x16\x03\x01", "no PROXY header");
  expect_refused("PROXZ", "no PROXY header");
  expect_refused("proxy", "no PROXY header");
  expect_refused("PROXY\t", "no PROXY header");
  expect_refused("\r\nPROXY UNKNOWN\r\n", "no PROXY header");
  expect_refused(std::string("\r\n\r\n\0\r\nQUIT ", 12), "no PROXY header");
}

TEST(ProxyHeader, BinaryAtEveryCut) {
  expect_source(binary(0x21, 0x11, ipv4_addresses()), "192.0.2.7:53124");
  expect_source(binary(0x21, 0x21, ipv6_addresses()), "[2001:db8::9]:53124");
  std::string mapped = std::string(10, '\0') + "\xff\xff" + std::string("\xc0\x00\x02\x07", 4) +
                       std::string(16, '\0') + std::string("\0\x01\0\x02", 4);
  expect_source(binary(0x21, 0x21, mapped), "192.0.2.7:1");
}

TEST(ProxyHeader, BinaryThatNamesNobody) {
  expect_source(binary(0x20, 0x00, ""), "?");                // LOCAL, as health checks are
  expect_source(binary(0x20, 0x11, ipv4_addresses()), "?");  // whatever stands in it
  expect_source(binary(0x20, 0x11, "short"), "?");
  expect_source(binary(0x20, 0xff, "what"), "?");
  expect_source(binary(0x21, 0x00, "anything at all"), "?");      // UNSPEC
  expect_source(binary(0x21, 0x31, std::string(216, 'p')), "?");  // a Unix socket
}

TEST(ProxyHeader, ExtensionsAreSkipped) {
  const std::string authority = std::string("\x02\0\x0b", 3) + "example.org";
  const std::string padding = std::string("\x04\0\0", 3);
  expect_source(binary(0x21, 0x11, ipv4_addresses() + authority + padding), "192.0.2.7:53124");
  expect_source(binary(0x21, 0x31, std::string(216, 'p') + authority), "?");
}

TEST(ProxyHeader, ExtensionsThatDoNotFit) {
  for (const std::string& tlvs :
       {std::string("\x04"), std::string("\x04\0", 2), std::string("\x02\0\x02x", 4),
        std::string("\x02\xff\xffxy", 5), std::string("\x04\0\0\x04", 4)}) {
    expect_refused(binary(0x21, 0x11, ipv4_addresses() + tlvs), "malformed PROXY extensions");
  }
}

TEST(ProxyHeader, MalformedBinary) {
  expect_refused(binary(0x11, 0x11, ipv4_addresses()), "a PROXY header of an unknown version");
  expect_refused(binary(0x31, 0x11, ipv4_addresses()), "a PROXY header of an unknown version");
  expect_refused(binary(0x22, 0x11, ipv4_addresses()), "an unknown PROXY command");
  for (int family : {0x01, 0x10, 0x12, 0x13, 0x22, 0x32, 0x41, 0xff})
    expect_refused(binary(0x21, family, std::string(216, 'x')), "an unknown PROXY family or transport");
  expect_refused(binary(0x21, 0x11, ipv4_addresses().substr(1)),
                 "a PROXY header too short for its addresses");
  expect_refused(binary(0x21, 0x21, ipv6_addresses().substr(1)),
                 "a PROXY header too short for its addresses");
  expect_refused(binary(0x21, 0x31, std::string(215, 'p')), "a PROXY header too short for its addresses");
}

TEST(ProxyHeader, LongestBinary) {
  const size_t room = kMaxProxyHeaderBytes - 16 - 12 - 3;
  std::string tlv = std::string("\xee", 1) + static_cast<char>(room >> 8) + static_cast<char>(room & 255);
  const std::string longest = binary(0x21, 0x11, ipv4_addresses() + tlv + std::string(room, 'x'));
  ASSERT_EQ(longest.size(), kMaxProxyHeaderBytes);
  expect_source(longest, "192.0.2.7:53124");
  expect_refused(binary(0x21, 0x00, std::string(kMaxProxyHeaderBytes - 15, 'x')).substr(0, 16),
                 "a PROXY header of more than 4096 bytes");
  expect_refused(binary(0x20, 0x00, std::string(0xffff, 'x')).substr(0, 16),
                 "a PROXY header of more than 4096 bytes");
}

}  // namespace
}  // namespace lastcall
