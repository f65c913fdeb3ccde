#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <unordered_map>
#include <utility>

#include <lastcall/net/peer_address.hpp>

namespace lastcall {

/// How many connections each client has on all reactors together. A client is an IPv4 address, or the /64 of
/// an IPv6 address: that is what one of them gets, so addresses beyond it are free. Looked at when a
/// connection begins and when it ends, never for a request; so a lock does, one of kShards. Holds an entry
/// for each client that has a connection, and none else. From any thread.
class ClientTable {
  using Key = uint64_t;  // of IPv4 the address under ::ffff/96, of IPv6 the network

 public:
  static constexpr size_t kShards = 64;

  /// One connection of a client, counted as long as this lives; an empty one counts for nobody.
  class Share {
   public:
    Share() = default;
    Share(Share&& other) noexcept : table_(std::exchange(other.table_, nullptr)), key_(other.key_) {}
    Share& operator=(Share&& other) noexcept {
      std::swap(table_, other.table_);
      std::swap(key_, other.key_);
      return *this;
    }
    ~Share() {
      if (table_ != nullptr) table_->leave(key_);
    }
    explicit operator bool() const noexcept { return table_ != nullptr; }

   private:
    friend class ClientTable;
    Share(ClientTable* table, Key key) noexcept : table_(table), key_(key) {}
    ClientTable* table_ = nullptr;
    Key key_ = 0;
  };

  /// `most`: of one client, from 1.
  explicit ClientTable(uint32_t most);
  ClientTable(const ClientTable&) = delete;
  ClientTable& operator=(const ClientTable&) = delete;

  /// One more of a peer that has_ip(); empty when its client has as many as it may. Throws std::bad_alloc.
  [[nodiscard]] Share enter(const PeerAddress& peer);
  [[nodiscard]] size_t clients() const;  ///< that have connections now
  [[nodiscard]] uint32_t most() const noexcept { return most_.load(std::memory_order_relaxed); }
  /// Who has more stays.
  void set_most(uint32_t most) noexcept { most_.store(most, std::memory_order_relaxed); }

 private:
  struct Hash {
    uint64_t seed;
    size_t operator()(Key key) const noexcept;
  };
  struct alignas(64) Shard {
    mutable std::mutex mutex;
    std::unordered_map<Key, uint32_t, Hash> counts;
  };

  void leave(Key key) noexcept;
  [[nodiscard]] Shard& shard(Key key) noexcept { return shards_[hash_(key) >> 58]; }

  std::atomic<uint32_t> most_;
  Hash hash_;
  std::array<Shard, kShards> shards_;
};

}  // namespace lastcall
