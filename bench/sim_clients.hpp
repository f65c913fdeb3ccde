#pragma once

#include <algorithm>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <lastcall/core/fd.hpp>

#include "tests/sim/sim_network.hpp"

namespace lastcall::bench {

/// The clients of a WarmWorker on a simulated network, whose clock moves by let_pass() only.
class SimClients {
 public:
  explicit SimClients(const SimOptions& options) : network_(options) {}

  /// As many as there are to be, by the worker's listener.
  template <class Worker>
  void connect(Worker& worker, size_t count) {
    if (listener_ < 0) {
      listener_ = network_.listen();
      worker.listen(Fd(listener_));
    }
    while (peers_.size() < count) peers_.push_back(network_.connect(listener_));
  }
  void let_pass(Duration time) {
    if (began_ != Instant{} && network_.now() != began_)
      throw std::runtime_error("the server waited for a timer");
    if (time > 0s) static_cast<void>(network_.advance(network_.now() + time));
    began_ = network_.now();
  }
  void write(std::string_view bytes) {
    for (SimPeer& peer : peers_) peer.write(bytes);
  }
  [[nodiscard]] size_t fewest_bytes() const {
    size_t fewest = SIZE_MAX;
    for (const SimPeer& peer : peers_) fewest = std::min(fewest, peer.untaken());
    return fewest;
  }
  [[nodiscard]] std::string read(size_t client) { return peers_[client].read_all(); }
  [[nodiscard]] bool all_ended() const {
    return std::ranges::all_of(peers_, [](const SimPeer& peer) { return peer.saw_eof(); });
  }
  void close() {
    for (SimPeer& peer : peers_) peer.close();
    peers_.clear();
  }

 private:
  SimNetwork network_;
  std::vector<SimPeer> peers_;
  int listener_ = -1;
  Instant began_{};
};

}  // namespace lastcall::bench
