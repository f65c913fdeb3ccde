#include "tools/loadgen/histogram.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace lastcall::load {
namespace {

TEST(Histogram, OfNothingIsZero) {
  Histogram empty;
  EXPECT_EQ(empty.count(), 0u);
  EXPECT_EQ(empty.percentile(50), Duration::zero());
  EXPECT_EQ(empty.max(), Duration::zero());
  EXPECT_EQ(empty.mean(), Duration::zero());
}

TEST(Histogram, SmallValuesAreExact) {
  Histogram histogram;
  for (int i = 1; i <= 100; ++i) histogram.record(Duration(i));
  EXPECT_EQ(histogram.percentile(1), 1ns);
  EXPECT_EQ(histogram.percentile(50), 50ns);
  EXPECT_EQ(histogram.percentile(99), 99ns);
  EXPECT_EQ(histogram.percentile(99.9), 100ns);
  EXPECT_EQ(histogram.percentile(100), 100ns);
  EXPECT_EQ(histogram.mean(), 50ns);
}

TEST(Histogram, EveryValueIsWithinItsBucketsPrecision) {
  for (int64_t value = 1; value < int64_t{1} << 40; value += 1 + value / 37) {
    Histogram histogram;
    histogram.record(Duration(value));
    histogram.record(24h);  // so that the bucket's bound shows, not the largest value
    int64_t told = histogram.percentile(50).count();
    ASSERT_GE(told, value);
    ASSERT_LE(static_cast<double>(told), static_cast<double>(value) * (1 + 1.0 / 128)) << value;
  }
}

TEST(Histogram, AgreesWithSortedValues) {
  std::mt19937_64 random(7);
  std::vector<Duration> values;
  Histogram histogram;
  for (int i = 0; i < 20'000; ++i) {
    Duration value(static_cast<int64_t>(std::exp2(std::uniform_real_distribution<>(0, 35)(random))));
    values.push_back(value);
    histogram.record(value);
  }
  std::ranges::sort(values);
  for (double percent : {0.01, 1.0, 25.0, 50.0, 90.0, 99.0, 99.9, 99.99}) {
    auto rank = static_cast<size_t>(std::ceil(percent / 100 * static_cast<double>(values.size())));
    double exact = static_cast<double>(values[rank - 1].count());
    EXPECT_GE(static_cast<double>(histogram.percentile(percent).count()), exact) << percent;
    EXPECT_LE(static_cast<double>(histogram.percentile(percent).count()), exact * (1 + 1.0 / 128)) << percent;
  }
  EXPECT_EQ(histogram.percentile(100), values.back());
  EXPECT_EQ(histogram.max(), values.back());
}

TEST(Histogram, WhatIsBeyondItsRangeKeepsItsMaximum) {
  Histogram histogram;
  histogram.record(1ms);
  histogram.record(10h);
  histogram.record(-5ns);  // a clock that went backwards counts as nothing
  EXPECT_EQ(histogram.percentile(100), 10h);
  EXPECT_EQ(histogram.max(), 10h);
  EXPECT_EQ(histogram.percentile(1), 0ns);
}

TEST(Histogram, MergesAsIfAllHadBeenRecordedInOne) {
  Histogram left, right, both;
  for (int i = 0; i < 1000; ++i) {
    Duration value = i * 13us;
    (i % 3 == 0 ? left : right).record(value);
    both.record(value);
  }
  left.merge(right);
  EXPECT_EQ(left.count(), both.count());
  EXPECT_EQ(left.mean(), both.mean());
  EXPECT_EQ(left.max(), both.max());
  for (double percent : {1.0, 50.0, 99.0}) EXPECT_EQ(left.percentile(percent), both.percentile(percent));
}

}  // namespace
}  // namespace lastcall::load
