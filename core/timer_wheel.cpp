#include <algorithm>
#include <array>
#include <bit>
#include <chrono>

#include <lastcall/core/timer_wheel.hpp>

namespace lastcall {
namespace {

// Level 0 has a slot for each of the next 256 ticks; each slot of a level above spans one whole turn of the
// level below: 256 ms, 16 s, 17 min, 18 h. When time enters such a slot its timers are filed again, one level
// down or more.
constexpr int kLevels = 5;
constexpr int kFirstBits = 8;
constexpr int kUpperBits = 6;
constexpr size_t kFirstSlots = size_t{1} << kFirstBits;
constexpr size_t kUpperSlots = size_t{1} << kUpperBits;
constexpr int64_t kHorizonTicks = (int64_t{1} << (kFirstBits + kUpperBits * (kLevels - 1))) - 1;

constexpr uint8_t kDueList = kLevels;       // Timer::level of those taken out by collect()
constexpr uint8_t kLateList = kLevels + 1;  // of those armed in the past

/// Ticks spanned by one slot of a level, as a power of two.
constexpr int shift_of(int level) {
  return level == 0 ? 0 : kFirstBits + kUpperBits * (level - 1);
}

/// A circular list with its head in it.
struct List {
  Timer head;
  List() noexcept { head.next = head.previous = &head; }
  [[nodiscard]] bool empty() const noexcept { return head.next == &head; }
  void push_back(Timer& timer) noexcept {
    timer.next = &head;
    timer.previous = head.previous;
    head.previous->next = &timer;
    head.previous = &timer;
  }
};

void unlink(Timer& timer) noexcept {
  timer.previous->next = timer.next;
  timer.next->previous = timer.previous;
  timer.next = timer.previous = nullptr;
}

}  // namespace

struct TimerWheel::Wheel {
  int64_t now = 0;  // ticks since the start; what is due up to here has been collected
  std::array<uint64_t, kFirstSlots / 64> first_used{};
  std::array<uint64_t, kLevels> upper_used{};  // [0] is not used
  std::array<List, kFirstSlots> first;
  std::array<std::array<List, kUpperSlots>, kLevels - 1> upper;
  List due;
  List late;

  List& list_of(const Timer& timer) noexcept {
    if (timer.level == 0) return first[timer.index];
    if (timer.level < kLevels) return upper[timer.level - size_t{1}][timer.index];
    return timer.level == kDueList ? due : late;
  }

  void set_used(const Timer& timer, bool used) noexcept {
    if (timer.level >= kLevels) return;
    uint64_t& word = timer.level == 0 ? first_used[timer.index / 64] : upper_used[timer.level];
    const uint64_t bit = uint64_t{1} << (timer.index % 64);
    word = used ? word | bit : word & ~bit;
  }

  void push(Timer& timer, uint8_t level, int64_t position) noexcept {
    timer.level = level;
    timer.index =
        static_cast<uint8_t>(level == 0 ? position % int64_t{kFirstSlots} : position % int64_t{kUpperSlots});
    list_of(timer).push_back(timer);
    set_used(timer, true);
  }

  void file(Timer& timer) noexcept {
    const int64_t due_tick = std::min(timer.due_tick, now + kHorizonTicks);
    const int64_t distance = due_tick - now;
    uint8_t level = 0;
    while (distance >> shift_of(level + 1) != 0 && level + 1 < kLevels) ++level;
    push(timer, level, due_tick >> shift_of(level));
  }

  void remove(Timer& timer) noexcept {
    unlink(timer);
    if (list_of(timer).empty()) set_used(timer, false);
  }

  void move_all(List& from, List& to, uint8_t level) noexcept {
    while (!from.empty()) {
      Timer& timer = *from.head.next;
      remove(timer);
      timer.level = level;
      to.push_back(timer);
    }
  }

  /// Time has entered this slot: its timers are due now, or belong further down.
  void refile(List& slot) noexcept {
    while (!slot.empty()) {
      Timer& timer = *slot.head.next;
      remove(timer);
      if (timer.due_tick > now) {
        file(timer);
      } else {
        timer.level = kDueList;
        due.push_back(timer);
      }
    }
  }

