#include <gtest/gtest.h>

#include <random>
#include <string>
#include <string_view>

#include "tests/http/framing_support.hpp"

// Heads and bodies with random damage: whole and in pieces they must come to the same. The fuzz targets do
// this for as long as one likes; here are a few thousand of fixed seeds. A failure names its seed and its
// bytes.
namespace lastcall::testing {
namespace {

constexpr uint64_t kSeeds = 4000;
constexpr size_t kPieces[] = {1, 2, 3, 7, 16};

class Mutator {
 public:
  explicit Mutator(uint64_t seed) : random_(seed) {}

  std::string damage(std::string text) {
    for (size_t i = below(4); i > 0; --i) {
      const size_t at = below(text.size());
      switch (below(4)) {
        case 0: text.insert(at, 1, pick()); break;
        case 1: text[at] = pick(); break;
        case 2: text.erase(at, 1); break;
        default: text.insert(at, text.substr(below(text.size()), below(12))); break;
      }
    }
    return text;
  }
  size_t below(size_t limit) { return limit == 0 ? 0 : random_() % limit; }

 private:
  char pick() {
    constexpr std::string_view kInteresting("\r\n\r\n \t:;=,\"\\%/?#[]@0159afAFxX\0\x01\x7f\x80\xff"sv);
    return kInteresting[below(kInteresting.size())];
  }
  std::mt19937_64 random_;
};

std::string printable(std::string_view text) {
  std::string shown;
  for (const char c : text) shown += ::testing::PrintToString(c) + " ";
  return shown;
}

TEST(Differential, HeadsDoNotDependOnTheCuts) {
  const std::string heads[] = {
      "GET /a%2Fb?c=d HTTP/1.1\r\nHost: a:80\r\nX: y\r\n\r\n",
      "\r\nPOST http://[::1]:80/x HTTP/1.0\r\nHost: a\r\nContent-Length: 12\r\nConnection: "
      "keep-alive\r\n\r\n",
      "PUT / HTTP/1.2\r\nHost:\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\nConnection: "
      "a,\tclose\r\n\r\n",
  };
  Limits small;
  small.max_header_bytes = 90;
  small.max_target_bytes = 18;
  small.max_fields = 3;
  size_t accepted = 0;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    Mutator mutator(seed);
    const std::string text = mutator.damage(heads[mutator.below(std::size(heads))]);
    const Limits limits = mutator.below(2) == 0 ? small : Limits();
    const Parsed whole = parse(text, limits);
    accepted += whole.complete && !whole.refusal ? 1 : 0;
    for (const size_t piece : kPieces) {
      const Parsed cut = parse(text, limits, piece);
      ASSERT_EQ(cut.complete, whole.complete) << "seed " << seed << ": " << printable(text);
      ASSERT_EQ(cut.length, whole.length) << "seed " << seed << ": " << printable(text);
      ASSERT_STREQ(cut.refusal.what, whole.refusal.what) << "seed " << seed << ": " << printable(text);
    }
  }
  EXPECT_GT(accepted, kSeeds / 20) << "too much damage to tell anything";
  EXPECT_LT(accepted, kSeeds) << "no damage at all";
}

TEST(Differential, BodiesDoNotDependOnTheCuts) {
  const std::string bodies[] = {
      "5\r\nhello\r\n0\r\n\r\n",
      "5 ;a=\"b\\\"\";c=d\r\nhello\r\nA\r\n0123456789\r\n0\r\nX-Sum: abc\r\nY:\r\n\r\nnext",
  };
  Limits small;
  small.max_body_bytes = 14;
  small.max_trailer_bytes = 20;
  small.max_fields = 2;
  size_t completed = 0;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    Mutator mutator(seed);
    const std::string text = mutator.damage(bodies[mutator.below(std::size(bodies))]);
    const Limits limits = mutator.below(2) == 0 ? small : Limits();
    BodyDecoder decoder;
    decoder.set_max_body_bytes(limits.max_body_bytes);
    decoder.start_chunked(limits);
    const Decoded whole = decode(decoder, text);
    completed += whole.outcome == BodyOutcome::complete ? 1 : 0;
    for (const size_t piece : kPieces) {
      decoder.start_chunked(limits);
      const Decoded cut = decode(decoder, text, piece);
      ASSERT_EQ(cut.outcome, whole.outcome) << "seed " << seed << ": " << printable(text);
      ASSERT_STREQ(cut.refusal.what, whole.refusal.what) << "seed " << seed << ": " << printable(text);
      ASSERT_EQ(cut.data, whole.data) << "seed " << seed << ": " << printable(text);
      ASSERT_EQ(cut.trailers, whole.trailers) << "seed " << seed << ": " << printable(text);
    }
  }
  EXPECT_GT(completed, kSeeds / 20) << "too much damage to tell anything";
  EXPECT_LT(completed, kSeeds) << "no damage at all";
}

}  // namespace
}  // namespace lastcall::testing
