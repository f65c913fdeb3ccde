#pragma once

#include <memory>
#include <stop_token>
#include <string>
#include <string_view>

namespace lastcall {

struct DetachedConnection;

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
  explicit HijackedConnection(std::shared_ptr<DetachedConnection> shared) noexcept;
  /// @{
  /// What was assigned to is closed first. What was moved from may only be destroyed or assigned to.
  HijackedConnection(HijackedConnection&&) noexcept = default;
  HijackedConnection& operator=(HijackedConnection&& other) noexcept;
  /// @}
  ~HijackedConnection();  ///< closes the descriptor, and counts it as completed

  /// Stays this object's: not to be closed. Not of one that was moved from, like the rest.
  [[nodiscard]] int fd() const noexcept;
  /// What came and was not read; good as long as this object, or what it is moved to.
  [[nodiscard]] std::string_view unread() const noexcept;
  /// "127.0.0.1:53124", "[::1]:53124", "unix:".
  [[nodiscard]] const std::string& peer() const noexcept;
  /// Requested when draining begins.
  [[nodiscard]] std::stop_token drain_token() const noexcept;
  /// Requested when the stop forces.
  [[nodiscard]] std::stop_token stop_token() const noexcept;
  /// Opts out of the stop: it counts as completed from here on, and the stop does not wait for it, end it or
  /// name it. It ends with the process at the latest.
  void leave_out_of_stop();

 private:
  std::shared_ptr<DetachedConnection> shared_;
};

}  // namespace lastcall
