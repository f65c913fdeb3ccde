#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <lastcall/core/log.hpp>
#include <lastcall/net/client_table.hpp>
#include <lastcall/net/turn_away_log.hpp>

namespace lastcall {
namespace {

TEST(ClientTable, CountsToItsLimitAndBack) {
  ClientTable table(2);
  const PeerAddress client = *parse_ip("192.0.2.1");
  std::optional<ClientTable::Share> first(table.enter(client));
  ClientTable::Share second = table.enter(client);
  EXPECT_TRUE(*first && second);
  EXPECT_FALSE(table.enter(client));
  EXPECT_FALSE(table.enter(client)) << "who is turned away is not counted";
  EXPECT_TRUE(table.enter(*parse_ip("192.0.2.2"))) << "another client";
  first.reset();
  EXPECT_TRUE(table.enter(client));
  EXPECT_EQ(table.clients(), 1u);
  second = {};
  EXPECT_EQ(table.clients(), 0u) << "memory is for who is here";
}

TEST(ClientTable, AShareThatMovesIsOne) {
  ClientTable table(1);
  ClientTable::Share one = table.enter(*parse_ip("192.0.2.1"));
  ClientTable::Share two = std::move(one);
  EXPECT_FALSE(table.enter(*parse_ip("192.0.2.1")));
  ClientTable::Share other = table.enter(*parse_ip("192.0.2.9"));
  other = std::move(two);
  { const ClientTable::Share gone = std::move(two); }
  EXPECT_FALSE(table.enter(*parse_ip("192.0.2.1")));
  EXPECT_TRUE(table.enter(*parse_ip("192.0.2.9")));
}

TEST(ClientTable, AClientOfIpv6IsItsNetwork) {
  ClientTable table(1);
  const ClientTable::Share one = table.enter(*parse_ip("2001:db8:0:1::1"));
  EXPECT_FALSE(table.enter(*parse_ip("2001:db8:0:1:ffff::2")));
  EXPECT_TRUE(table.enter(*parse_ip("2001:db8:0:2::1")));
}

TEST(ClientTable, Ipv4AddressesDifferInEachByte) {
  ClientTable table(1);
  std::vector<ClientTable::Share> shares;
  for (const char* ip : {"1.2.3.4", "1.2.3.5", "1.2.4.4", "1.3.3.4", "2.2.3.4", "::1", "::1:0:0:0:1"}) {
    shares.push_back(table.enter(*parse_ip(ip)));
    EXPECT_TRUE(shares.back()) << ip;
  }
  EXPECT_FALSE(table.enter(*parse_ip("::ffff:1.2.3.4")));
}

TEST(ClientTable, IsExactFromManyThreads) {
  constexpr uint32_t kMost = 10;
  ClientTable table(kMost);
  std::atomic<uint32_t> inside{0};
  std::atomic<uint32_t> most{0};
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        for (int n = 0; n < 5000; ++n) {
          std::vector<ClientTable::Share> shares;
          for (int k = 0; k < 5; ++k) {
            if (ClientTable::Share share = table.enter(*parse_ip("192.0.2.1"))) {
              const uint32_t now = ++inside;
              for (uint32_t seen = most; seen < now && !most.compare_exchange_weak(seen, now);) {
              }
              shares.push_back(std::move(share));
            }
          }
          inside -= static_cast<uint32_t>(shares.size());
        }
      });
    }
  }
  EXPECT_LE(most, kMost);
  EXPECT_EQ(table.clients(), 0u);
}

TEST(TurnAwayLog, TellsOncePerIntervalAndReasonWithTheCount) {
  log_configure(LogFormat::text, LogLevel::warning);
  TurnedAwayCounters counters{};
  TurnAwayLog log(counters);
  const Instant start = Instant{} + 1h;
  testing::internal::CaptureStderr();
  const auto turn_away = [&](TurnedAway reason, Instant now) {
    if (log.count(reason, now)) log.told(reason, "192.0.2.1:5", "because");
  };
  for (int i = 0; i < 100; ++i) turn_away(TurnedAway::per_client, start);
  turn_away(TurnedAway::in_flight, start + TurnAwayLog::kInterval - 1ns);
  turn_away(TurnedAway::per_client, start + TurnAwayLog::kInterval - 1ns);
  turn_away(TurnedAway::per_client, start + TurnAwayLog::kInterval);
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_EQ(std::ranges::count(text, '\n'), 3) << text;
  EXPECT_NE(text.find("reason=per_client peer=192.0.2.1:5 why=because count=1\n"), std::string::npos) << text;
  EXPECT_NE(text.find("reason=in_flight peer=192.0.2.1:5 why=because count=1\n"), std::string::npos) << text;
  EXPECT_NE(text.find("reason=per_client peer=192.0.2.1:5 why=because count=101\n"), std::string::npos)
      << text;
  EXPECT_EQ(counters[static_cast<size_t>(TurnedAway::per_client)], 102u);
  EXPECT_EQ(counters[static_cast<size_t>(TurnedAway::in_flight)], 1u);
}

}  // namespace
}  // namespace lastcall
