// PROXY headers, whole and growing by the pieces that the fuzzer cuts. What a part is taken for must not
// change when more comes, but for `incomplete`, which must stay within its limit.

#include <string>

#include <lastcall/core/check.hpp>
#include <lastcall/net/proxy_header.hpp>

#include "tests/fuzz/split.hpp"

namespace {

using namespace lastcall;
using Outcome = ProxyHeader::Outcome;

void check(const ProxyHeader& header, size_t size) {
  switch (header.outcome) {
    case Outcome::incomplete: LASTCALL_CHECK(size < kMaxProxyHeaderBytes); return;
    case Outcome::refused: LASTCALL_CHECK(header.what != nullptr); return;
    case Outcome::complete: break;
  }
  LASTCALL_CHECK(header.length > 0 && header.length <= size && header.length <= kMaxProxyHeaderBytes);
  if (!header.source.has_ip()) return;
  LASTCALL_CHECK(parse_peer(header.source.text()) == header.source);
}

void check_same(const ProxyHeader& one, const ProxyHeader& other) {
  LASTCALL_CHECK(one.outcome == other.outcome && one.length == other.length);
  LASTCALL_CHECK(one.source == other.source && one.what == other.what);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const fuzz::Input input(data, size);
  const ProxyHeader whole = parse_proxy_header(fuzz::ExactBytes(input.wire).view());
  check(whole, input.wire.size());
  fuzz::Cuts cuts(input.plan);
  for (size_t have = 0; have < input.wire.size();) {
    have += cuts.next(input.wire.size() - have);
    const fuzz::ExactBytes part(input.wire.substr(0, have));
    const ProxyHeader header = parse_proxy_header(part.view());
    check(header, have);
    if (header.outcome != Outcome::incomplete) {
      check_same(header, whole);
    } else if (whole.outcome == Outcome::complete) {
      LASTCALL_CHECK(have < whole.length);
    }
  }
  return 0;
}