  /// The next tick at which a timer is due or a slot has to be filed again; INT64_MAX when there is none.
  [[nodiscard]] int64_t next_tick() const noexcept {
    int64_t next = next_first_tick();
    for (int level = 1; level < kLevels; ++level) {
      const uint64_t used = upper_used[static_cast<size_t>(level)];
      if (used == 0) continue;
      const int64_t position = now >> shift_of(level);
      const int turn = static_cast<int>((position + 1) % int64_t{kUpperSlots});
      const int64_t found = position + 1 + std::countr_zero(std::rotr(used, turn));
      next = std::min(next, found << shift_of(level));
    }
    return next;
  }

  [[nodiscard]] int64_t next_first_tick() const noexcept {
    const auto start = static_cast<size_t>((now + 1) % int64_t{kFirstSlots});
    const int64_t base = now + 1 - static_cast<int64_t>(start);
    for (size_t step = 0; step <= first_used.size();
         ++step) {  // the word of `start` is looked at twice: its ends
      const size_t word = (start / 64 + step) % first_used.size();
      uint64_t used = first_used[word];
      if (step == 0) used &= ~uint64_t{0} << (start % 64);
      if (step == first_used.size()) used &= ~(~uint64_t{0} << (start % 64));
      if (used == 0) continue;
      const auto slot = static_cast<int64_t>(word * 64) + std::countr_zero(used);
      return base + slot + (slot < static_cast<int64_t>(start) ? int64_t{kFirstSlots} : 0);
    }
    return INT64_MAX;
  }

  void enter(int64_t tick) noexcept {
    now = tick;
    for (int level = kLevels - 1; level > 0; --level) {
      if ((tick & ((int64_t{1} << shift_of(level)) - 1)) != 0) continue;
      const auto index = static_cast<size_t>((tick >> shift_of(level)) % int64_t{kUpperSlots});
      refile(upper[static_cast<size_t>(level) - 1][index]);
    }
    move_all(first[static_cast<size_t>(tick % int64_t{kFirstSlots})], due, kDueList);
  }
};

TimerWheel::TimerWheel(Instant start) : wheel_(std::make_unique<Wheel>()), start_(start) {}

TimerWheel::~TimerWheel() {
  const auto disarm = [](List& list) {
    while (!list.empty()) unlink(*list.head.next);
  };
  for (List& list : wheel_->first) disarm(list);
  for (auto& level : wheel_->upper) std::ranges::for_each(level, disarm);
  disarm(wheel_->due);
  disarm(wheel_->late);
}

void TimerWheel::arm(Timer& timer, Instant due) noexcept {
  cancel(timer);
  ++size_;
  timer.due_tick = std::chrono::ceil<std::chrono::milliseconds>(due - start_).count();
  if (timer.due_tick > wheel_->now) return wheel_->file(timer);
  timer.due_tick = wheel_->now;
  timer.level = kLateList;
  wheel_->late.push_back(timer);
}

void TimerWheel::cancel(Timer& timer) noexcept {
  if (!timer.armed()) return;
  wheel_->remove(timer);
  --size_;
}

Instant TimerWheel::next_due() const noexcept {
  int64_t tick = wheel_->late.empty() && wheel_->due.empty() ? wheel_->next_tick() : wheel_->now;
  return tick == INT64_MAX ? kNever : start_ + std::chrono::milliseconds(tick);
}

void TimerWheel::collect(Instant now) noexcept {
  const int64_t target = std::chrono::floor<std::chrono::milliseconds>(now - start_).count();
  wheel_->move_all(wheel_->late, wheel_->due, kDueList);
  for (int64_t next = wheel_->next_tick(); next <= target; next = wheel_->next_tick()) wheel_->enter(next);
  wheel_->now = std::max(wheel_->now, target);
}

Timer* TimerWheel::take_due() noexcept {
  if (wheel_->due.empty()) return nullptr;
  Timer* timer = wheel_->due.head.next;
  cancel(*timer);
  return timer;
}

}  // namespace lastcall
