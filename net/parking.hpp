#pragma once

#include <utility>
#include <vector>

#include <lastcall/core/error.hpp>
#include <lastcall/core/fd.hpp>

namespace lastcall {

/// A TCP listener that nobody can connect to: its queue has room for one, and the one is a connection of our
/// own. The kernel drops a SYN that is steered here without a word, and the client tries again a second
/// later. As the first member of a SO_REUSEPORT group it is what newcomers are led to while the other members
/// finish the handshakes they have begun: those can then be closed without a reset.
class ParkingListener {
 public:
  ParkingListener() = default;
  /// Makes one of a bound socket that does not listen yet and has the port to itself. Who connects before the
  /// place is taken is a stray: to be served like any other connection.
  [[nodiscard]] static Result<ParkingListener> open(Fd bound);

  /// Goes on with one that another process made.
  ParkingListener(Fd listener, Fd filler) : listener_(std::move(listener)), filler_(std::move(filler)) {}

  [[nodiscard]] int fd() const noexcept { return listener_.get(); }
  [[nodiscard]] int filler() const noexcept { return filler_.get(); }  ///< the one in its queue
  [[nodiscard]] std::vector<Fd> take_strays() { return std::exchange(strays_, {}); }
  explicit operator bool() const noexcept { return static_cast<bool>(listener_); }

 private:
  Result<bool> fill();

  Fd listener_;
  Fd filler_;
  std::vector<Fd> strays_;
};

}  // namespace lastcall
