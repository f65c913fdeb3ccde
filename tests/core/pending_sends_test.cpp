// What remains of a send that was taken in part.
#include <gtest/gtest.h>

#include <array>
#include <string>

#include <lastcall/core/pending_sends.hpp>

namespace lastcall {
namespace {

std::string rest_of(PendingSend& send) {
  std::string rest;
  for (const iovec& segment : send.remaining())
    rest.append(static_cast<const char*>(segment.iov_base), segment.iov_len);
  return rest;
}

TEST(PendingSends, AdvanceByEveryNumberOfBytes) {
  std::string bytes = "hello, world";
  for (size_t cut = 1; cut < bytes.size(); ++cut) {
    for (size_t taken = 1; taken <= bytes.size(); ++taken) {
      PendingSends sends;
      const std::array<iovec, 2> segments{iovec{bytes.data(), cut},
                                          iovec{bytes.data() + cut, bytes.size() - cut}};
      PendingSend& send = sends[sends.take({}, segments)];
      send.advance(taken);
      EXPECT_EQ(rest_of(send), bytes.substr(taken)) << cut;
      EXPECT_EQ(send.done(), taken == bytes.size()) << cut;
      EXPECT_EQ(send.result(), static_cast<int32_t>(taken));
    }
  }
}

TEST(PendingSends, OneSegment) {
  std::string bytes = "hello";
  PendingSends sends;
  const iovec segment{bytes.data(), bytes.size()};
  PendingSend& send = sends[sends.take({}, {&segment, 1})];
  send.advance(2);
  EXPECT_EQ(rest_of(send), "llo");
  send.advance(3);
  EXPECT_TRUE(send.done());
  EXPECT_EQ(send.result(), 5);
}

}  // namespace
}  // namespace lastcall
