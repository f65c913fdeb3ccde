#include <gtest/gtest.h>

#include <lastcall/shutdown/drain_gate.hpp>

namespace lastcall {
namespace {

TEST(DrainGate, TheLastToLeaveAClosedGateTellsOnce) {
  DrainGate gate;
  gate.enter();
  gate.enter();
  EXPECT_FALSE(gate.close());
  EXPECT_TRUE(gate.closed());
  EXPECT_FALSE(gate.leave());
  EXPECT_EQ(gate.count(), 1u);
  EXPECT_TRUE(gate.leave());
  EXPECT_EQ(gate.count(), 0u);
}

TEST(DrainGate, ClosingAnEmptyGateTellsAtOnce) {
  DrainGate gate;
  EXPECT_TRUE(gate.close());
}

TEST(DrainGate, AnOpenGateThatBecomesEmptySaysNothing) {
  DrainGate gate;
  gate.enter();
  EXPECT_FALSE(gate.leave());
  gate.enter();
  EXPECT_FALSE(gate.leave());
  EXPECT_FALSE(gate.closed());
  EXPECT_TRUE(gate.close());
}

TEST(DrainGateDeathTest, EnteringAClosedGateIsABug) {
  DrainGate gate;
  ASSERT_TRUE(gate.close());
  EXPECT_DEATH(gate.enter(), "CHECK failed: !closed_");
}

TEST(DrainGateDeathTest, LeavingAnEmptyGateIsABug) {
  DrainGate gate;
  EXPECT_DEATH((void)gate.leave(), "CHECK failed: count_ > 0");
}

TEST(DrainGateDeathTest, ClosingTwiceIsABug) {
  DrainGate gate;
  ASSERT_TRUE(gate.close());
  EXPECT_DEATH((void)gate.close(), "CHECK failed: !closed_");
}

TEST(DrainGateDeathTest, DestroyingAHeldGateIsABug) {
  EXPECT_DEATH(
      {
        DrainGate gate;
        gate.enter();
      },
      "CHECK failed: count_ == 0");
}

}  // namespace
}  // namespace lastcall
