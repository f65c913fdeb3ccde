#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include <lastcall/core/fd.hpp>

namespace lastcall {

/// The far end of a real connection over loopback, in the hands of a test: the same calls as SimPeer. Never
/// blocks, except for write().
class RealPeer {
 public:
  RealPeer() = default;
  explicit RealPeer(Fd fd) : fd_(std::move(fd)) {}

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  size_t write_some(
      std::string_view bytes);         ///< bytes that the socket took; after a reset all, and they vanish
  void write(std::string_view bytes);  ///< CHECK fails unless the socket takes them all at once
  void half_close();
  void close() { fd_.reset(); }
  void reset();  ///< closes with RST; over a Unix socket only if bytes are untaken
  std::string take(size_t max_bytes);
  std::string read_all() { return take(SIZE_MAX); }
  [[nodiscard]] bool saw_eof();    ///< everything was taken, and end of stream follows
  [[nodiscard]] bool saw_reset();  ///< the socket reported an error, now or before

 private:
  Fd fd_;
  bool reset_ = false;
};

/// Listeners on loopback that queue up to SOMAXCONN connections: 127.0.0.1 on a port that the kernel picks,
/// and a Unix socket in the abstract namespace under a name that it picks.
[[nodiscard]] Fd listen_tcp();
[[nodiscard]] Fd listen_unix();
[[nodiscard]] RealPeer connect_to(int listener);

/// Descriptors that this process has open.
[[nodiscard]] size_t count_descriptors();

/// Raises the soft limit of descriptors to at least `count`; false where the hard limit forbids it.
[[nodiscard]] bool allow_descriptors(uint64_t count);

/// While it lives, this process can open `more` descriptors and then gets EMFILE (RLIMIT_NOFILE).
class DescriptorLimit {
 public:
  explicit DescriptorLimit(int more);
  ~DescriptorLimit();
  DescriptorLimit(const DescriptorLimit&) = delete;
  DescriptorLimit& operator=(const DescriptorLimit&) = delete;

 private:
  uint64_t before_;
};

}  // namespace lastcall
