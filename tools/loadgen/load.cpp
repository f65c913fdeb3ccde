#include "load.hpp"

#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <memory>
#include <system_error>
#include <thread>

#include <lastcall/core/check.hpp>
#include <lastcall/core/clock.hpp>
#include <lastcall/core/fd.hpp>

#include "client.hpp"
#include "engine.hpp"

namespace lastcall::load {
namespace {

void send_signal(SentSignal& signal) {
  signal.at = monotonic_now();
  signal.sent = ::kill(signal.planned.pid, signal.planned.number) == 0;
  signal.error = signal.sent ? "" : std::generic_category().message(errno);
}

/// Sends the signals, each at its time, until the last thread writes to `ended` or `interrupt` is readable.
void send_signals(std::vector<SentSignal>& signals, Shared& shared, int ended, int interrupt) {
  size_t next = 0;
  for (;;) {
    Instant due = next < signals.size() ? shared.start + signals[next].planned.at : kNever;
    timespec patience = to_timespec(due - monotonic_now());
    std::array entries = {pollfd{.fd = ended, .events = POLLIN, .revents = 0},
                          pollfd{.fd = interrupt, .events = POLLIN, .revents = 0}};
    int ready = ::ppoll(entries.data(), entries.size(), due == kNever ? nullptr : &patience, nullptr);
    if (ready > 0 && entries[0].revents != 0) return;
    if (ready > 0 && entries[1].revents != 0) {
      shared.stop.store(true);
      interrupt = -1;
    }
    if (ready == 0) send_signal(signals[next++]);
  }
}

}  // namespace

Summary run_load(const LoadOptions& options, int interrupt) {
  Summary summary;
  for (const PlannedSignal& planned : options.signals) {
    summary.signals.push_back({.planned = planned, .error = "the load was over before"});
  }
  std::ranges::sort(summary.signals, {}, [](const SentSignal& one) { return one.planned.at; });

  Shared shared(options);
  std::vector<std::unique_ptr<Engine>> engines;
  for (uint32_t i = 0; i < options.threads; ++i) engines.push_back(std::make_unique<Engine>(shared, i));
  Fd ended(::eventfd(0, EFD_CLOEXEC));
  LASTCALL_CHECK(static_cast<bool>(ended));
  std::atomic<uint32_t> running = options.threads;
  shared.start = monotonic_now();
  {
    std::vector<std::jthread> threads;
    for (auto& engine : engines) {
      threads.emplace_back([&ended, &running, one = engine.get()] {
        one->run();
        uint64_t count = 1;
        if (running.fetch_sub(1) == 1) LASTCALL_CHECK(::write(ended.get(), &count, sizeof count) == 8);
      });
    }
    send_signals(summary.signals, shared, ended.get(), interrupt);
  }
  summary.duration = monotonic_now() - shared.start;
  for (const auto& engine : engines) summary.tally.merge(engine->tally());
  return summary;
}

int exit_code(const LoadOptions& options, const Summary& summary) {
  const Tally& tally = summary.tally;
  bool bad = tally.lost() > 0 || tally.count(Outcome::unable) > 0 || tally.answers() == 0;
  bad = bad || (tally.count(Outcome::http_5xx) > 0 && !options.allow_5xx);
  bad = bad || std::ranges::any_of(summary.signals, [](const SentSignal& one) { return !one.sent; });
  return bad ? 1 : 0;
}

}  // namespace lastcall::load
