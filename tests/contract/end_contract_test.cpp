#include <gtest/gtest.h>
#include <signal.h>
#include <sys/time.h>

#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include "tests/contract/fixture.hpp"

namespace lastcall::contract {
namespace {

template <class H>
class EndContract : public Contract<H> {};

TYPED_TEST_SUITE(EndContract, Backends, BackendNames);

// Law 1, for everything that can be in flight at once.
TYPED_TEST(EndContract, AbortEndsEachOperationOnce) {
  std::string bytes(32 << 20, 'x');
  std::vector<std::pair<Named, typename TypeParam::Peer>> pairs;
  for (int i = 0; i < 10; ++i) {
    pairs.push_back(this->pair());
    this->recv_start(pairs.back().first);
    this->send(pairs.back().first, {bytes});
  }
  this->turn();
  for (auto& [server, peer] : pairs) this->io().abort(server.fd);
  EXPECT_TRUE(this->run_until([&] {
    for (auto& [server, peer] : pairs) {
      if (!this->state(server).idle()) return false;
    }
    return true;
  }));
  this->settle();
}

TYPED_TEST(EndContract, InputBeforeAnAbortStillArrives) {
  auto [server, peer] = this->pair();
  peer.write("before");
  EXPECT_TRUE(this->run_until([&] { return this->io().unread(server.fd) == 6; }));
  this->io().abort(server.fd);
  this->recv_start(server);
  ASSERT_TRUE(this->run_until([&] { return !this->state(server).receiving; }));
  EXPECT_EQ(this->state(server).received, "before");
  EXPECT_EQ(this->state(server).recv_end, 0);
}

TYPED_TEST(EndContract, AbortThenPauseEndsOnce) {
  auto [server, peer] = this->pair();
  this->recv_start(server);
  this->turn();
  this->io().abort(server.fd);
  this->recv_pause_and_wait(server);
  this->settle();
}

// Whoever gets a descriptor goes on with what the backend has not seen; here, that is the backend itself
// under another name, which a registration that stayed would forbid.
TYPED_TEST(EndContract, ReleasedDescriptorIsOpenAndForgotten) {
  auto [server, peer] = this->pair();
  this->recv_start(server);
  peer.write("first");
  ASSERT_TRUE(this->run_until([&] { return this->state(server).received == "first"; }));
  this->recv_pause_and_wait(server);
  peer.write("second");
  this->release(server);
  Named again = this->adopt(server.fd);
  this->recv_start(again);
  ASSERT_TRUE(this->run_until([&] { return this->state(again).received == "second"; }));
  peer.half_close();
  ASSERT_TRUE(this->run_until([&] { return !this->state(again).receiving; }));
  EXPECT_EQ(this->state(again).recv_end, 0);
  auto [unused, other] = this->pair();  // nothing was started on it
  this->release(unused);
  this->close(this->adopt(unused.fd));
}

// Law 3: a sink is in reach only of wait, so what a start finds must wait for it.
TYPED_TEST(EndContract, NothingIsLostBetweenStartAndWait) {
  Named listener = this->listen();
  auto queued = this->harness().connect(listener.fd);
  auto [server, peer] = this->pair();
  peer.write("ready");
  this->accept_start(listener);
  this->recv_start(server);
  this->send(server, {"x"});
  EXPECT_EQ(this->events_, 0);
  EXPECT_TRUE(this->run_until([&] {
    return this->state(listener).accepted.size() == 1 && this->state(server).received == "ready" &&
           !this->state(server).sending;
  }));
}

TYPED_TEST(EndContract, CloseIsEndOfStreamForThePeer) {
  auto [server, peer] = this->pair();
  this->send_and_wait(server, {"bye"});
  this->close(server);
  std::string got;
  EXPECT_TRUE(this->run_until([&] { return (got += peer.read_all()) == "bye"; }));
  EXPECT_TRUE(this->run_until([&] { return peer.saw_eof(); }));
  EXPECT_FALSE(peer.saw_reset());
}

TYPED_TEST(EndContract, CloseWithUnreadInputIsAReset) {
  auto [server, peer] = this->pair();
  peer.write("never read");
  EXPECT_TRUE(this->run_until([&] { return this->io().unread(server.fd) != 0; }));
  this->close(server);
  EXPECT_TRUE(this->run_until([&] { return peer.saw_reset(); }));
}

TYPED_TEST(EndContract, LingeringCloseIsNoReset) {
  auto [server, peer] = this->pair();
  this->recv_start(server);
  this->send_and_wait(server, {"response"});
  this->io().half_close(server.fd);
  peer.write("the rest of a body that nobody wants");
  peer.half_close();
  ASSERT_TRUE(this->run_until([&] { return !this->state(server).receiving; }));
  EXPECT_EQ(this->state(server).recv_end, 0);
  this->close(server);
  std::string got;
  EXPECT_TRUE(this->run_until([&] { return (got += peer.read_all()) == "response"; }));
  EXPECT_TRUE(this->run_until([&] { return peer.saw_eof(); }));
  EXPECT_FALSE(peer.saw_reset());
}

TYPED_TEST(EndContract, CloseWithoutAnyOperationReleasesTheDescriptor) {
  Named listener = this->listen();
  this->accept_start(listener);
  for (size_t i = 0; i < 20; ++i) {
    auto peer = this->harness().connect(listener.fd);
    ASSERT_TRUE(this->run_until([&] { return this->state(listener).accepted.size() == i + 1; }));
    this->close(this->adopt(this->state(listener).accepted.back()));
    EXPECT_TRUE(this->run_until([&] { return peer.saw_eof(); }));
  }
}

// Law 7. The event of one connection ends another that is ready in the same batch, and its slot, and often
// its descriptor's number, at once name a third: what the kernel said about the second is not for it.
TYPED_TEST(EndContract, StaleGenerationsAreDropped) {
  for (int round = 0; round < 20; ++round) {
    auto [left, left_peer] = this->pair();
    auto [right, right_peer] = this->pair();
    Named replacement;
    typename TypeParam::Peer replacement_peer;
    auto replace = [&](Named victim) {
      this->close(victim);
      auto [fd, peer] = this->harness().pair();
      Token token = victim.token;
      ++token.generation;
      replacement = this->adopt(fd, token);
      replacement_peer = std::move(peer);
      this->recv_start(replacement);
    };
    Named victim;
    this->on_event_ = [&](const Event& event) {
      if (victim.fd < 0) {
        victim = event.token.slot == left.token.slot ? right : left;
        this->io().half_close(victim.fd);
        if (this->recv_pause(victim)) replace(victim);
      } else if (event.token.slot == victim.token.slot && event.last && replacement.fd < 0) {
        replace(victim);
      }
    };
    this->recv_start(left);
    this->recv_start(right);
    left_peer.write("left");
    right_peer.write("right");
    ASSERT_TRUE(this->run_until([&] { return replacement.fd >= 0; }));
    this->settle();
    EXPECT_EQ(this->state(replacement).received, "");
    replacement_peer.write("mine");
    ASSERT_TRUE(this->run_until([&] { return this->state(replacement).received == "mine"; }));
    this->on_event_ = nullptr;
    this->abort_and_close(replacement);
    this->abort_and_close(victim.token.slot == left.token.slot ? right : left);
  }
}

TYPED_TEST(EndContract, OneSlotThroughManyGenerations) {
  for (uint16_t generation = 1; generation <= 200; ++generation) {
    auto [fd, peer] = this->harness().pair();
    Named server = this->adopt(fd, Token{.slot = 3, .generation = generation, .kind = this->kKind});
    this->recv_start(server);
    peer.write("ping");
    peer.half_close();
    ASSERT_TRUE(this->run_until([&] { return !this->state(server).receiving; }));
    EXPECT_EQ(this->state(server).received, "ping");
    std::string pong = "pong " + std::to_string(generation), got;
    this->send_and_wait(server, {pong});
    this->close(server);
    ASSERT_TRUE(this->run_until([&] { return (got += peer.read_all()) == pong; }));
  }
}

// Law 6: signals interrupt system calls, and nothing of it is seen.
TYPED_TEST(EndContract, SignalsStayInside) {
  struct sigaction ignore {
  }, before{};
  ignore.sa_handler = [](int) {};  // without SA_RESTART
  ::sigaction(SIGALRM, &ignore, &before);
  itimerval often{.it_interval = {0, 500}, .it_value = {0, 500}};
  ::setitimer(ITIMER_REAL, &often, nullptr);

  auto [server, peer] = this->pair();
  std::string bytes = pattern(4 << 20);
  this->recv_start(server);
  this->send(server, {bytes});
  std::string_view rest = bytes;
  std::string got;
  bool done = this->run_until([&] {
    got += peer.take(50'000);
    if (!rest.empty()) rest.remove_prefix(peer.write_some(rest.substr(0, 50'000)));
    return got.size() >= bytes.size() && this->state(server).received.size() >= bytes.size();
  });

  itimerval never{};
  ::setitimer(ITIMER_REAL, &never, nullptr);
  ::sigaction(SIGALRM, &before, nullptr);
  ASSERT_TRUE(done);
  EXPECT_TRUE(got == bytes);
  EXPECT_TRUE(this->state(server).received == bytes);
}

}  // namespace
}  // namespace lastcall::contract
