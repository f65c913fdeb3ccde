#include <algorithm>
#include <utility>

#include <lastcall/shutdown/progress_timeline.hpp>

namespace lastcall {
namespace {

constexpr int kSamplesAnAge = 50;  // a sample is due when its phase is a fiftieth older
constexpr int kWakesAnInterval =
    20;  // so much closer may two samples be when something happened between them

bool same_counts(const TimelineSample& a, const TimelineSample& b) noexcept {
  return a.idle == b.idle && a.active == b.active && a.aborted == b.aborted && a.completed == b.completed;
}

}  // namespace

void Timeline::add_milestone(const TimelineSample& sample, Instant now) {
  phase_began_ = now;
  keep({.sample = sample, .milestone = true}, now);
}

void Timeline::add(const TimelineSample& sample, Instant now) {
  if (kept_.empty()) return;
  if (now < due_) {
    const TimelineSample& last = kept_.back().sample;
    bool too_close = sample.at_ms - last.at_ms < to_ms(shortest_ / kWakesAnInterval);
    if (too_close || same_counts(sample, last)) return;
  }
  keep({.sample = sample}, now);
}

void Timeline::keep(const Kept& kept, Instant now) {
  if (kept_.size() == kMostSamples) thin();
  kept_.push_back(kept);
  due_ = after(now, std::max(shortest_, (now - phase_began_) / kSamplesAnAge));
}

void Timeline::thin() {
  std::vector<Kept> left;
  bool drop = false;
  for (const Kept& kept : kept_) {
    if (!kept.milestone) drop = !drop;
    if (kept.milestone || !drop) left.push_back(kept);
  }
  kept_ = std::move(left);
  shortest_ *= 2;
}

std::vector<TimelineSample> Timeline::take() {
  std::vector<TimelineSample> samples;
  for (const Kept& kept : kept_) samples.push_back(kept.sample);
  kept_.clear();
  due_ = kNever;
  return samples;
}

}  // namespace lastcall
