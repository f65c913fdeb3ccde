#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <lastcall/core/time.hpp>
#include <lastcall/net/listener.hpp>
#include <lastcall/shutdown/control.hpp>
#include <lastcall/shutdown/report.hpp>

namespace lastcall {

/// The entrance of the whole server: closes it at a stop so that nobody who is already through the door is
/// reset. What cannot be led aside any more (handshakes under way) still comes in; when none is left, or
/// after kGateLimit, the reactors close their listeners; last goes what kept newcomers waiting, and who tries
/// again is refused.
class Gate {
 public:
  static constexpr Duration kGateLimit = 200ms;

  /// `groups` and `control` outlive the gate. Call it before serving: it notes how many SYN cookies were
  /// sent.
  Gate(std::span<ListenerGroup> groups, StopControl& control);
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;
  ~Gate();

  /// Begins, just before the reactors are told to drain. Returns at once: a thread of its own watches the
  /// handshakes.
  void close();
  /// What came of it. After the reactors have closed their listeners.
  [[nodiscard]] GateReport report();

 private:
  void watch(const std::stop_token& stop);
  [[nodiscard]] bool quiet() const;

  std::span<ListenerGroup> groups_;
  StopControl& control_;
  uint64_t cookies_at_start_;
  GateReport report_;
  std::jthread watcher_;
};

}  // namespace lastcall
