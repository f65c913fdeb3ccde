#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <new>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <lastcall/core/slot_table.hpp>

namespace lastcall {
namespace {

int alive = 0;

class Thing {
 public:
  Thing(Token token, std::string name) : token_(token), name_(std::move(name)) { ++alive; }
  Thing(const Thing&) = delete;
  Thing& operator=(const Thing&) = delete;
  ~Thing() { --alive; }
  [[nodiscard]] Token token() const { return token_; }
  [[nodiscard]] const std::string& name() const { return name_; }

 private:
  Token token_;
  std::string name_;
};

TEST(SlotTable, ConstructsFindsAndReleases) {
  SlotTable<Thing> table(10);
  Thing* thing = table.acquire(4, "one");
  ASSERT_NE(thing, nullptr);
  EXPECT_EQ(thing->name(), "one");
  EXPECT_EQ(thing->token().kind, 4);
  EXPECT_EQ(thing->token().op, Op::none);
  EXPECT_EQ(table.find(thing->token()), thing);
  EXPECT_EQ(table.find(with_op(thing->token(), Op::recv)), thing);
  EXPECT_EQ(table.size(), 1u);
  Token token = thing->token();
  table.release(*thing);
  EXPECT_EQ(table.find(token), nullptr);
  EXPECT_EQ(table.size(), 0u);
  EXPECT_EQ(alive, 0);
}

TEST(SlotTable, AReusedSlotHasANewGeneration) {
  SlotTable<Thing> table(10);
  Thing* first = table.acquire(1, "first");
  Token stale = first->token();
  table.release(*first);
  Thing* second = table.acquire(1, "second");
  EXPECT_EQ(second->token().slot, stale.slot);
  EXPECT_NE(second->token().generation, stale.generation);
  EXPECT_EQ(table.find(stale), nullptr);
  EXPECT_EQ(table.find(second->token()), second);
}

TEST(SlotTable, GenerationsWrapAround) {
  SlotTable<Thing> table(1);
  for (int i = 0; i < 70'000; ++i) {
    Thing* thing = table.acquire(1, "");
    ASSERT_NE(thing, nullptr);
    table.release(*thing);
  }
  EXPECT_EQ(table.size(), 0u);
}

TEST(SlotTable, RefusesBeyondTheLimitAndRecovers) {
  for (uint32_t limit : {1u, 63u, 64u, 65u, 200u}) {
    SlotTable<Thing> table(limit);
    std::set<uint32_t> slots;
    std::vector<Thing*> things;
    for (uint32_t i = 0; i < limit; ++i) {
      Thing* thing = table.acquire(1, "thing");
      ASSERT_NE(thing, nullptr);
      things.push_back(thing);
      slots.insert(thing->token().slot);
    }
    EXPECT_EQ(slots.size(), limit);
    EXPECT_LT(*slots.rbegin(), limit);  // dense: backends index arrays by it
    EXPECT_EQ(table.acquire(1, "too many"), nullptr);
    table.release(*things.front());
    EXPECT_NE(table.acquire(1, "again"), nullptr);
    EXPECT_EQ(table.acquire(1, "too many"), nullptr);
  }
  EXPECT_EQ(alive, 0);
}

TEST(SlotTable, LimitMayMove) {
  SlotTable<Thing> table(100);
  std::vector<Thing*> things;
  while (Thing* thing = table.acquire(1, "thing")) things.push_back(thing);
  ASSERT_EQ(things.size(), 100u);
  table.set_limit(110);
  while (Thing* thing = table.acquire(1, "thing")) things.push_back(thing);
  ASSERT_EQ(things.size(), 110u);
  table.set_limit(50);
  for (; things.size() > 50; things.pop_back()) {
    EXPECT_EQ(table.acquire(1, "too many"), nullptr);
    table.release(*things.back());
  }
  EXPECT_EQ(table.acquire(1, "too many"), nullptr);
  table.release(*things.back());
  EXPECT_NE(table.acquire(1, "again"), nullptr);
}

TEST(SlotTable, AddressesStayWhenItGrows) {
  SlotTable<Thing> table(1000);
  Thing* first = table.acquire(1, "first");
  for (int i = 0; i < 900; ++i) table.acquire(1, "more");
  EXPECT_EQ(table.find(first->token()), first);
  EXPECT_EQ(first->name(), "first");
}

TEST(SlotTable, ForEachMayReleaseWhatItIsGiven) {
  SlotTable<Thing> table(200);
  for (int i = 0; i < 150; ++i) table.acquire(1, i % 2 == 0 ? "even" : "odd");
  int seen = 0;
  table.for_each([&](Thing& thing) {
    ++seen;
    if (thing.name() == "odd") table.release(thing);
  });
  EXPECT_EQ(seen, 150);
  EXPECT_EQ(table.size(), 75u);
  table.for_each([](Thing& thing) { EXPECT_EQ(thing.name(), "even"); });
}

TEST(SlotTable, UnknownSlotsAreNotFound) {
  SlotTable<Thing> table(10);
  EXPECT_EQ(table.find(Token{.slot = 3, .generation = 1}), nullptr);
  table.acquire(1, "one");
  EXPECT_EQ(table.find(Token{.slot = 3, .generation = 1}), nullptr);
  EXPECT_EQ(table.find(Token{.slot = UINT32_MAX, .generation = 1}), nullptr);
}

/// Generations begin anew after 65,535; none is that of a slot without an object.
TEST(SlotTable, GenerationsGoRound) {
  SlotTable<Thing> table(1);
  Token before{};
  for (int i = 0; i < 70'000; ++i) {
    Thing* thing = table.acquire(1, "one");
    ASSERT_NE(thing, nullptr);
    const Token token = thing->token();
    ASSERT_NE(token.generation, 0);
    ASSERT_EQ(table.find(token), thing);
    ASSERT_EQ(table.find(before), nullptr);
    table.release(*thing);
    ASSERT_EQ(table.find(token), nullptr);
    ASSERT_EQ(table.find(Token{.slot = token.slot}), nullptr);
    before = token;
  }
}

TEST(SlotTableDeathTest, ReleasingTwiceIsABug) {
  SlotTable<Thing> table(10);
  alignas(Thing) std::byte copy[sizeof(Thing)];
  Thing* impostor = ::new (copy) Thing({.slot = 0, .generation = 9}, "impostor");
  table.acquire(1, "one");
  EXPECT_DEATH(table.release(*impostor), "CHECK failed");
  impostor->~Thing();
}

TEST(Token, PacksIntoSixtyFourBitsAndBack) {
  for (Token token :
       {Token{}, Token{.slot = UINT32_MAX, .generation = UINT16_MAX, .kind = UINT8_MAX, .op = Op::watch},
        Token{.slot = 1, .generation = 2, .kind = 3, .op = Op::recv}}) {
    EXPECT_EQ(unpack(pack(token)), token);
  }
  EXPECT_EQ(pack({.slot = 1, .generation = 2, .kind = 3, .op = Op::accept}), 0x0103000200000001u);
}

TEST(SlotTable, IsGoneThroughInSteps) {
  SlotTable<Thing> table(150, 5);
  std::vector<Thing*> things;
  for (int i = 0; i < 150; ++i) things.push_back(table.acquire(1, std::to_string(i)));
  for (int i = 0; i < 150; i += 3) table.release(*things[static_cast<size_t>(i)]);
  std::set<std::string> seen;
  int steps = 0;
  uint32_t from = 0;
  do {
    int in_step = 0;
    from = table.for_each_of(from, 40, [&](Thing& thing) {
      EXPECT_TRUE(seen.insert(thing.name()).second);
      ++in_step;
    });
    EXPECT_LE(in_step, 40);
    ++steps;
  } while (from != 0);
  EXPECT_EQ(seen.size(), 100u);
  EXPECT_EQ(steps, 5) << "192 slots are there, in blocks of 64";
  EXPECT_EQ(table.for_each_of(1000, 40, [](Thing&) { FAIL(); }), 0u) << "behind the end";
  EXPECT_EQ(table.for_each_of(150, UINT32_MAX, [](Thing&) { FAIL(); }), 0u);
  SlotTable<Thing> none(3);
  EXPECT_EQ(none.for_each_of(0, 40, [](Thing&) { FAIL(); }), 0u);
}

}  // namespace
}  // namespace lastcall
