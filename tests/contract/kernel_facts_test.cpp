// What Linux does where the manual pages are silent, and what the backends' design rests on. Measured first
// on Linux 6.18 with liburing 2.3. When one of these fails on a newer kernel, the design has to be thought
// over, not the test.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <liburing.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <lastcall/core/fd.hpp>
#include <lastcall/core/probe.hpp>

#include "tests/support/real_peer.hpp"

namespace lastcall {
namespace {

struct Completion {
  uint64_t user_data;
  int32_t result;
  uint32_t flags;
  [[nodiscard]] bool more() const { return (flags & IORING_CQE_F_MORE) != 0; }
};

/// A bare ring; its calls fail the test where they cannot fail.
class Ring {
 public:
  Ring() { EXPECT_EQ(io_uring_queue_init(16, &ring_, 0), 0); }
  ~Ring() { io_uring_queue_exit(&ring_); }
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;

  io_uring* get() { return &ring_; }
  void submit(io_uring_sqe* sqe, uint64_t user_data) {
    sqe->user_data = user_data;
    EXPECT_EQ(io_uring_submit(&ring_), 1);
  }
  /// The next completion; none after ten seconds, which fails the test that wanted one.
  std::optional<Completion> next() { return next({.tv_sec = 10, .tv_nsec = 0}); }
  /// True when nothing completes for a while.
  bool silent() { return !next({.tv_sec = 0, .tv_nsec = 100'000'000}); }

 private:
  std::optional<Completion> next(__kernel_timespec timeout) {
    io_uring_cqe* cqe = nullptr;
    if (io_uring_wait_cqe_timeout(&ring_, &cqe, &timeout) != 0) return std::nullopt;
    Completion completion{cqe->user_data, cqe->res, cqe->flags};
    io_uring_cqe_seen(&ring_, cqe);
    return completion;
  }

  io_uring ring_{};
};

/// A ring of provided buffers, group 0, empty at first.
class BufferRing {
 public:
  static constexpr unsigned kEntries = 8;
  static constexpr unsigned kBytes = 256;

  explicit BufferRing(Ring& ring) : ring_(ring) {
    memory_.reset(static_cast<io_uring_buf_ring*>(std::aligned_alloc(4096, 4096)));
    io_uring_buf_ring_init(memory_.get());
    io_uring_buf_reg registration{};
    registration.ring_addr = reinterpret_cast<uint64_t>(memory_.get());
    registration.ring_entries = kEntries;
    EXPECT_EQ(io_uring_register_buf_ring(ring_.get(), &registration, 0), 0);
  }
  ~BufferRing() { io_uring_unregister_buf_ring(ring_.get(), 0); }
  BufferRing(const BufferRing&) = delete;
  BufferRing& operator=(const BufferRing&) = delete;

  void fill() {
    for (unsigned i = 0; i < kEntries; ++i) {
      io_uring_buf_ring_add(memory_.get(), bytes_[i].data(), kBytes, static_cast<uint16_t>(i),
                            io_uring_buf_ring_mask(kEntries), static_cast<int>(i));
    }
    io_uring_buf_ring_advance(memory_.get(), kEntries);
  }
  std::string text(const Completion& completion) {
    size_t index = completion.flags >> IORING_CQE_BUFFER_SHIFT;
    return {bytes_[index].data(), static_cast<size_t>(completion.result)};
  }

 private:
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  Ring& ring_;
  std::unique_ptr<io_uring_buf_ring, Free> memory_;
  std::array<std::array<char, kBytes>, kEntries> bytes_{};
};

struct Connection {
  Fd server;
  RealPeer peer;
};

Connection make_connection() {
  Fd listener = listen_tcp();
  RealPeer peer = connect_to(listener.get());
  return {Fd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC)), std::move(peer)};
}

