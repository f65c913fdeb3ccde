// Who is at the other end: addresses as text, who is trusted, whom proxies name. For a connection, or for a
// request that came through a proxy.
#include <benchmark/benchmark.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <lastcall/core/check.hpp>
#include <lastcall/http/forwarded.hpp>
#include <lastcall/net/client_table.hpp>
#include <lastcall/net/peer_address.hpp>
#include <lastcall/net/proxy_header.hpp>
#include <lastcall/net/trusted_proxies.hpp>

#include "bench/rate.hpp"

namespace {

using namespace lastcall;

PeerAddress address(std::string_view text) {
  const std::optional<PeerAddress> peer = parse_peer(text);
  LASTCALL_CHECK(peer.has_value());
  return *peer;
}

TrustedProxies private_networks() {
  Result<TrustedProxies> trusted =
      TrustedProxies::parse({"loopback", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"});
  LASTCALL_CHECK(trusted.has_value());
  return *trusted;
}

void format(benchmark::State& state, std::string_view text) {
  const PeerAddress peer = address(text);
  for (auto _ : state) benchmark::DoNotOptimize(peer.text());
  if (peer.text() != text) return state.SkipWithError("differs");
  bench::set_rate(state, 1);
}
BENCHMARK_CAPTURE(format, ipv4, "203.0.113.7:53124");
BENCHMARK_CAPTURE(format, ipv6, "[2001:db8::1]:53124");

void trust(benchmark::State& state, std::string_view text, bool expected) {
  const TrustedProxies trusted = private_networks();
  const PeerAddress peer = address(text);
  for (auto _ : state) {
    if (trusted.contains(peer) != expected) return state.SkipWithError("wrong");
  }
  bench::set_rate(state, 1);
}
BENCHMARK_CAPTURE(trust, private_ipv4, "192.168.7.1:1", true);
BENCHMARK_CAPTURE(trust, public_ipv4, "203.0.113.7:1", false);

/// A connection of a client that has others, and one of a client that has none.
void enter_and_leave(benchmark::State& state, bool others) {
  ClientTable table(100);
  const PeerAddress peer = address("203.0.113.7:53124");
  const ClientTable::Share first = others ? table.enter(peer) : ClientTable::Share();
  for (auto _ : state) benchmark::DoNotOptimize(table.enter(peer));
  bench::set_rate(state, 1);
}
BENCHMARK_CAPTURE(enter_and_leave, known, true);
BENCHMARK_CAPTURE(enter_and_leave, fresh, false);

void proxy_header(benchmark::State& state, const std::string& bytes) {
  for (auto _ : state) {
    const ProxyHeader header = parse_proxy_header(bytes);
    if (header.outcome != ProxyHeader::Outcome::complete) return state.SkipWithError("not complete");
    benchmark::DoNotOptimize(header.source);
  }
  bench::set_rate(state, 1, bytes.size());
}
BENCHMARK_CAPTURE(proxy_header, version_1, "PROXY TCP4 203.0.113.7 192.0.2.1 53124 443\r\n");
BENCHMARK_CAPTURE(
    proxy_header, version_2,
    std::string("\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x07\xc0\0\x02\x01\xcf\x84\x01\xbb", 28));

void forwarded(benchmark::State& state, const std::vector<Field>& fields, ForwardedHeader header) {
  const TrustedProxies trusted = private_networks();
  for (auto _ : state) {
    const ForwardedClient found = find_client(fields, header, trusted);
    if (found.outcome != ForwardedClient::Outcome::found) return state.SkipWithError("not found");
    benchmark::DoNotOptimize(found.address);
  }
  bench::set_rate(state, 1);
}
BENCHMARK_CAPTURE(forwarded, x_forwarded_for, {{.name = "X-Forwarded-For", .value = "203.0.113.7, 10.0.0.1"}},
                  ForwardedHeader::x_forwarded_for);
BENCHMARK_CAPTURE(forwarded, forwarded,
                  {{.name = "Forwarded", .value = "for=203.0.113.7;proto=https, for=10.0.0.1"}},
                  ForwardedHeader::forwarded);

}  // namespace

BENCHMARK_MAIN();
