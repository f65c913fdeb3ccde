#pragma once

#include <cstdint>
#include <deque>
#include <queue>
#include <random>
#include <vector>

#include <lastcall/core/fd.hpp>
#include <lastcall/core/time.hpp>

#include "client.hpp"
#include "tally.hpp"

namespace lastcall::load {

/// One thread's part of the load: every `threads`th client, and their schedule. In the closed loop each
/// client goes on when it has its answer and has thought; in the open loop requests fall due by the clock,
/// and each takes the client that has been free longest. Either way a latency begins when the request was
/// due.
class Engine {
 public:
  Engine(Shared& shared, uint32_t thread);

  /// Until the time, the requests or the server are at an end and every answer has come or is given up.
  void run();
  [[nodiscard]] const Tally& tally() const noexcept { return context_.tally; }

 private:
  struct Due {
    Instant at;
    uint32_t client;
    bool operator>(const Due& other) const noexcept { return at > other.at; }
  };

  void plan_closed_loop();
  void start_due(Instant now);
  void start_arrivals(Instant now);
  void start(uint32_t client, Instant intended);
  void freed(uint32_t client);
  [[nodiscard]] uint32_t claim(uint32_t wanted);
  [[nodiscard]] Duration random_up_to(Duration most);
  [[nodiscard]] Instant arrival(uint64_t number) const;
  [[nodiscard]] Instant next_due() const;
  [[nodiscard]] bool over(Instant now);
  void give_up_late(Instant now);
  void count_never_begun(Instant end);
  void wait(Instant until);

  Shared& shared_;
  const LoadOptions& options_;
  const uint32_t thread_;
  Fd epoll_;
  Context context_;
  std::vector<Client> clients_;
  std::priority_queue<Due, std::vector<Due>, std::greater<>> due_;  // closed loop
  std::deque<uint32_t> free_;                                       // open loop
  uint64_t arrived_ = 0;                                            // … requests taken up
  uint32_t busy_ = 0;
  bool exhausted_ = false;  // as many requests as wanted
  bool over_ = false;
  Instant next_sweep_{};
  std::mt19937_64 random_;
};

}  // namespace lastcall::load
