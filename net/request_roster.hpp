#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <lastcall/shutdown/roll_call.hpp>

namespace lastcall {

/// A request that is not answered in full, as it was at one instant.
struct InFlightRequest {
  std::string method;       ///< empty when the head is incomplete
  std::string target;       ///< as sent, cut at RequestRoster::kTargetBytes; empty as `method`
  std::string route;        ///< pattern; empty when it has none, or does not have its turn yet
  const char* state = "";   ///< "head", "body", "handling", "writing", "hijacked"; static storage
  int64_t age_ms = 0;       ///< since its first byte
  std::string peer;         ///< "127.0.0.1:53124"
  uint64_t bytes_sent = 0;  ///< on its connection, so far
};

/// Collects the oldest requests in flight of one reactor, connection by connection: of any number of them
/// it keeps kMost, and copies no more than it keeps. On the reactor's thread.
class RequestRoster final : public UnansweredSink {
 public:
  static constexpr size_t kMost = 100;
  static constexpr size_t kTargetBytes = 256;

  /// add() is about this connection from here on.
  void connection(int fd, uint64_t bytes_sent) noexcept;
  void add(const UnansweredRequest& request) override;
  [[nodiscard]] bool may_allocate() const noexcept override { return true; }

  /// Looks up the peers of those that have come since: as long as their descriptors are still theirs.
  void name_peers();

  [[nodiscard]] uint64_t unlisted() const noexcept { return seen_ - entries_.size(); }  ///< beyond kMost
  /// The oldest first.
  [[nodiscard]] std::vector<InFlightRequest> take();

 private:
  struct Entry {
    InFlightRequest request;
    int fd = -1;  ///< -1: its peer is known
  };
  static bool is_older(const Entry& left, const Entry& right) noexcept {
    return left.request.age_ms > right.request.age_ms;
  }

  std::vector<Entry> entries_;  // when full, a heap with the youngest in front
  uint64_t seen_ = 0;
  int fd_ = -1;
  uint64_t bytes_sent_ = 0;
};

}  // namespace lastcall
