// What a hint saves on the wire: counted by the client's kernel.
#include <gtest/gtest.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "tests/contract/fixture.hpp"

namespace lastcall::contract {
namespace {

enum class By : uint8_t { half_close, close };

template <class H>
class PacketsContract : public Contract<H> {
 protected:
  /// Segments with or without bytes that have come to a client.
  static uint32_t segments_in(int fd) {
    tcp_info info{};
    socklen_t size = sizeof info;
    EXPECT_EQ(::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size), 0);
    return info.tcpi_segs_in;
  }

  /// Those that an answer and the end behind it take.
  uint32_t segments_of_an_end(SendHint hint, By by) {
    auto [server, peer] = this->pair();
    const uint32_t before = segments_in(peer.fd());
    this->send_and_wait(server, {"goodbye"}, hint);
    if (by == By::half_close) {
      this->io().half_close(server.fd);
    } else {
      this->close(server);
    }
    std::string got;
    EXPECT_TRUE(this->run_until([&] { return (got += peer.read_all()) == "goodbye" && peer.saw_eof(); }));
    return segments_in(peer.fd()) - before;
  }
};

using KernelTcp = testing::Types<RealHarness<EpollBackend, Tcp>, RealHarness<UringBackend, Tcp>>;
TYPED_TEST_SUITE(PacketsContract, KernelTcp, BackendNames);

TYPED_TEST(PacketsContract, ALastSendAndTheEndAreOneSegment) {
  for (const By by : {By::half_close, By::close}) {
    EXPECT_EQ(this->segments_of_an_end(SendHint::usual, by), 2u);
    EXPECT_EQ(this->segments_of_an_end(SendHint::last, by), 1u);
  }
}

}  // namespace
}  // namespace lastcall::contract
