#include "engine.hpp"

#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include <lastcall/core/check.hpp>
#include <lastcall/core/clock.hpp>

namespace lastcall::load {
namespace {

constexpr size_t kReceiveBytes = 64 * 1024;
constexpr Duration kAfterRefusal = 10ms;     // a refused client asks again, but not in a circle
constexpr Duration kSweep = 10ms;            // how late a timeout may be noticed, or that the load is over
constexpr Duration kSpreadPerClient = 20us;  // so that thousands do not connect in one instant

}  // namespace

Engine::Engine(Shared& shared, uint32_t thread)
    : shared_(shared),
      options_(shared.options),
      thread_(thread),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      context_{
          .shared = shared, .epoll = epoll_.get(), .buffer = std::vector<char>(kReceiveBytes), .tally = {}},
      random_(options_.seed + 0x9e3779b97f4a7c15u * (thread + 1)) {
  LASTCALL_CHECK(static_cast<bool>(epoll_));
  clients_.reserve(options_.clients() / options_.threads + 1);
  for (uint32_t index = thread; index < options_.clients(); index += options_.threads) {
    clients_.emplace_back(context_, index, static_cast<uint32_t>(clients_.size()));
  }
}

void Engine::run() {
  if (options_.rate == 0) {
    plan_closed_loop();
  } else {
    for (uint32_t i = 0; i < clients_.size(); ++i) free_.push_back(i);
  }
  next_sweep_ = shared_.start + kSweep;
  for (;;) {
    Instant now = monotonic_now();
    if (over(now)) {
      if (busy_ == 0) break;
    } else {
      start_due(now);
      if (exhausted_ && busy_ == 0) break;
    }
    if (now >= next_sweep_) give_up_late(now);
    wait(std::min(over_ ? kNever : next_due(), next_sweep_));
  }
}

bool Engine::over(Instant now) {
  if (over_) return true;
  bool gone =
      options_.stop_when_refused && shared_.refused.load(std::memory_order_relaxed) == options_.clients();
  if (gone) shared_.stop.store(true, std::memory_order_relaxed);
  Instant end = shared_.start + options_.duration;
  if (now < end && !shared_.stop.load(std::memory_order_relaxed)) return false;
  over_ = true;
  count_never_begun(std::min(now, end));
  for (Client& client : clients_) {
    bool was_busy = client.busy();
    client.stop_connecting();
    if (was_busy && !client.busy()) --busy_;
  }
  return true;
}

void Engine::plan_closed_loop() {
  Duration spread = kSpreadPerClient * clients_.size();
  for (uint32_t i = 0; i < clients_.size(); ++i) {
    Duration think = clients_[i].fresh() ? options_.fresh_think : options_.think;
    due_.push({shared_.start + random_up_to(std::max(spread, think)), i});
  }
}

Duration Engine::random_up_to(Duration most) {
  return Duration(std::uniform_int_distribution<int64_t>(0, most.count())(random_));
}

/// When the open loop's request falls due: the threads take turns.
Instant Engine::arrival(uint64_t number) const {
  double turn = static_cast<double>(number) * options_.threads + thread_;
  return shared_.start + Duration(static_cast<int64_t>(turn / options_.rate * 1e9));
}

Instant Engine::next_due() const {
  if (exhausted_) return kNever;
  if (options_.rate > 0) return free_.empty() ? kNever : arrival(arrived_);
  return due_.empty() ? kNever : due_.top().at;
}

void Engine::start_due(Instant now) {
  if (options_.rate > 0) return start_arrivals(now);
  // Those that are free again at once wait for the next round, so that answers are read in between.
  for (size_t turns = due_.size(); turns > 0 && !exhausted_ && !due_.empty() && due_.top().at <= now;
       --turns) {
    Due due = due_.top();
    due_.pop();
    start(due.client, due.at);
  }
}

void Engine::start_arrivals(Instant now) {
  for (size_t turns = free_.size(); turns > 0 && !exhausted_ && arrival(arrived_) <= now; --turns) {
    uint32_t client = free_.front();
    free_.pop_front();
    start(client, arrival(arrived_++));
  }
}

/// How many of the wanted requests may still be begun.
uint32_t Engine::claim(uint32_t wanted) {
  if (options_.requests == 0) return wanted;
  uint64_t begun = shared_.begun.fetch_add(wanted, std::memory_order_relaxed);
  return static_cast<uint32_t>(
      std::min<uint64_t>(wanted, options_.requests - std::min(begun, options_.requests)));
}

void Engine::start(uint32_t client, Instant intended) {
  uint32_t count = claim(clients_[client].fresh() ? 1 : options_.pipeline);
  if (count == 0) {
    exhausted_ = true;
    return;
  }
  ++busy_;
  clients_[client].begin(intended, count);
  if (!clients_[client].busy()) freed(client);
}

void Engine::freed(uint32_t client) {
  --busy_;
  if (options_.rate > 0) return free_.push_back(client);
  Duration pause = random_up_to(clients_[client].fresh() ? options_.fresh_think : options_.think);
  if (clients_[client].refused()) pause = std::max(pause, kAfterRefusal);
  due_.push({monotonic_now() + pause, client});
}

void Engine::give_up_late(Instant now) {
  for (uint32_t i = 0; i < clients_.size(); ++i) {
    if (!clients_[i].busy()) continue;
    clients_[i].on_time(now);
    if (!clients_[i].busy()) freed(i);
  }
  next_sweep_ = now + kSweep;
}

void Engine::count_never_begun(Instant end) {
  if (options_.rate == 0 || exhausted_) return;
  while (arrival(arrived_) < end) {
    ++arrived_;
    ++context_.tally.never_begun;
  }
}

void Engine::wait(Instant until) {
  std::array<epoll_event, 512> events;
  timespec patience = to_timespec(until - monotonic_now());
  int count = ::epoll_pwait2(epoll_.get(), events.data(), events.size(), &patience, nullptr);
  LASTCALL_CHECK(count >= 0 || errno == EINTR);
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events[static_cast<size_t>(i)];
    Client& client = clients_[event.data.u32];
    bool was_busy = client.busy();
    client.on_ready(event.events);
    if (was_busy && !client.busy()) freed(event.data.u32);
  }
}

}  // namespace lastcall::load