/// Waits until the socket has something to say: bytes, end of stream, an error.
void await_readable(int fd) {
  pollfd poll{.fd = fd, .events = POLLIN, .revents = 0};
  EXPECT_EQ(::poll(&poll, 1, 10'000), 1);
}

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

TEST(SocketFacts, ClosingAListenerResetsItsQueue) {
  Fd listener = listen_tcp();
  RealPeer peer = connect_to(listener.get());
  listener.reset();
  await_readable(peer.fd());
  char byte;
  EXPECT_EQ(::recv(peer.fd(), &byte, 1, 0), -1);
  EXPECT_EQ(errno, ECONNRESET);
}

TEST(SocketFacts, CloseWithUnreadInputResetsAfterTheResponse) {
  Connection connection = make_connection();
  connection.peer.write("body nobody reads");
  await_readable(connection.server.get());
  ASSERT_EQ(::send(connection.server.get(), "response", 8, MSG_NOSIGNAL), 8);
  connection.server.reset();
  await_readable(connection.peer.fd());
  EXPECT_TRUE(connection.peer.saw_reset());  // Linux leaves it the response; other systems drop that too
}

TEST(SocketFacts, ShutdownThenReadingToTheEndThenCloseResetsNobody) {
  Connection connection = make_connection();
  connection.peer.write("body nobody reads");
  await_readable(connection.server.get());
  ASSERT_EQ(::send(connection.server.get(), "response", 8, MSG_NOSIGNAL), 8);
  ::shutdown(connection.server.get(), SHUT_WR);
  connection.peer.write(", and more of it");
  connection.peer.half_close();
  char sink[256];
  while (::recv(connection.server.get(), sink, sizeof sink, 0) > 0) {
  }
  connection.server.reset();
  EXPECT_EQ(connection.peer.take(8), "response");
  EXPECT_TRUE(connection.peer.saw_eof());
  EXPECT_FALSE(connection.peer.saw_reset());
}

TEST(SocketFacts, DeferAcceptHidesEstablishedClientsThatACloseThenResets) {
  Fd listener = listen_tcp();
  int seconds = 5;
  ASSERT_EQ(::setsockopt(listener.get(), IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, sizeof seconds), 0);
  RealPeer peer = connect_to(listener.get());
  tcp_info info{};
  socklen_t size = sizeof info;
  ASSERT_EQ(::getsockopt(peer.fd(), IPPROTO_TCP, TCP_INFO, &info, &size), 0);
  EXPECT_EQ(info.tcpi_state, TCP_ESTABLISHED);
  size = sizeof info;
  ASSERT_EQ(::getsockopt(listener.get(), IPPROTO_TCP, TCP_INFO, &info, &size), 0);
  EXPECT_EQ(info.tcpi_unacked, 0u);  // of a listener: connections in the accept queue
  listener.reset();
  peer.write("GET / HTTP/1.1");
  await_readable(peer.fd());
  EXPECT_TRUE(peer.saw_reset());
}

/// Runs `call` in a child without any capability; gives the errno it returned, 0 for success.
template <class Call>
int without_capabilities(Call call) {
  pid_t child = ::fork();
  if (child == 0) {
    __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    __user_cap_data_struct none[2]{};
    if (::syscall(SYS_capset, &header, none) != 0) ::_exit(255);
    ::_exit(call());
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_NE(WEXITSTATUS(status), 255);
  return WEXITSTATUS(status);
}

int attach_filter(int fd, int option) {
  sock_filter keep = BPF_STMT(BPF_RET | BPF_K, 0);  // index 0 of a reuseport group
  sock_fprog program{.len = 1, .filter = &keep};
  return ::setsockopt(fd, SOL_SOCKET, option, &program, sizeof program) == 0 ? 0 : errno;
}

Fd reuseport_listener() {
  Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  int on = 1;
  EXPECT_EQ(::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on), 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(::listen(fd.get(), 1), 0);
  return fd;
}

// Linux 5d39580f68e6 (mid-2026, also in stable kernels) closed a side channel on sequence numbers; kernels
// without it allow the filter. Nothing may depend on either.
TEST(SocketFacts, APacketFilterOnTcpIsAPrivilege) {
  Fd listener = reuseport_listener();
  int code = without_capabilities([&] { return attach_filter(listener.get(), SO_ATTACH_FILTER); });
  EXPECT_TRUE(code == EPERM || code == 0) << code;
  RecordProperty("so_attach_filter", code == EPERM ? "needs CAP_NET_ADMIN" : "free");
}

TEST(SocketFacts, SteeringAReuseportGroupIsFree) {
  Fd listener = reuseport_listener();
  EXPECT_EQ(without_capabilities([&] { return attach_filter(listener.get(), SO_ATTACH_REUSEPORT_CBPF); }), 0);
}

}  // namespace
}  // namespace lastcall
