#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include <lastcall/core/error.hpp>
#include <lastcall/core/fd.hpp>
#include <lastcall/net/socket.hpp>

namespace lastcall {

/// A TCP listener that nobody can connect to: its queue has room for one, and the one is a connection of our
/// own. The kernel drops a SYN that is steered here without a word, and the client tries again a second
/// later. As the first member of a SO_REUSEPORT group it is what newcomers are led to while the other members
/// finish the handshakes they have begun: those can then be closed without a reset.
///
/// It is made in two steps, so that nobody who comes meanwhile has to wait that second: listen(), then the
/// others join and everybody is steered to them, then fill().
class ParkingListener {
 public:
  ParkingListener() = default;
  /// Makes one of a bound socket that does not listen yet and has the port to itself. It is an ordinary
  /// listener so far: who comes to it is a stray, to be served like any other connection.
  [[nodiscard]] static Result<ParkingListener> listen(Fd bound, int backlog);
  /// The second step, once it is number 0 of a group whose numbers 1 to `reactors` listen, and is led nobody
  /// to (steer_to_reactors): takes the strays out and its place. The group is steered as before in the end.
  [[nodiscard]] Result<void> fill(uint32_t reactors, std::span<const uint32_t> cpus);

  /// Goes on with one that another process made.
  ParkingListener(Fd listener, Fd filler) : listener_(std::move(listener)), filler_(std::move(filler)) {}

  [[nodiscard]] int fd() const noexcept { return listener_.get(); }
  [[nodiscard]] int filler() const noexcept { return filler_.get(); }  ///< the one in its queue
  [[nodiscard]] std::vector<Fd> take_strays() { return std::exchange(strays_, {}); }
  explicit operator bool() const noexcept { return static_cast<bool>(listener_); }

 private:
  void take_queue(uint16_t port, uint16_t filler_port);
  Result<bool> fill_once(const SocketAddress& local, uint32_t reactors, std::span<const uint32_t> cpus);

  Fd listener_;
  Fd filler_;
  int backlog_ = 0;  // until it is filled
  std::vector<Fd> strays_;
};

}  // namespace lastcall
