#pragma once

#include <cstdint>

#include <lastcall/core/check.hpp>

namespace lastcall {

/// Counts what is inside, and tells once when it is closed and empty: Seastar's gate without futures. Belongs
/// to one thread. Telling is a return value, not a callback: exactly one call of leave() or close() returns
/// true.
class DrainGate {
 public:
  DrainGate() = default;
  DrainGate(const DrainGate&) = delete;
  DrainGate& operator=(const DrainGate&) = delete;
  /// Whoever entered must have left.
  ~DrainGate() { LASTCALL_CHECK(count_ == 0); }

  /// The gate must be open.
  void enter() noexcept {
    LASTCALL_CHECK(!closed_);
    ++count_;
  }

  /// True when the gate is closed and the last one has just left.
  [[nodiscard]] bool leave() noexcept {
    LASTCALL_CHECK(count_ > 0);
    return --count_ == 0 && closed_;
  }

  /// Nobody enters from here on; once only. True when nobody is inside, and leave() will then never say it.
  [[nodiscard]] bool close() noexcept {
    LASTCALL_CHECK(!closed_);
    closed_ = true;
    return count_ == 0;
  }

  [[nodiscard]] bool closed() const noexcept { return closed_; }
  [[nodiscard]] uint64_t count() const noexcept { return count_; }

 private:
  uint64_t count_ = 0;
  bool closed_ = false;
};

}  // namespace lastcall
