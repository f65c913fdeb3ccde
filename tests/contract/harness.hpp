#pragma once

#include <sys/socket.h>

#include <climits>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <lastcall/core/epoll_backend.hpp>
#include <lastcall/core/fd.hpp>
#include <lastcall/core/probe.hpp>
#include <lastcall/core/uring_backend.hpp>

#include "tests/sim/sim_backend.hpp"
#include "tests/support/real_peer.hpp"

namespace lastcall::contract {

struct Tcp {
  static Fd listen() { return listen_tcp(); }
};
struct Unix {
  static Fd listen() { return listen_unix(); }
};

/// io_uring that waits for several events whatever the traffic, as it does by itself only where there is
/// much. It may wake for none, which tests of other backends need not expect.
class GatheringUring : public UringBackend {
 public:
  GatheringUring() : UringBackend({.gather = 4}) {}

  template <class Sink>
  void wait(Instant until, Sink&& sink) {
    for (bool heard = false; !heard;) {
      UringBackend::wait(until, [&](const Event& event) {
        heard = true;
        sink(event);
      });
      if (now() >= until) return;
    }
  }
};

/// Real sockets on loopback. A harness makes one backend and the far ends of its connections, so that a test
/// need not know which backend it is.
template <class B, class Transport>
class RealHarness {
 public:
  using Backend = B;
  using Peer = RealPeer;
  using Limit = DescriptorLimit;
  static constexpr bool kSimulated = false;

  [[nodiscard]] static std::optional<std::string> refusal() {
    if constexpr (std::is_base_of_v<UringBackend, B>) {
      if (Result<void> probed = probe_uring(); !probed) return probed.error().message;
    }
    return std::nullopt;
  }
  [[nodiscard]] B& io() { return io_; }
  [[nodiscard]] int listen() { return Transport::listen().release(); }
  [[nodiscard]] Peer connect(int listener) { return connect_to(listener); }
  [[nodiscard]] std::pair<int, Peer> pair() {
    Fd listener = Transport::listen();
    Peer peer = connect(listener.get());
    nonblocking_ ^= SOCK_NONBLOCK;  // backends take both kinds
    return {::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | nonblocking_), std::move(peer)};
  }
  [[nodiscard]] Limit limit_descriptors(int more) { return Limit(more); }
  /// Runs `action` while the backend waits.
  void later(std::function<void()> action) { threads_.emplace_back(std::move(action)); }
  /// Waits until every such action has returned: it may use what its test is about to close.
  void join() { threads_.clear(); }
  [[nodiscard]] size_t open_descriptors() const { return 0; }  // count_descriptors() sees them

 private:
  B io_;
  int nonblocking_ = 0;
  std::vector<std::jthread> threads_;
};

class SimulatedPeer : public SimPeer {
 public:
  SimulatedPeer() = default;
  explicit SimulatedPeer(SimPeer peer) : SimPeer(std::move(peer)) {}
  size_t write_some(std::string_view bytes) {
    write(bytes);
    return bytes.size();
  }
};

class SimulatedLimit {
 public:
  SimulatedLimit(SimNetwork& network, int more) : network_(&network) {
    network.options().descriptor_limit = static_cast<int>(network.open_descriptors()) + more;
  }
  ~SimulatedLimit() { network_->options().descriptor_limit = INT_MAX; }

 private:
  SimNetwork* network_;
};

template <SimOptions (*kOptions)(uint64_t seed)>
class SimHarness {
 public:
  using Backend = SimBackend;
  using Peer = SimulatedPeer;
  using Limit = SimulatedLimit;
  static constexpr bool kSimulated = true;

  SimHarness() : network_(options()), io_(network_) {}

  [[nodiscard]] static std::optional<std::string> refusal() { return std::nullopt; }
  [[nodiscard]] SimBackend& io() { return io_; }
  [[nodiscard]] int listen() { return network_.listen(); }
  [[nodiscard]] Peer connect(int listener) { return Peer(network_.connect(listener)); }
  [[nodiscard]] std::pair<int, Peer> pair() {
    auto [fd, peer] = network_.pair();
    return {fd, Peer(peer)};
  }
  [[nodiscard]] Limit limit_descriptors(int more) { return Limit(network_, more); }
  void later(std::function<void()> action) { network_.schedule_in(1ms, std::move(action)); }
  void join() {}
  [[nodiscard]] size_t open_descriptors() const { return network_.open_descriptors(); }

 private:
  static SimOptions options() {
    SimOptions made = kOptions(1);
    made.window_bytes = 256 * 1024;  // sends can block, as over real sockets
    return made;
  }

  SimNetwork network_;
  SimBackend io_;
};

}  // namespace lastcall::contract
