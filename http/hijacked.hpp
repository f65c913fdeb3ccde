#pragma once

#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>

#include <lastcall/net/detached.hpp>

namespace lastcall {

/// A connection that has left the server's reactor, by Stream::detach(): the descriptor, non-blocking, and
/// the bytes that came and were not read. Destroying it closes the connection. Any thread, one at a time; may
/// outlive the server.
///
/// The stop waits for it as for any connection: drain_token() tells that it has begun. When it forces,
/// stop_token() is requested, on the reactor's thread, and the socket is shut down both ways, which wakes
/// whoever waits for it; the report names it as "hijacked", and it counts as aborted. Else it counts as
/// completed, once, when it is destroyed.
class HijackedConnection {
 public:
  /// For Stream::detach().
  explicit HijackedConnection(std::shared_ptr<DetachedConnection> shared) noexcept
      : shared_(std::move(shared)) {}
  HijackedConnection(HijackedConnection&&) noexcept = default;
  HijackedConnection& operator=(HijackedConnection&& other) noexcept {
    HijackedConnection taken(std::move(other));
    std::swap(shared_, taken.shared_);
    return *this;
  }
  ~HijackedConnection() {
    if (shared_) shared_->be_over(true);
  }

  /// Stays this object's: not to be closed. Not of one that was moved from, like the rest.
  [[nodiscard]] int fd() const noexcept { return shared_->fd.get(); }
  [[nodiscard]] std::string_view unread() const noexcept { return shared_->unread; }
  /// "127.0.0.1:53124", "[::1]:53124", "unix:".
  [[nodiscard]] const std::string& peer() const noexcept { return shared_->peer; }
  [[nodiscard]] std::stop_token drain_token() const noexcept { return shared_->drain; }
  [[nodiscard]] std::stop_token stop_token() const noexcept { return shared_->stop.get_token(); }
  /// Opts out of the stop: it counts as completed from here on, and the stop does not wait for it, end it or
  /// name it. It ends with the process at the latest.
  void leave_out_of_stop() { shared_->be_over(false); }

 private:
  std::shared_ptr<DetachedConnection> shared_;
};

}  // namespace lastcall
