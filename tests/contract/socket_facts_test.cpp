// What Linux does where the manual pages are silent, and what the backends' design rests on. Measured first
// on Linux 6.18 with liburing 2.3. When one of these fails on a newer kernel, the design has to be thought
// over, not the test.

#include <gtest/gtest.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include <lastcall/core/fd.hpp>

#include "tests/contract/kernel_probe.hpp"

namespace lastcall::contract {
namespace {

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
}  // namespace lastcall::contract
