#include <lastcall/core/clock.hpp>
#include <lastcall/core/log.hpp>
#include <lastcall/core/thread.hpp>
#include <lastcall/net/gate.hpp>
#include <lastcall/net/tcp_table.hpp>

namespace lastcall {
namespace {

constexpr Duration kLookAgain = 1ms;
constexpr Duration kLookAgainLater = 5ms;  // for a reactor that does not come to close its listener
constexpr Duration kSlowLook = 20ms;       // many connections: one that is clean must do
constexpr int kCleanLooks = 2;             // a table is no snapshot

}  // namespace

Gate::Gate(std::span<ListenerGroup> groups, StopControl& control)
    : groups_(groups), control_(control), cookies_at_start_(syn_cookies_sent()) {}

Gate::~Gate() = default;

void Gate::close() {
  bool wait = false;
  for (ListenerGroup& group : groups_) {
    if (Result<void> closed = group.close_gate(); !closed) {
      log_event(LogLevel::warning, "gate_failed",
                {{"address", group.text()}, {"error", closed.error().message}});
    }
    report_.listeners.push_back({.address = group.text(), .tier = std::string(to_string(group.tier()))});
    wait = wait || group.holds_newcomers();
  }
  if (!wait) return;
  control_.hold_listeners();
  watcher_ = std::jthread([this](const std::stop_token& stop) { watch(stop); });
}

void Gate::watch(const std::stop_token& stop) {
  set_thread_name("gate");
  const Instant began = monotonic_now();
  // A handshake by cookie is known to nobody until it ends: then only time helps.
  const bool cookies = syn_cookies_sent() != cookies_at_start_ || cookies_at_start_ == UINT64_MAX;
  for (int clean = 0; !stop.stop_requested() && monotonic_now() - began < kGateLimit;) {
    std::this_thread::sleep_for(kLookAgain);
    const Instant looked = monotonic_now();
    clean = quiet() ? clean + 1 : 0;
    const bool enough = clean >= kCleanLooks || (clean > 0 && monotonic_now() - looked >= kSlowLook);
    if (!enough || cookies) continue;
    report_.certified = true;
    break;
  }
  report_.cookies = cookies;
  report_.held_ms = to_ms(monotonic_now() - began);
  control_.release_listeners();

  const auto all_closed = [this] {
    for (uint32_t reactor = 0; reactor < control_.reactors(); ++reactor) {
      if (control_.acknowledged(reactor) < Phase::draining) return false;
    }
    return true;
  };
  // As long as one listener is open, whoever is led aside must be: the queue of a stuck reactor serves
  // nobody.
  for (Instant late = began + kGateLimit * 2; !stop.stop_requested() && !all_closed();) {
    std::this_thread::sleep_for(monotonic_now() < late ? kLookAgain : kLookAgainLater);
  }
  for (ListenerGroup& group : groups_) group.let_go();
  log_event(LogLevel::info, "gate_closed",
            {{"certified", report_.certified ? "true" : "false"}, {"after", monotonic_now() - began}});
}

/// Is no handshake under way?
bool Gate::quiet() const {
  std::vector<uint16_t> ports;
  bool ipv6 = false;
  for (const ListenerGroup& group : groups_) {
    if (!group.holds_newcomers()) continue;
    ports.push_back(group.port());
    ipv6 = ipv6 || group.takes_ipv6();
  }
  return !handshakes_under_way(ports, ipv6).value_or(true);
}

GateReport Gate::report() {
  watcher_.request_stop();
  if (watcher_.joinable()) watcher_.join();
  return report_;
}

}  // namespace lastcall
