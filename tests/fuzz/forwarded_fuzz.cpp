// Fields in which proxies name their clients, a line of the input each. What is left of a client that is
// found must not matter, nor one more trusted proxy to its right; and a client's text must mean the same
// client.

#include <string>
#include <vector>

#include <lastcall/core/check.hpp>
#include <lastcall/http/forwarded.hpp>

#include "tests/fuzz/split.hpp"

namespace {

using namespace lastcall;
using Outcome = ForwardedClient::Outcome;

bool same(const ForwardedClient& one, const ForwardedClient& other) {
  return one.outcome == other.outcome && one.address == other.address && one.name == other.name;
}

void check_text(const ForwardedClient& client) {
  const ClientAddress address = client.client();
  LASTCALL_CHECK(!address.address.empty());
  if (!client.name.empty()) return;
  const std::optional<PeerAddress> again = parse_ip(address.address);
  LASTCALL_CHECK(again && again->bytes == client.address.bytes && address.port == client.address.port);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const TrustedProxies trusted = *TrustedProxies::parse({"10.0.0.0/8", "2001:db8:ff::/48"});
  if (size == 0) return 0;
  const bool forwarded = (data[0] & 1) != 0;
  const ForwardedHeader header = forwarded ? ForwardedHeader::forwarded : ForwardedHeader::x_forwarded_for;
  const char* const name = forwarded ? "Forwarded" : "X-Forwarded-For";
  std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  std::vector<fuzz::ExactBytes> lines;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  std::vector<Field> fields;
  for (const fuzz::ExactBytes& line : lines) fields.push_back({name, line.view()});
  const ForwardedClient client = find_client(fields, header, trusted);
  if (client.outcome == Outcome::found) check_text(client);

  if (client.outcome == Outcome::found && !trusted.contains(client.address)) {
    std::vector<Field> more = fields;
    more.insert(more.begin(), {name, "\"nonsense"});
    LASTCALL_CHECK(same(find_client(more, header, trusted), client));
  }
  fields.push_back({name, forwarded ? "for=10.0.0.1" : "10.0.0.1"});
  const ForwardedClient behind = find_client(fields, header, trusted);
  if (client.outcome == Outcome::found)
    LASTCALL_CHECK(same(behind, client) || behind.outcome == Outcome::malformed);  // one too many
  return 0;
}
