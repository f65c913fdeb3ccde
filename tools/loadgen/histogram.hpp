#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include <lastcall/core/time.hpp>

namespace lastcall::load {

/// Durations in buckets that grow with them, as in HdrHistogram: each octave is cut into 128, so a percentile
/// is at most 0.8 % above what was seen, from nanoseconds to 36 minutes, in fixed memory. The largest is kept
/// exactly.
class Histogram {
 public:
  void record(Duration duration) noexcept {
    uint64_t value = static_cast<uint64_t>(std::max<int64_t>(duration.count(), 0));
    ++counts_[bucket(value)];
    ++count_;
    sum_ += value;
    max_ = std::max(max_, value);
  }

  void merge(const Histogram& other) noexcept {
    for (size_t i = 0; i < kBuckets; ++i) counts_[i] += other.counts_[i];
    count_ += other.count_;
    sum_ += other.sum_;
    max_ = std::max(max_, other.max_);
  }

  [[nodiscard]] uint64_t count() const noexcept { return count_; }
  [[nodiscard]] Duration max() const noexcept { return Duration(static_cast<int64_t>(max_)); }
  [[nodiscard]] Duration mean() const noexcept {
    return Duration(static_cast<int64_t>(count_ == 0 ? 0 : sum_ / count_));
  }

  /// The smallest bucket bound that `percent` of all are not above; zero when nothing was recorded.
  [[nodiscard]] Duration percentile(double percent) const noexcept {
    if (count_ == 0) return {};
    auto rank = static_cast<uint64_t>(std::ceil(percent / 100 * static_cast<double>(count_)));
    rank = std::clamp<uint64_t>(rank, 1, count_);
    uint64_t seen = 0;
    size_t index = 0;
    for (; index < kBuckets; ++index) {
      seen += counts_[index];
      if (seen >= rank) break;
    }
    bool open_ended = index + 1 >= kBuckets;
    return Duration(static_cast<int64_t>(open_ended ? max_ : std::min(last_of(index), max_)));
  }

 private:
  static constexpr unsigned kPrecisionBits = 7;
  static constexpr uint64_t kPerOctave = 1u << kPrecisionBits;
  static constexpr unsigned kValueBits = 41;  // beyond 2^41 ns everything shares the last bucket
  static constexpr size_t kBuckets = (kValueBits - kPrecisionBits + 1) * kPerOctave;

  static constexpr size_t bucket(uint64_t value) noexcept {
    if (value < kPerOctave) return value;
    unsigned shift = static_cast<unsigned>(std::bit_width(value)) - kPrecisionBits - 1;
    return std::min<uint64_t>(shift * kPerOctave + (value >> shift), kBuckets - 1);
  }

  static constexpr uint64_t last_of(size_t index) noexcept {
    if (index < 2 * kPerOctave) return index;
    size_t shift = index / kPerOctave - 1;
    return ((index - shift * kPerOctave + 1) << shift) - 1;
  }

  std::array<uint64_t, kBuckets> counts_{};
  uint64_t count_ = 0;
  uint64_t sum_ = 0;
  uint64_t max_ = 0;
};

}  // namespace lastcall::load
