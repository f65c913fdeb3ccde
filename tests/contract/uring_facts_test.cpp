// What Linux does where the manual pages are silent, and what the backends' design rests on. Measured first
// on Linux 6.18 with liburing 2.3. When one of these fails on a newer kernel, the design has to be thought
// over, not the test.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <liburing.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdint>
#include <optional>
#include <string>

#include <lastcall/core/fd.hpp>
#include <lastcall/core/probe.hpp>

#include "tests/contract/kernel_probe.hpp"

namespace lastcall::contract {
namespace {

void set_hard_close(int fd) {
  linger hard{.l_onoff = 1, .l_linger = 0};
  EXPECT_EQ(::setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard), 0);
}

class UringFacts : public testing::Test {
 protected:
  void SetUp() override {
    if (Result<void> probed = probe_uring(); !probed) GTEST_SKIP() << probed.error().message;
  }

  static void submit_recv(Ring& ring, int fd, uint16_t flags = 0) {
    io_uring_sqe* sqe = io_uring_get_sqe(ring.get());
    io_uring_prep_recv_multishot(sqe, fd, nullptr, 0, 0);
    sqe->ioprio = static_cast<uint16_t>(sqe->ioprio | flags);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = 0;
    ring.submit(sqe, 1);
  }
  static void submit_accept(Ring& ring, int fd) {
    io_uring_sqe* sqe = io_uring_get_sqe(ring.get());
    io_uring_prep_multishot_accept(sqe, fd, nullptr, nullptr, SOCK_CLOEXEC);
    ring.submit(sqe, 1);
  }
};

TEST_F(UringFacts, CloseDoesNotStopAMultishotReceive) {
  Ring ring;
  BufferRing buffers(ring);
  buffers.fill();
  Connection connection = make_connection();
  submit_recv(ring, connection.server.get());
  connection.server.reset();
  EXPECT_TRUE(ring.silent());
  EXPECT_FALSE(connection.peer.saw_eof());
  connection.peer.write("still heard");
  std::optional<Completion> heard = ring.next();
  ASSERT_TRUE(heard);
  ASSERT_GT(heard->result, 0);
  EXPECT_EQ(buffers.text(*heard), "still heard");
  EXPECT_TRUE(heard->more());
}

TEST_F(UringFacts, ShutdownEndsAMultishotReceive) {
  Ring ring;
  BufferRing buffers(ring);
  buffers.fill();
  Connection connection = make_connection();
  submit_recv(ring, connection.server.get());
  EXPECT_TRUE(ring.silent());
  ::shutdown(connection.server.get(), SHUT_RDWR);
  std::optional<Completion> end = ring.next();
  ASSERT_TRUE(end);
  EXPECT_EQ(end->result, 0);
  EXPECT_FALSE(end->more());
}

TEST_F(UringFacts, ShutdownEndsABlockedSendWithAPartialCount) {
  Ring ring;
  Connection connection = make_connection();
  std::string bytes(32 << 20, 'x');
  io_uring_sqe* sqe = io_uring_get_sqe(ring.get());
  io_uring_prep_send(sqe, connection.server.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_WAITALL);
  ring.submit(sqe, 1);
  EXPECT_TRUE(ring.silent());
  ::shutdown(connection.server.get(), SHUT_RDWR);
  std::optional<Completion> end = ring.next();
  ASSERT_TRUE(end);
  EXPECT_GT(end->result, 0);
  EXPECT_LT(end->result, static_cast<int>(bytes.size()));
}

TEST_F(UringFacts, AClosedListenerKeepsAccepting) {
  Ring ring;
  Fd listener = listen_tcp();
  Fd same(::dup(listener.get()));  // to learn the address after the close
  submit_accept(ring, listener.get());
  listener.reset();
  sockaddr_in address{};
  socklen_t size = sizeof address;
  ASSERT_EQ(::getsockname(same.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  same.reset();  // nobody has it any more, but the ring
  Fd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::connect(client.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  std::optional<Completion> accepted = ring.next();
  ASSERT_TRUE(accepted);
  EXPECT_GE(accepted->result, 0);
  EXPECT_TRUE(accepted->more());
  Fd connection(accepted->result);
}

TEST_F(UringFacts, CancelByDescriptorEndsAMultishotAcceptAfterRealConnections) {
  Ring ring;
  Fd listener = listen_tcp();
  submit_accept(ring, listener.get());
  RealPeer peer = connect_to(listener.get());
  io_uring_sqe* sqe = io_uring_get_sqe(ring.get());
  io_uring_prep_cancel_fd(sqe, listener.get(), 0);
  ring.submit(sqe, 2);
  Fd connection;
  int ends = 0;
  for (int seen = 0; seen < 3; ++seen) {  // a connection, the cancellation, and the end
    std::optional<Completion> completion = ring.next();
    ASSERT_TRUE(completion);
    if (completion->user_data == 2) {
      EXPECT_EQ(completion->result, 0);
    } else if (completion->result >= 0) {
      EXPECT_EQ(ends, 0);
      connection.reset(completion->result);
    } else {
      EXPECT_EQ(completion->result, -ECANCELED);
      EXPECT_FALSE(completion->more());
      ++ends;
    }
  }
  EXPECT_EQ(ends, 1);
  peer.write("x");
  await_readable(connection.get());
  RealPeer late = connect_to(listener.get());  // waits in the queue: nobody accepts it
  EXPECT_TRUE(ring.silent());
}

TEST_F(UringFacts, AnEmptyBufferRingEndsAMultishotReceiveAtOnce) {
  Ring ring;
  BufferRing buffers(ring);
  Connection connection = make_connection();
  submit_recv(ring, connection.server.get());
  std::optional<Completion> end = ring.next();  // although the socket is idle
  ASSERT_TRUE(end);
  EXPECT_EQ(end->result, -ENOBUFS);
  EXPECT_FALSE(end->more());
}

TEST_F(UringFacts, PollFirstNeedsABufferOnlyWhenBytesArrive) {
  Ring ring;
  BufferRing buffers(ring);
  Connection connection = make_connection();
  submit_recv(ring, connection.server.get(), IORING_RECVSEND_POLL_FIRST);
  EXPECT_TRUE(ring.silent());
  buffers.fill();
  connection.peer.write("now");
  std::optional<Completion> heard = ring.next();
  ASSERT_TRUE(heard);
  ASSERT_GT(heard->result, 0);
  EXPECT_EQ(buffers.text(*heard), "now");
}

TEST_F(UringFacts, ATimeoutThatRepeatsEndsEachWaitForMore) {
  Ring ring(IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
  std::optional<Completion> first = start_ticks(ring);
  ASSERT_TRUE(first);
  if (first->result == -EINVAL) GTEST_SKIP() << kNoTicks;
  constexpr unsigned kWanted = 10;  // more than there ever are
  for (int wait = 0; wait < 5; ++wait) {
    // Also where one has completed before the wait begins.
    if (wait == 3) await_readable(ring.get()->ring_fd);
    ASSERT_GE(io_uring_submit_and_wait(ring.get(), kWanted), 0);
    const unsigned ready = io_uring_cq_ready(ring.get());
    EXPECT_LT(ready, kWanted);
    for (unsigned i = 0; i < ready; ++i) {
      std::optional<Completion> tick = ring.next();
      ASSERT_TRUE(tick);
      EXPECT_EQ(tick->result, -ETIME);
      EXPECT_TRUE(tick->more());
    }
  }
}

/// A zero-copy send whose bytes sit in the socket because the peer takes none; its first completion has come.
void start_stuck_zero_copy_send(Ring& ring, int fd, const std::string& bytes) {
  io_uring_sqe* sqe = io_uring_get_sqe(ring.get());
  io_uring_prep_send_zc(sqe, fd, bytes.data(), bytes.size(), MSG_NOSIGNAL, 0);
  ring.submit(sqe, 1);
  std::optional<Completion> sent = ring.next();
  ASSERT_TRUE(sent);
  ASSERT_GT(sent->result, 0);
  ASSERT_TRUE(sent->more());  // the notification that the memory is free is yet to come
}

TEST_F(UringFacts, APlainCloseLeavesAStuckZeroCopySendWithoutNotification) {
  Ring ring;
  Connection connection = make_connection();
  std::string bytes(4 << 20, 'x');
  start_stuck_zero_copy_send(ring, connection.server.get(), bytes);
  ::shutdown(connection.server.get(), SHUT_RDWR);
  connection.server.reset();
  EXPECT_TRUE(ring.silent());
  connection.peer.close();  // with bytes untaken: the reset frees them at last
  std::optional<Completion> notification = ring.next();
  ASSERT_TRUE(notification);
  EXPECT_TRUE(notification->flags & IORING_CQE_F_NOTIF);
}

TEST_F(UringFacts, AHardCloseNotifiesAStuckZeroCopySend) {
  Ring ring;
  Connection connection = make_connection();
  std::string bytes(4 << 20, 'x');
  start_stuck_zero_copy_send(ring, connection.server.get(), bytes);
  ::shutdown(connection.server.get(), SHUT_RDWR);
  set_hard_close(connection.server.get());
  connection.server.reset();
  std::optional<Completion> notification = ring.next();
  ASSERT_TRUE(notification);
  EXPECT_TRUE(notification->flags & IORING_CQE_F_NOTIF);
  EXPECT_FALSE(notification->more());
}

TEST_F(UringFacts, ANonBlockingListenerIsWaitedForAllTheSame) {
  Ring ring;
  Fd listener = listen_tcp();
  ::fcntl(listener.get(), F_SETFL, O_NONBLOCK);
  submit_accept(ring, listener.get());
  EXPECT_TRUE(ring.silent());
  RealPeer peer = connect_to(listener.get());
  std::optional<Completion> accepted = ring.next();
  ASSERT_TRUE(accepted);
  EXPECT_GE(accepted->result, 0);
  EXPECT_TRUE(accepted->more());
  Fd connection(accepted->result);
}

TEST_F(UringFacts, ANonBlockingSocketIsWaitedForAllTheSame) {
  Ring ring;
  BufferRing buffers(ring);
  buffers.fill();
  Connection connection = make_connection();
  ::fcntl(connection.server.get(), F_SETFL, O_NONBLOCK);
  submit_recv(ring, connection.server.get());
  EXPECT_TRUE(ring.silent());
  connection.peer.write("in the end");
  std::optional<Completion> heard = ring.next();
  ASSERT_TRUE(heard);
  ASSERT_GT(heard->result, 0);
  EXPECT_EQ(buffers.text(*heard), "in the end");

  std::string bytes(32 << 20, 'x');
  io_uring_sqe* sqe = io_uring_get_sqe(ring.get());
  io_uring_prep_send(sqe, connection.server.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_WAITALL);
  ring.submit(sqe, 2);
  EXPECT_TRUE(ring.silent());
  ::shutdown(connection.server.get(), SHUT_RDWR);
  EXPECT_TRUE(ring.next());
  EXPECT_TRUE(ring.next());
}

}  // namespace
}  // namespace lastcall::contract
