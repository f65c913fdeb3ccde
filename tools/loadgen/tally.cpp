#include "tally.hpp"

#include <algorithm>
#include <cstddef>

namespace lastcall::load {

std::string_view to_string(Outcome outcome) noexcept {
  switch (outcome) {
    case Outcome::ok: return "ok";
    case Outcome::http_5xx: return "http_5xx";
    case Outcome::refused: return "refused";
    case Outcome::dropped: return "dropped";
    case Outcome::turned_away: return "turned_away";
    case Outcome::lost_new: return "lost_new";
    case Outcome::lost_reuse: return "lost_reuse";
    case Outcome::truncated: return "truncated";
    case Outcome::malformed: return "malformed";
    case Outcome::stuck: return "stuck";
    case Outcome::unable: return "unable";
  }
  return "?";
}

void Tally::merge(const Tally& other) {
  for (size_t i = 0; i < outcomes_.size(); ++i) outcomes_[i] += other.outcomes_[i];
  for (size_t i = 0; i < statuses_.size(); ++i) statuses_[i] += other.statuses_[i];
  for (const auto& [outcome, counts] : other.reasons_) {
    for (const auto& [reason, count] : counts) reasons_[outcome][reason] += count;
  }
  for (const Example& one : other.examples_) example(one);
  size_t room = kMostSamples - samples_.size();
  auto end = other.samples_.begin() + static_cast<std::ptrdiff_t>(std::min(room, other.samples_.size()));
  samples_.insert(samples_.end(), other.samples_.begin(), end);
  latency_.merge(other.latency_);
  connections += other.connections;
  closed_idle += other.closed_idle;
  unsolicited += other.unsolicited;
  bytes_received += other.bytes_received;
  never_begun += other.never_begun;
}

uint64_t Tally::sent() const noexcept {
  return answers() + count(Outcome::turned_away) + lost();
}

uint64_t Tally::lost() const noexcept {
  return count(Outcome::lost_new) + count(Outcome::lost_reuse) + count(Outcome::truncated) +
         count(Outcome::malformed) + count(Outcome::stuck);
}

}  // namespace lastcall::load
