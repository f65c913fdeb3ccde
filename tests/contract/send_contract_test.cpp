#include <gtest/gtest.h>

#include <cerrno>
#include <string>
#include <string_view>

#include "tests/contract/fixture.hpp"

namespace lastcall::contract {
namespace {

template <class H>
class SendContract : public Contract<H> {
 protected:
  using Peer = typename H::Peer;

  /// Starts a send that cannot end because the peer takes nothing. `bytes` must outlive it.
  void start_blocked(Named server, std::string_view bytes) {
    SendStatus status = this->send(server, {bytes});
    ASSERT_TRUE(status.pending);
    this->settle();
    ASSERT_TRUE(this->state(server).sending);
  }
};

TYPED_TEST_SUITE(SendContract, Backends, BackendNames);

constexpr size_t kHuge = 32 << 20;  // more than the socket buffers of both ends

TYPED_TEST(SendContract, WholeInlineOrPending) {
  auto [server, peer] = this->pair();
  this->send_and_wait(server, {"hello"});
  EXPECT_EQ(this->state(server).send_end, 5);
  std::string got;
  EXPECT_TRUE(this->run_until([&] { return (got += peer.read_all()) == "hello"; }));
}

TYPED_TEST(SendContract, ALastSendComesWithTheEnd) {
  auto [server, peer] = this->pair();
  this->send_and_wait(server, {"good", "bye"}, SendHint::last);
  EXPECT_EQ(this->state(server).send_end, 7);
  this->io().half_close(server.fd);
  std::string got;
  EXPECT_TRUE(this->run_until([&] { return (got += peer.read_all()) == "goodbye" && peer.saw_eof(); }));
}

TYPED_TEST(SendContract, ALargeLastSendComesWholeToASlowReader) {
  auto [server, peer] = this->pair();
  std::string bytes = pattern(8 << 20);
  this->send(server, {bytes}, SendHint::last);
  std::string got;
  EXPECT_TRUE(this->run_until([&] {
    got += peer.take(100'000);
    return !this->state(server).sending;
  }));
  EXPECT_EQ(this->state(server).send_end, static_cast<int>(bytes.size()));
  this->io().half_close(server.fd);
  EXPECT_TRUE(this->run_until([&] { return (got += peer.take(100'000)).size() >= bytes.size(); }));
  EXPECT_TRUE(got == bytes);
}

TYPED_TEST(SendContract, SegmentsAreSentInOrderEmptyOnesToo) {
  auto [server, peer] = this->pair();
  this->send_and_wait(server, {"HTTP/1.1 ", "", "200", " OK"});
  EXPECT_EQ(this->state(server).send_end, 15);
  std::string got;
  EXPECT_TRUE(this->run_until([&] { return (got += peer.read_all()) == "HTTP/1.1 200 OK"; }));
}

TYPED_TEST(SendContract, FourSegmentsToASlowReaderByteForByte) {
  auto [server, peer] = this->pair();
  std::string bytes = pattern(8 << 20);
  std::string_view all = bytes;
  this->send(server,
             {all.substr(0, 1), all.substr(1, 3'000'000), all.substr(3'000'001, 77), all.substr(3'000'078)});
  std::string got;
  EXPECT_TRUE(this->run_until([&] { return (got += peer.take(100'000)).size() >= bytes.size(); }));
  EXPECT_TRUE(got == bytes);
  EXPECT_TRUE(this->run_until([&] { return !this->state(server).sending; }));
  EXPECT_EQ(this->state(server).send_end, static_cast<int>(bytes.size()));
}

TYPED_TEST(SendContract, OneAfterTheOtherKeepsTheOrder) {
  auto [server, peer] = this->pair();
  std::string expected, got;
  for (int i = 0; i < 500; ++i) {
    std::string line = "line " + std::to_string(i) + "\n";
    this->send_and_wait(server, {line});
    EXPECT_EQ(this->state(server).send_end, static_cast<int>(line.size()));
    expected += line;
    got += peer.read_all();
  }
  EXPECT_TRUE(this->run_until([&] { return (got += peer.read_all()).size() >= expected.size(); }));
  EXPECT_EQ(got, expected);
}

TYPED_TEST(SendContract, TheNextStartsInsideTheSink) {
  auto [server, peer] = this->pair();
  std::string bytes = pattern(1 << 20);
  int sends = 1;
  this->on_event_ = [&](const Event& event) {
    if (event.token.op == Op::send && sends < 3) {
      ++sends;
      this->send(server, {bytes});
    }
  };
  bool pending = this->send(server, {bytes}).pending;
  std::string got;
  while (!pending && sends < 3) {  // all of it went out at once
    ++sends;
    pending = this->send(server, {bytes}).pending;
  }
  EXPECT_TRUE(this->run_until([&] { return (got += peer.take(200'000)).size() >= 3 * bytes.size(); }));
  EXPECT_TRUE(got == bytes + bytes + bytes);
}

TYPED_TEST(SendContract, SendingAndReceivingDoNotDisturbEachOther) {
  auto [server, peer] = this->pair();
  std::string out = pattern(4 << 20, 1), in = pattern(4 << 20, 2);
  this->recv_start(server);
  this->send(server, {out});
  std::string_view rest = in;
  std::string got;
  EXPECT_TRUE(this->run_until([&] {
    got += peer.take(150'000);
    if (!rest.empty()) rest.remove_prefix(peer.write_some(rest.substr(0, 150'000)));
    return got.size() >= out.size() && this->state(server).received.size() >= in.size();
  }));
  EXPECT_TRUE(got == out);
  EXPECT_TRUE(this->state(server).received == in);
}

TYPED_TEST(SendContract, HalfOpenTheOtherWayStillSends) {
  auto [server, peer] = this->pair();
  this->recv_start(server);
  peer.write("request");
  peer.half_close();
  ASSERT_TRUE(this->run_until([&] { return !this->state(server).receiving; }));
  EXPECT_EQ(this->state(server).recv_end, 0);
  this->send_and_wait(server, {"response"});
  this->io().half_close(server.fd);
  std::string got;
  EXPECT_TRUE(this->run_until([&] { return (got += peer.read_all()) == "response"; }));
  EXPECT_TRUE(this->run_until([&] { return peer.saw_eof(); }));
}

TYPED_TEST(SendContract, HalfCloseComesAfterWhatWasSent) {
  auto [server, peer] = this->pair();
  std::string bytes = pattern(100'000);
  this->send_and_wait(server, {bytes});
  this->io().half_close(server.fd);
  std::string got;
  EXPECT_TRUE(this->run_until([&] {
    got += peer.take(10'000);
    return peer.saw_eof();
  }));
  EXPECT_TRUE(got == bytes);
}

TYPED_TEST(SendContract, AfterHalfCloseItFailsWithoutASignal) {
  auto [server, peer] = this->pair();
  this->io().half_close(server.fd);
  this->send_and_wait(server, {"too late"});
  EXPECT_EQ(this->state(server).send_end, -EPIPE);
}

TYPED_TEST(SendContract, AbortEndsABlockedOne) {
  auto [server, peer] = this->pair();
  std::string bytes(kHuge, 'x');
  this->start_blocked(server, bytes);
  this->recv_start(server);
  this->io().abort(server.fd);
  ASSERT_TRUE(this->run_until([&] { return this->state(server).idle(); }));
  EXPECT_LT(this->state(server).send_end, static_cast<int>(bytes.size()));
  EXPECT_EQ(this->state(server).recv_end, 0);
  this->settle();
}

TYPED_TEST(SendContract, APeersResetEndsABlockedOne) {
  auto [server, peer] = this->pair();
  std::string bytes(kHuge, 'x');
  this->start_blocked(server, bytes);
  peer.reset();
  ASSERT_TRUE(this->run_until([&] { return !this->state(server).sending; }));
  EXPECT_LT(this->state(server).send_end, static_cast<int>(bytes.size()));
}

TYPED_TEST(SendContract, ProgressChangesAsThePeerTakes) {
  auto [server, peer] = this->pair();
  std::string bytes(kHuge, 'x');
  this->start_blocked(server, bytes);
  for (int round = 0; round < 3; ++round) {
    this->settle();
    uint64_t before = this->io().progress(server.fd);
    EXPECT_TRUE(this->run_until([&] {
      (void)peer.take(1 << 20);
      return this->io().progress(server.fd) != before;
    }));
  }
}

TYPED_TEST(SendContract, ProgressStandsStillOnceThePeerTakesNoMore) {
  auto [server, peer] = this->pair();
  std::string bytes(kHuge, 'x');
  this->start_blocked(server, bytes);
  EXPECT_TRUE(this->run_until([&] {
    uint64_t before = this->io().progress(server.fd);
    this->settle();
    return this->io().progress(server.fd) == before;
  }));
}

}  // namespace
}  // namespace lastcall::contract
