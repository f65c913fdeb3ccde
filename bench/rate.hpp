#pragma once

#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>

namespace lastcall::bench {

/// Reports items and bytes a second of so many in each iteration. After the loop.
inline void set_rate(benchmark::State& state, size_t items, size_t bytes = 0) {
  const auto iterations = static_cast<int64_t>(state.iterations());
  state.SetItemsProcessed(iterations * static_cast<int64_t>(items));
  if (bytes != 0) state.SetBytesProcessed(iterations * static_cast<int64_t>(bytes));
}

}  // namespace lastcall::bench
