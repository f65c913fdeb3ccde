#include <sys/random.h>

#include <lastcall/core/check.hpp>
#include <lastcall/core/clock.hpp>
#include <lastcall/net/client_table.hpp>

namespace lastcall {
namespace {

constexpr uint64_t kIpv4Prefix = 0x0000ffff;  // no network of IPv6 that has hosts

/// So that nobody can choose addresses that fall together.
uint64_t random_seed() noexcept {
  uint64_t seed = 0;
  if (::getrandom(&seed, sizeof seed, GRND_NONBLOCK) != sizeof seed)
    seed = static_cast<uint64_t>(monotonic_now().time_since_epoch().count());
  return seed;
}

uint64_t key_of(const PeerAddress& peer) noexcept {
  uint64_t key = peer.kind == PeerAddress::Kind::ipv4 ? kIpv4Prefix : 0;
  const size_t first = peer.kind == PeerAddress::Kind::ipv4 ? 12 : 0;
  const size_t end = peer.kind == PeerAddress::Kind::ipv4 ? 16 : 8;
  for (size_t i = first; i < end; ++i) key = key << 8 | peer.bytes[i];
  return key;
}

}  // namespace

/// The last step of MurmurHash3, twice around the seed.
size_t ClientTable::Hash::operator()(Key key) const noexcept {
  const auto mix = [](uint64_t x) {
    x = (x ^ x >> 33) * 0xff51afd7ed558ccdu;
    x = (x ^ x >> 33) * 0xc4ceb9fe1a85ec53u;
    return x ^ x >> 33;
  };
  return mix(mix(key ^ seed) + seed);
}

ClientTable::ClientTable(uint32_t most) : most_(most), hash_{random_seed()} {
  LASTCALL_CHECK(most > 0);
  static_assert(kShards == size_t{1} << (64 - 58));
  for (Shard& shard : shards_) shard.counts = std::unordered_map<Key, uint32_t, Hash>(0, hash_);
}

ClientTable::Share ClientTable::enter(const PeerAddress& peer) {
  LASTCALL_CHECK(peer.has_ip());
  const Key key = key_of(peer);
  Shard& of = shard(key);
  const std::lock_guard lock(of.mutex);
  uint32_t& count = of.counts[key];
  if (count >= most()) return {};
  ++count;
  return {this, key};
}

void ClientTable::leave(Key key) noexcept {
  Shard& of = shard(key);
  const std::lock_guard lock(of.mutex);
  const auto found = of.counts.find(key);
  if (--found->second == 0) of.counts.erase(found);
}

size_t ClientTable::clients() const {
  size_t sum = 0;
  for (const Shard& of : shards_) {
    const std::lock_guard lock(of.mutex);
    sum += of.counts.size();
  }
  return sum;
}

}  // namespace lastcall
