#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <lastcall/core/time.hpp>
#include <lastcall/shutdown/report.hpp>

namespace lastcall {

/// The samples of one stop, as many as its length deserves and never more than kMostSamples. Pure: the runner
/// brings the time and the counts.
///
/// A phase begins with one sample every 20 ms; a second later the distance grows with the age of the phase,
/// to a fiftieth of it. When the samples are too many, every second one goes and the shortest distance
/// doubles. Milestones stay: they are the edges of the picture.
class Timeline {
 public:
  static constexpr size_t kMostSamples = 256;
  static constexpr Duration kFirstInterval = 20ms;

  /// When the next ordinary sample is due, kNever before the first milestone.
  [[nodiscard]] Instant next_due() const noexcept { return due_; }

  /// A phase begins, or the stop ends. Kept for good; there are at most a handful.
  void add_milestone(const TimelineSample& sample, Instant now);

  /// Offers what the counts are now: kept if it is due, or differs from the last sample and is not too close
  /// to it. Ignored before the first milestone.
  void add(const TimelineSample& sample, Instant now);

  [[nodiscard]] std::vector<TimelineSample> take();

 private:
  struct Kept {
    TimelineSample sample;
    bool milestone = false;
  };

  void keep(const Kept& kept, Instant now);
  void thin();

  std::vector<Kept> kept_;
  Duration shortest_ = kFirstInterval;
  Instant phase_began_{};
  Instant due_ = kNever;
};

}  // namespace lastcall
