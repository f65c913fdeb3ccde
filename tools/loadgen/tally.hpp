#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <lastcall/core/time.hpp>

#include "histogram.hpp"

namespace lastcall::load {

/// How one request ended. Each is counted as exactly one of these.
enum class Outcome : uint8_t {
  ok,           ///< a whole answer, status below 500
  http_5xx,     ///< a whole answer, status from 500
  refused,      ///< never connected: safe to retry
  dropped,      ///< connected, and ended before a byte of the request left: safe to retry, but not in order
  turned_away,  ///< pipelined behind an answer with `Connection: close`: told so, safe to retry
  lost_new,     ///< sent as the first on its connection, which ended without a byte of answer
  lost_reuse,   ///< the same on a connection that had answered before
  truncated,    ///< the answer began and broke off
  malformed,    ///< what came is no HTTP answer
  stuck,        ///< sent, and no whole answer within the timeout
  unable,       ///< the load's own fault: no local port, descriptor or memory
};
inline constexpr std::array kOutcomes = {Outcome::ok,         Outcome::http_5xx,    Outcome::refused,
                                         Outcome::dropped,    Outcome::turned_away, Outcome::lost_new,
                                         Outcome::lost_reuse, Outcome::truncated,   Outcome::malformed,
                                         Outcome::stuck,      Outcome::unable};

[[nodiscard]] std::string_view to_string(Outcome outcome) noexcept;

/// One request that did not end well, for whoever looks for the reason.
struct Example {
  Outcome outcome;
  std::string reason;
  Duration at{};              ///< when it ended, since the load began
  Duration since_sent{};      ///< … since its first byte left
  Duration connection_age{};  ///< … since the connection was there
  uint64_t answered = 0;      ///< answers before it on the same connection
  std::string local;          ///< the client's address, to find it in the server's log
};

/// One answer, for whoever wants to know how latencies went over time.
struct Sample {
  int64_t due_us;  ///< since the load began
  uint32_t latency_us;
  uint16_t status;
};

/// What one thread has seen; merged at the end.
class Tally {
 public:
  static constexpr size_t kMostExamples = 32;
  static constexpr size_t kStatuses = 1000;
  static constexpr size_t kMostSamples = 4'000'000;  // 64 MB

  void answered(int status, Duration latency) noexcept {
    ++outcomes_[static_cast<size_t>(status < 500 ? Outcome::ok : Outcome::http_5xx)];
    ++statuses_[static_cast<size_t>(status)];
    latency_.record(latency);
  }
  /// Keeps an answer by itself as well; those beyond kMostSamples only in the histogram.
  void sample(Duration due, Duration latency, int status) {
    if (samples_.size() == kMostSamples) return;
    samples_.push_back({due / 1us, static_cast<uint32_t>(latency / 1us), static_cast<uint16_t>(status)});
  }
  /// Any other end, with its reason: "ECONNRESET", "end of stream", …
  void failed(Outcome outcome, const std::string& reason, uint64_t count = 1) {
    outcomes_[static_cast<size_t>(outcome)] += count;
    reasons_[outcome][reason] += count;
  }
  void example(Example example) {
    if (examples_.size() < kMostExamples) examples_.push_back(std::move(example));
  }
  void merge(const Tally& other);

  [[nodiscard]] uint64_t count(Outcome outcome) const noexcept {
    return outcomes_[static_cast<size_t>(outcome)];
  }
  [[nodiscard]] uint64_t answers() const noexcept { return count(Outcome::ok) + count(Outcome::http_5xx); }
  /// Requests of which at least a byte was sent.
  [[nodiscard]] uint64_t sent() const noexcept;
  /// Requests that were sent, and their answers lost one way or another.
  [[nodiscard]] uint64_t lost() const noexcept;

  [[nodiscard]] const Histogram& latency() const noexcept { return latency_; }
  [[nodiscard]] const std::array<uint64_t, kStatuses>& statuses() const noexcept { return statuses_; }
  [[nodiscard]] const std::map<Outcome, std::map<std::string, uint64_t>>& reasons() const noexcept {
    return reasons_;
  }
  [[nodiscard]] const std::vector<Example>& examples() const noexcept { return examples_; }
  [[nodiscard]] const std::vector<Sample>& samples() const noexcept { return samples_; }

  uint64_t connections = 0;  ///< that came to be
  uint64_t closed_idle = 0;  ///< kept connections that the server ended with nothing sent on them: in order
  uint64_t unsolicited = 0;  ///< … on which it said something unasked, such as 408
  uint64_t bytes_received = 0;
  uint64_t never_begun = 0;  ///< open loop: requests that were due and found no free client until the end

 private:
  std::array<uint64_t, kOutcomes.size()> outcomes_{};
  std::array<uint64_t, kStatuses> statuses_{};
  std::map<Outcome, std::map<std::string, uint64_t>> reasons_;
  std::vector<Example> examples_;
  std::vector<Sample> samples_;
  Histogram latency_;
};

}  // namespace lastcall::load
