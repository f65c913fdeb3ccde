#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <csignal>
#include <thread>
#include <vector>

#include <lastcall/shutdown/signals.hpp>

namespace lastcall {
namespace {

constexpr int kHandled[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2};

bool blocked(int number) {
  sigset_t mask;
  ::pthread_sigmask(SIG_BLOCK, nullptr, &mask);
  return ::sigismember(&mask, number) == 1;
}

bool readable(int fd) {
  pollfd entry{.fd = fd, .events = POLLIN, .revents = 0};
  return ::poll(&entry, 1, 0) == 1;
}

TEST(Signals, GivesWhatWasRaisedOnceEach) {
  Signals signals;
  EXPECT_EQ(signals.next(), std::nullopt);
  std::vector<int> taken;
  for (int number : kHandled) ::raise(number);
  EXPECT_TRUE(readable(signals.fd()));
  while (auto number = signals.next()) taken.push_back(*number);
  EXPECT_THAT(taken, testing::UnorderedElementsAreArray(kHandled));
  EXPECT_FALSE(readable(signals.fd()));
}

TEST(Signals, BlocksAndGivesTheFormerMaskBack) {
  sigset_t hup;
  ::sigemptyset(&hup);
  ::sigaddset(&hup, SIGHUP);
  ::pthread_sigmask(SIG_BLOCK, &hup, nullptr);
  {
    Signals signals;
    for (int number : kHandled) EXPECT_TRUE(blocked(number)) << number;
  }
  for (int number : kHandled) EXPECT_EQ(blocked(number), number == SIGHUP) << number;
  ::pthread_sigmask(SIG_UNBLOCK, &hup, nullptr);
}

volatile sig_atomic_t hangups = 0;

TEST(Signals, LeavesAloneWhatItIsNotToHandle) {
  struct sigaction counting {};
  counting.sa_handler = [](int) { hangups = hangups + 1; };
  struct sigaction former {};
  ::sigaction(SIGHUP, &counting, &former);
  constexpr int kTwo[] = {SIGTERM, SIGINT};
  {
    Signals signals(kTwo);
    for (int number : kHandled) EXPECT_EQ(blocked(number), number == SIGTERM || number == SIGINT) << number;
    ::raise(SIGHUP);
    EXPECT_EQ(hangups, 1);
    ::raise(SIGTERM);
    EXPECT_EQ(signals.next(), SIGTERM);
    EXPECT_EQ(signals.next(), std::nullopt);
  }
  ::raise(SIGHUP);
  EXPECT_EQ(hangups, 2);
  ::sigaction(SIGHUP, &former, nullptr);
}

TEST(Signals, ThreadsStartedLaterAreBlockedToo) {
  Signals signals;
  bool inherited = false;
  std::jthread([&] { inherited = blocked(SIGTERM) && blocked(SIGUSR2); }).join();
  EXPECT_TRUE(inherited);
}

TEST(Signals, DescriptorIsNonBlockingAndClosedOnExec) {
  Signals signals;
  EXPECT_TRUE(::fcntl(signals.fd(), F_GETFL) & O_NONBLOCK);
  EXPECT_TRUE(::fcntl(signals.fd(), F_GETFD) & FD_CLOEXEC);
}

TEST(Signals, WritingToAClosedSocketIsAnErrorNotTheEnd) {
  auto* before = ::signal(SIGPIPE, SIG_DFL);
  Signals signals;
  int pair[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  ::close(pair[1]);
  EXPECT_EQ(::write(pair[0], "x", 1), -1);
  EXPECT_EQ(errno, EPIPE);
  ::close(pair[0]);
  ::signal(SIGPIPE, before);
}

TEST(Signals, Names) {
  EXPECT_EQ(signal_name(SIGTERM), "SIGTERM");
  EXPECT_EQ(signal_name(SIGUSR2), "SIGUSR2");
  EXPECT_EQ(signal_name(9999), "signal 9999");
}

}  // namespace
}  // namespace lastcall
