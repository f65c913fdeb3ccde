#pragma once

#include <cstdint>

namespace lastcall::test {

/// Counts the calls of operator new on this thread since it was made:
///   AllocationCounter counter; work(); EXPECT_EQ(counter.count(), 0u);
/// Linking it replaces the global operator new and delete of the executable.
class AllocationCounter {
 public:
  AllocationCounter() noexcept : start_(total()) {}
  [[nodiscard]] uint64_t count() const noexcept { return total() - start_; }

 private:
  [[nodiscard]] static uint64_t total() noexcept;  // of this thread
  uint64_t start_;
};

}  // namespace lastcall::test
