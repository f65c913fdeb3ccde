// A quick look at each kernel backend on real sockets; the laws themselves are held by tests/contract.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <cstring>
#include <deque>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <lastcall/core/epoll_backend.hpp>
#include <lastcall/core/fd.hpp>
#include <lastcall/core/io_backend.hpp>
#include <lastcall/core/uring_backend.hpp>

namespace lastcall {
namespace {

static_assert(IoBackend<EpollBackend>);
static_assert(IoBackend<UringBackend>);

constexpr Token kListener{.slot = 0, .generation = 1, .kind = 1};
constexpr Token kStream{.slot = 1, .generation = 1, .kind = 2};
constexpr Token kWatch{.slot = 2, .generation = 1, .kind = 3};
constexpr Duration kPatience = 5s;  // a hang is a failure; nothing waits this long when all is well

struct Seen {
  Token token;
  int32_t result;
  bool last;
  std::string bytes;
};

std::pair<Fd, sockaddr_in> listen_on_loopback() {
  Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  EXPECT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(::listen(fd.get(), 64), 0);
  EXPECT_EQ(::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  return {std::move(fd), address};
}

Fd connect_to(const sockaddr_in& address) {
  Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  return fd;
}

void write_all(int fd, std::string_view bytes) {
  EXPECT_EQ(::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
}

template <class Backend>
class BackendSmoke : public testing::Test {
 protected:
  void SetUp() override {
    std::tie(listener_, address_) = listen_on_loopback();
    io_.accept_start(kListener, listener_.get());
  }
  void TearDown() override {
    stop_accepting();
    io_.close(kListener, listener_.release());
  }

  /// Waits for one more event of this kind; others are kept for later calls.
  Seen next_of(Op op) {
    const Instant end = monotonic_now() + kPatience;
    for (;;) {
      for (auto it = seen_.begin(); it != seen_.end(); ++it) {
        if (it->token.op != op) continue;
        Seen found = std::move(*it);
        seen_.erase(it);
        return found;
      }
      if (io_.now() > end) {
        ADD_FAILURE() << "no event of kind " << static_cast<int>(op);
        return {{}, -ETIME, true, {}};
      }
      turn(end);
    }
  }
  void turn(Instant until) {
    io_.wait(until, [this](const Event& event) {
      seen_.push_back({event.token,
                       event.result,
                       event.last,
                       {reinterpret_cast<const char*>(event.bytes.data()), event.bytes.size()}});
      if (on_event_) on_event_(event);
    });
  }
  /// Looks until nothing more is reported, without waiting.
  void drain() {
    for (int i = 0; i < 20; ++i) turn(Instant{});
  }
  int accept_stream(Fd& client) {
    client = connect_to(address_);
    Seen accepted = next_of(Op::accept);
    EXPECT_GE(accepted.result, 0);
    EXPECT_FALSE(accepted.last);
    return accepted.result;
  }
  int32_t send_and_finish(Token token, int fd, std::string_view bytes) {
    iovec iov{const_cast<char*>(bytes.data()), bytes.size()};
    SendStatus status = io_.send(token, fd, {&iov, 1});
    if (!status.pending) return status.result;
    Seen sent = next_of(Op::send);
    EXPECT_TRUE(sent.last);
    EXPECT_EQ(sent.token, with_op(token, Op::send));
    return sent.result;
  }
  void stop_accepting() {
    if (io_.accept_stop(kListener, listener_.get())) return;
    EXPECT_EQ(next_of(Op::accept).result, -ECANCELED);
  }
  void pause(Token token, int fd) {
    if (io_.recv_pause(token, fd)) return;
    Seen ended = next_of(Op::recv);
    while (!ended.last) ended = next_of(Op::recv);
    EXPECT_EQ(ended.result, -ECANCELED);
  }

  Backend io_;
  Fd listener_;
  sockaddr_in address_{};
  std::deque<Seen> seen_;
  std::function<void(const Event&)> on_event_;
};

using Backends = testing::Types<EpollBackend, UringBackend>;
TYPED_TEST_SUITE(BackendSmoke, Backends);

TYPED_TEST(BackendSmoke, EchoesAndEnds) {
  Fd client;
  int fd = this->accept_stream(client);
  this->io_.recv_start(kStream, fd);
  for (int round = 0; round < 3; ++round) {
    write_all(client.get(), "hello");
    Seen got = this->next_of(Op::recv);
    EXPECT_EQ(got.token, with_op(kStream, Op::recv));
    EXPECT_EQ(got.bytes, "hello");
    EXPECT_EQ(got.result, 5);
    EXPECT_FALSE(got.last);
    EXPECT_EQ(this->send_and_finish(kStream, fd, "world!"), 6);
    char back[6];
    ASSERT_EQ(::recv(client.get(), back, sizeof back, MSG_WAITALL), 6);
    EXPECT_EQ(std::string_view(back, 6), "world!");
  }
  ::shutdown(client.get(), SHUT_WR);
  Seen end = this->next_of(Op::recv);
  EXPECT_EQ(end.result, 0);
  EXPECT_TRUE(end.last);
  this->drain();
  EXPECT_TRUE(this->seen_.empty());
  this->io_.close(kStream, fd);
  this->drain();  // io_uring closes with the next wait
  char byte;
  EXPECT_EQ(::recv(client.get(), &byte, 1, 0), 0);
}

TYPED_TEST(BackendSmoke, LargeGatheredSendReachesASlowReader) {
  Fd client;
  int fd = this->accept_stream(client);
  this->io_.recv_start(kStream, fd);
  std::string first(3 << 20, 'a');
  std::string second(5 << 20, 'b');
  iovec iov[] = {{first.data(), first.size()}, {second.data(), second.size()}};
  ASSERT_TRUE(this->io_.send(kStream, fd, iov).pending);
  std::string got;
  std::string chunk(100'000, 0);
  const size_t total = first.size() + second.size();
  while (got.size() < total) {
    this->turn(Instant{});
    ssize_t n = ::recv(client.get(), chunk.data(), chunk.size(), MSG_DONTWAIT);
    if (n > 0) got.append(chunk, 0, static_cast<size_t>(n));
    ASSERT_TRUE(n > 0 || errno == EAGAIN);
  }
  EXPECT_EQ(this->next_of(Op::send).result, static_cast<int32_t>(total));
  EXPECT_TRUE(got == first + second);
  this->drain();
  EXPECT_TRUE(this->seen_.empty());
  this->pause(kStream, fd);
  this->io_.close(kStream, fd);
}

TYPED_TEST(BackendSmoke, PauseAndResumeLoseNothing) {
  Fd client;
  int fd = this->accept_stream(client);
  this->io_.recv_start(kStream, fd);
  write_all(client.get(), "one");
  EXPECT_EQ(this->next_of(Op::recv).bytes, "one");
  this->pause(kStream, fd);
  write_all(client.get(), "two");
  this->drain();
  EXPECT_TRUE(this->seen_.empty());
  EXPECT_EQ(this->io_.unread(fd), 3);
  this->io_.recv_start(kStream, fd);
  EXPECT_EQ(this->next_of(Op::recv).bytes, "two");
  this->pause(kStream, fd);
  client.reset();  // end of stream while nobody listens must not wake every wait
  this->drain();
  EXPECT_TRUE(this->seen_.empty());
  this->io_.recv_start(kStream, fd);
  Seen end = this->next_of(Op::recv);
  EXPECT_EQ(end.result, 0);
  EXPECT_TRUE(end.last);
  this->io_.close(kStream, fd);
}

TYPED_TEST(BackendSmoke, PauseAndRestartInsideTheSink) {
  Fd client;
  int fd = this->accept_stream(client);
  this->io_.recv_start(kStream, fd);
  std::string got;
  this->on_event_ = [&](const Event& event) {
    if (event.token.op != Op::recv) return;
    got.append(reinterpret_cast<const char*>(event.bytes.data()), event.bytes.size());
    if (event.last || this->io_.recv_pause(kStream, fd)) this->io_.recv_start(kStream, fd);
  };
  std::string sent(300'000, 'x');
  size_t offset = 0;
  const Instant end = monotonic_now() + kPatience;
  while (got.size() < sent.size() && this->io_.now() < end) {
    ssize_t n = ::send(client.get(), sent.data() + offset, sent.size() - offset, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n > 0) offset += static_cast<size_t>(n);
    this->turn(Instant{});
  }
  EXPECT_TRUE(got == sent);
  this->on_event_ = nullptr;
  this->drain();
  this->seen_.clear();
  this->pause(kStream, fd);
  this->io_.close(kStream, fd);
}

TYPED_TEST(BackendSmoke, AbortEndsEverything) {
  Fd client;
  int fd = this->accept_stream(client);
  this->io_.recv_start(kStream, fd);
  std::string large(32 << 20, 'z');
  iovec iov{large.data(), large.size()};
  ASSERT_TRUE(this->io_.send(kStream, fd, {&iov, 1}).pending);
  this->drain();
  this->io_.abort(fd);
  Seen sent = this->next_of(Op::send);
  EXPECT_TRUE(sent.last);
  EXPECT_GT(sent.result, 0);
  EXPECT_LT(sent.result, static_cast<int32_t>(large.size()));
  Seen received = this->next_of(Op::recv);
  EXPECT_TRUE(received.last);
  EXPECT_EQ(received.result, 0);
  this->drain();
  EXPECT_TRUE(this->seen_.empty());
  this->io_.close(kStream, fd);
}

TYPED_TEST(BackendSmoke, ResetEndsTheReceive) {
  Fd client;
  int fd = this->accept_stream(client);
  this->io_.recv_start(kStream, fd);
  this->drain();
  linger now{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(client.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
  client.reset();
  Seen received = this->next_of(Op::recv);
  EXPECT_TRUE(received.last);
  EXPECT_EQ(received.result, -ECONNRESET);
  EXPECT_EQ(this->send_and_finish(kStream, fd, "too late"), -EPIPE);
  this->io_.close(kStream, fd);
}

TYPED_TEST(BackendSmoke, AnEndThatArrivesWithTheLastBytesIsSeen) {
  // With edges under the hood the second of two wake-ups is easily lost, and with it the end of the
  // connection.
  for (bool unix_socket : {false, true}) {
    for (bool armed_before : {false, true}) {
      for (bool reset : {false, true}) {
        SCOPED_TRACE(testing::Message()
                     << "unix " << unix_socket << " armed " << armed_before << " reset " << reset);
        Fd client;
        int fd = this->accept_stream(client);
        if (unix_socket) {
          this->io_.close(kStream, fd);
          int pair[2];
          ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
          fd = pair[0];
          client.reset(pair[1]);
        }
        if (armed_before) this->io_.recv_start(kStream, fd);
        this->drain();
        write_all(client.get(), "last words");
        if (reset) {
          linger now{.l_onoff = 1, .l_linger = 0};
          ::setsockopt(client.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
          client.reset();
        } else {
          ::shutdown(client.get(), SHUT_WR);
        }
        if (!armed_before) this->io_.recv_start(kStream, fd);
        EXPECT_EQ(this->next_of(Op::recv).bytes, "last words");
        Seen end = this->next_of(Op::recv);
        EXPECT_TRUE(end.last);
        EXPECT_EQ(end.result, reset && !unix_socket ? -ECONNRESET : 0);
        this->io_.close(kStream, fd);
      }
    }
  }
}

TYPED_TEST(BackendSmoke, AcceptReportsExhaustionAndStartsAgain) {
  this->stop_accepting();  // io_uring notes the limit when the subscription is made
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  Fd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  Fd lowest(::dup(0));
  rlimit lowered{.rlim_cur = static_cast<rlim_t>(lowest.get()), .rlim_max = before.rlim_max};
  lowest.reset();
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &lowered), 0);
  this->io_.accept_start(kListener, this->listener_.get());
  EXPECT_EQ(::connect(client.get(), reinterpret_cast<sockaddr*>(&this->address_), sizeof this->address_), 0);
  Seen refused = this->next_of(Op::accept);
  EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(refused.result, -EMFILE);
  EXPECT_TRUE(refused.last);
  this->drain();
  EXPECT_TRUE(this->seen_.empty());
  this->io_.accept_start(kListener, this->listener_.get());
  Seen accepted = this->next_of(Op::accept);
  ASSERT_GE(accepted.result, 0);
  this->io_.close(kStream, accepted.result);
}

TYPED_TEST(BackendSmoke, AcceptNowEmptiesTheQueueAfterTheStop) {
  this->drain();
  this->stop_accepting();
  Fd one = connect_to(this->address_);
  Fd two = connect_to(this->address_);
  this->drain();
  EXPECT_TRUE(this->seen_.empty());
  for (int i = 0; i < 2; ++i) {
    int fd = this->io_.accept_now(kListener, this->listener_.get());
    ASSERT_GE(fd, 0);
    this->io_.close(kStream, fd);
  }
  EXPECT_EQ(this->io_.accept_now(kListener, this->listener_.get()), -EAGAIN);
  this->io_.accept_start(kListener, this->listener_.get());  // and the other way again
  Fd client;
  this->io_.close(kStream, this->accept_stream(client));
}

TYPED_TEST(BackendSmoke, WatchSeesEveryRingWithoutReading) {
  Fd bell(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  this->io_.watch_start(kWatch, bell.get());
  this->drain();
  EXPECT_TRUE(this->seen_.empty());
  for (int i = 0; i < 100; ++i) {
    uint64_t one = 1;
    ASSERT_EQ(::write(bell.get(), &one, sizeof one), 8);
    Seen rung = this->next_of(Op::watch);
    EXPECT_EQ(rung.result, 1);
    EXPECT_FALSE(rung.last);
    EXPECT_EQ(rung.token, with_op(kWatch, Op::watch));
    this->drain();
    EXPECT_TRUE(this->seen_.empty()) << "rang again by itself in round " << i;
  }
  this->io_.watch_stop(kWatch, bell.get());
  uint64_t one = 1;
  ASSERT_EQ(::write(bell.get(), &one, sizeof one), 8);
  this->drain();
  EXPECT_TRUE(this->seen_.empty());
}

TYPED_TEST(BackendSmoke, ProgressMovesWhenThePeerTakesBytes) {
  Fd client;
  int fd = this->accept_stream(client);
  uint64_t before = this->io_.progress(fd);
  EXPECT_EQ(this->send_and_finish(kStream, fd, "0123456789"), 10);
  char back[10];
  ASSERT_EQ(::recv(client.get(), back, sizeof back, MSG_WAITALL), 10);
  EXPECT_EQ(this->io_.progress(fd), before + 10);
  this->io_.close(kStream, fd);
}

TYPED_TEST(BackendSmoke, WaitEndsAtItsInstantAndNotBefore) {
  this->drain();
  Instant until = monotonic_now() + 3ms;
  while (this->io_.now() < until) this->turn(until);
  EXPECT_GE(monotonic_now(), until);
  EXPECT_TRUE(this->seen_.empty());
}

}  // namespace
}  // namespace lastcall
