#pragma once

#include <cstdint>

namespace lastcall {

/// Full from the moment that a limit is seen reached until there is less than 90 % again, so that whoever is
/// led by it does not come and go with every request.
class Fullness {
 public:
  /// `most`: 0 for no limit. How it is now.
  bool update(uint64_t count, uint64_t most) noexcept {
    if (most == 0) return false;
    full_ = count >= most || (full_ && count * 10 >= most * 9);
    return full_;
  }

 private:
  bool full_ = false;
};

}  // namespace lastcall
