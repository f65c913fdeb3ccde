#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <lastcall/core/buffer.hpp>

namespace lastcall {
namespace {

TEST(Buffer, EmptyHoldsNoMemory) {
  BufferPool pool;
  Buffer buffer(pool);
  EXPECT_TRUE(buffer.empty());
  EXPECT_EQ(buffer.capacity(), 0u);
  EXPECT_EQ(pool.lent(), 0u);
  buffer.append("");
  EXPECT_EQ(pool.lent(), 0u);
  EXPECT_EQ(buffer.view(), "");
}

TEST(Buffer, AppendsConsumesTruncatesAndClears) {
  BufferPool pool;
  Buffer buffer(pool);
  buffer.append("hello ");
  buffer.append("world");
  EXPECT_EQ(buffer.view(), "hello world");
  buffer.consume(6);
  EXPECT_EQ(buffer.view(), "world");
  buffer.consume(0);
  buffer.truncate(3);
  EXPECT_EQ(buffer.view(), "wor");
  buffer.clear();
  EXPECT_TRUE(buffer.empty());
  EXPECT_EQ(buffer.capacity(), 4096u);
  buffer.release();
  EXPECT_EQ(pool.lent(), 0u);
}

TEST(Buffer, PrepareAndCommit) {
  BufferPool pool;
  Buffer buffer(pool);
  char* room = buffer.prepare(3);
  std::memcpy(room, "abc", 3);
  EXPECT_TRUE(buffer.empty());
  buffer.commit(2);
  EXPECT_EQ(buffer.view(), "ab");
}

TEST(Buffer, GrowsThroughTheClassesToTheHeap) {
  BufferPool pool;
  Buffer buffer(pool);
  std::string expected;
  std::vector<size_t> capacities;
  while (expected.size() < 300'000) {
    std::string piece(1000, static_cast<char>('a' + expected.size() / 1000 % 26));
    buffer.append(piece);
    expected += piece;
    if (capacities.empty() || capacities.back() != buffer.capacity()) capacities.push_back(buffer.capacity());
  }
  EXPECT_TRUE(buffer.view() == expected);
  EXPECT_EQ(capacities, (std::vector<size_t>{4096, 16384, 65536, 131072, 262144, 524288}));
  EXPECT_EQ(pool.lent(), buffer.capacity());
}

TEST(Buffer, MovesItsMemory) {
  BufferPool pool;
  Buffer first(pool);
  first.append("moved");
  const char* data = first.data();
  Buffer second(std::move(first));
  EXPECT_EQ(second.data(), data);
  EXPECT_EQ(first.capacity(), 0u);  // NOLINT: a moved-from buffer is empty
  Buffer third(pool);
  third.append("gone");
  third = std::move(second);
  EXPECT_EQ(third.view(), "moved");
  EXPECT_EQ(pool.lent(), 4096u);
  third.swap(first);
  EXPECT_EQ(first.view(), "moved");
  EXPECT_TRUE(third.empty());
}

TEST(BufferPool, HandsOutTheWarmestMemoryAgain) {
  BufferPool pool;
  Buffer first(pool), second(pool);
  first.append("1");
  second.append("2");
  const char* data = second.data();
  first.release();
  second.release();
  Buffer third(pool);
  third.append("3");
  EXPECT_EQ(third.data(), data);
}

TEST(BufferPool, CountsWhatIsLentAcrossRandomUse) {
  std::minstd_rand random(42);
  BufferPool pool;
  std::vector<Buffer> buffers;
  std::vector<std::string> expected(50);
  for (int i = 0; i < 50; ++i) buffers.emplace_back(pool);
  for (int step = 0; step < 5000; ++step) {
    size_t i = random() % buffers.size();
    switch (random() % 5) {
      case 0:
        buffers[i].release();
        expected[i].clear();
        break;
      case 1: {
        size_t bytes = expected[i].empty() ? 0 : random() % (expected[i].size() + 1);
        buffers[i].consume(bytes);
        expected[i].erase(0, bytes);
        break;
      }
      default: {
        std::string piece(random() % 9000, static_cast<char>('a' + step % 26));
        buffers[i].append(piece);
        expected[i] += piece;
      }
    }
    ASSERT_TRUE(buffers[i].view() == expected[i]) << "step " << step;
    size_t lent = 0;
    for (const Buffer& buffer : buffers) lent += buffer.capacity();
    ASSERT_EQ(pool.lent(), lent) << "step " << step;
  }
}

TEST(BufferDeathTest, ConsumingMoreThanThereIsIsABug) {
  BufferPool pool;
  Buffer buffer(pool);
  buffer.append("abc");
  EXPECT_DEATH(buffer.consume(4), "CHECK failed");
  EXPECT_DEATH(buffer.truncate(4), "CHECK failed");
}

TEST(BufferPoolDeathTest, ABufferMustNotOutliveItsPool) {
  EXPECT_DEATH(
      {
        auto pool = std::make_unique<BufferPool>();
        Buffer buffer(*pool);
        buffer.append("abc");
        pool.reset();
      },
      "CHECK failed");
}

}  // namespace
}  // namespace lastcall
