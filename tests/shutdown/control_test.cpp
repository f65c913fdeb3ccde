#include <gtest/gtest.h>

#include <lastcall/shutdown/control.hpp>

namespace lastcall {
namespace {

TEST(StopControl, TellsOfTheNextPhaseOnce) {
  StopControl control(1);
  const std::stop_token first = control.next_phase();
  EXPECT_FALSE(first.stop_requested());
  bool told = false;
  const std::stop_callback callback(first, [&] {
    told = true;
    EXPECT_EQ(control.phase(), Phase::announcing) << "it has been entered";
    EXPECT_FALSE(control.next_phase().stop_requested()) << "nor does it hang";
  });
  control.enter(Phase::announcing, {}, "why");
  EXPECT_TRUE(told);
  const std::stop_token second = control.next_phase();
  EXPECT_FALSE(second.stop_requested());
  control.enter(Phase::draining, {}, "why");
  EXPECT_TRUE(second.stop_requested());
}

TEST(StopControl, KnowsTheDeadlineOnceThereIsOne) {
  StopControl control(1);
  EXPECT_EQ(control.deadline(), kNever);
  control.note_deadline(Instant{5s});
  EXPECT_EQ(control.deadline(), Instant{5s});
}

}  // namespace
}  // namespace lastcall
