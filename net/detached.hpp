#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <vector>

#include <lastcall/core/fd.hpp>
#include <lastcall/net/link.hpp>
#include <lastcall/shutdown/control.hpp>

namespace lastcall {

class DetachedSet;

/// A connection whose descriptor has left its reactor: shared by the reactor, that counts it until it is
/// over, and whoever holds it, on any thread, also longer than the reactor lives; hence the shared_ptr. The
/// mutex is taken at its end and by the stop only: so that nobody shuts down a descriptor that was closed
/// meanwhile, and nobody posts to a reactor that has left.
struct DetachedConnection : std::enable_shared_from_this<DetachedConnection> {
  std::mutex mutex;
  Fd fd;                       ///< guarded; the holder alone closes it
  DetachedSet* set = nullptr;  ///< guarded; nullptr: over, opted out, or the reactor has left
  bool forced = false;         ///< the reactor's
  std::stop_source stop;
  std::stop_token drain;
  // Constant once it is handed over.
  std::string peer;
  std::string method;
  std::string target;
  std::string unread;  ///< what came and was not read
  Instant began{};
  uint64_t bytes_sent = 0;

  /// The holder's, from any thread: it is not the stop's business any more. Also closes it with `close_it`.
  void be_over(bool close_it);
};

/// The detached connections of one reactor, which counts them as active. Its thread only.
class DetachedSet {
 public:
  DetachedSet(Loop& loop, StopControl& control) noexcept : loop_(loop), control_(control) {}
  DetachedSet(const DetachedSet&) = delete;
  DetachedSet& operator=(const DetachedSet&) = delete;
  ~DetachedSet() { end(); }

  /// Takes a descriptor over that is counted as active.
  [[nodiscard]] std::shared_ptr<DetachedConnection> add(int fd, uint64_t bytes_sent);
  /// The forcing phase: names them in the report, tells who holds them, and ends them both ways.
  void force();
  /// The reactor leaves: who is still held is counted as aborted.
  void end() noexcept;
  [[nodiscard]] size_t size() const noexcept { return members_.size(); }

 private:
  friend struct DetachedConnection;
  void on_over(const DetachedConnection& member) noexcept;
  void count_out(bool aborted) noexcept;

  Loop& loop_;
  StopControl& control_;
  std::vector<std::shared_ptr<DetachedConnection>> members_;
};

}  // namespace lastcall
