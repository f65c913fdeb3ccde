#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

namespace lastcall {

/// A request that is not answered in full. Views that nothing on its reactor may outdate while they are used.
struct UnansweredRequest {
  std::string_view method;  ///< empty when the head was incomplete, or refused
  std::string_view target;
  const char* state;  ///< "head", "body", "handling" (or waiting for its turn), "writing", "hijacked"; static
  int64_t age_ms;     ///< since its first byte; of one that waits for its turn, that of the one before
  std::string_view client{};  ///< who asks; empty: the peer of the connection
  const char* route =
      nullptr;  ///< its pattern; none: it has none, or has not had its turn. Lasts as routes do
};

/// Takes the requests of a connection, the oldest first.
class UnansweredSink {
 public:
  virtual void add(const UnansweredRequest& request) = 0;
  /// False in a signal handler.
  [[nodiscard]] virtual bool may_allocate() const noexcept = 0;

 protected:
  ~UnansweredSink() = default;
};

/// What a reactor holds that is stuck in a handler: told by its own thread in a signal handler, since nobody
/// else can look at its connections without a race. So telling takes no memory; there is some for kMost
/// requests, and what is beyond is only counted.
class RollCall final : public UnansweredSink {
 public:
  static constexpr size_t kMost = 4096;
  static constexpr size_t kMethodBytes = 12;
  static constexpr size_t kPeerBytes = 64;     ///< an IPv6 address with scope and port has fewer
  static constexpr size_t kTargetBytes = 256;  ///< a longer target is cut

  struct Entry {
    int fd;  ///< its connection
    uint64_t bytes_sent;
    int64_t age_ms;
    const char* state;
    uint8_t method_size;
    uint8_t peer_size;  ///< 0: as its socket says
    uint16_t target_size;
    char peer[kPeerBytes];
    char method[kMethodBytes];
    char target[kTargetBytes];
  };

  RollCall() : entries_(std::make_unique_for_overwrite<Entry[]>(kMost)) {}

  // The reactor's side: begin(), then for each connection what it is.
  void begin() noexcept { told_ = true; }
  /// add() is about this one from here on. `peer`: empty, as its socket says; as long as it is told of.
  void connection(int fd, uint64_t bytes_sent, std::string_view peer = {}) noexcept;
  void add(const UnansweredRequest& request) noexcept override;
  [[nodiscard]] bool may_allocate() const noexcept override { return false; }
  void count_idle_closed() noexcept { ++idle_closed_; }  ///< between requests, or closed as such
  void count_completed() noexcept { ++completed_; }      ///< answered, and on its way out

  /// False: the reactor is not in a handler, so its connections were in motion.
  [[nodiscard]] bool told() const noexcept { return told_; }
  [[nodiscard]] std::span<const Entry> entries() const noexcept { return {entries_.get(), size_}; }
  [[nodiscard]] uint64_t unlisted() const noexcept { return unlisted_; }  ///< requests
  [[nodiscard]] uint64_t idle_closed() const noexcept { return idle_closed_; }
  [[nodiscard]] uint64_t completed() const noexcept { return completed_; }

 private:
  std::unique_ptr<Entry[]> entries_;
  size_t size_ = 0;
  int fd_ = -1;
  uint64_t bytes_sent_ = 0;
  std::string_view peer_;
  uint64_t unlisted_ = 0;
  uint64_t idle_closed_ = 0;
  uint64_t completed_ = 0;
  bool told_ = false;
};

}  // namespace lastcall
