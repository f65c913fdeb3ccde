// The log while a stop must not be held up: full pipes, and text that stays below it on a terminal.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <string>
#include <thread>

#include <lastcall/core/fd.hpp>
#include <lastcall/core/log.hpp>

namespace lastcall {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

/// Whether a thread of ours sleeps in write(2).
bool is_writing(pid_t thread) {
  std::ifstream file("/proc/self/task/" + std::to_string(thread) + "/syscall");
  std::string number;
  file >> number;
  return number == std::to_string(SYS_write);
}

/// Standard error is a pipe of ours.
class LogToPipe : public testing::Test {
 protected:
  LogToPipe() : real_error_(::dup(STDERR_FILENO)) {
    int ends[2];
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    read_.reset(ends[0]);
    ::dup2(ends[1], STDERR_FILENO);
    ::close(ends[1]);
  }
  ~LogToPipe() override {
    log_may_wait(true);
    ::dup2(real_error_.get(), STDERR_FILENO);
  }

  void fill() {
    int flags = ::fcntl(STDERR_FILENO, F_GETFL);
    ::fcntl(STDERR_FILENO, F_SETFL, flags | O_NONBLOCK);
    std::string page(4096, '.');
    while (::write(STDERR_FILENO, page.data(), page.size()) > 0) {
    }
    ::fcntl(STDERR_FILENO, F_SETFL, flags);
  }
  std::string read_all() {
    std::string text;
    pollfd readable{.fd = read_.get(), .events = POLLIN, .revents = 0};
    while (::poll(&readable, 1, 0) == 1) {
      char bytes[4096];
      ssize_t got = ::read(read_.get(), bytes, sizeof bytes);
      if (got <= 0) break;
      text.append(bytes, static_cast<size_t>(got));
    }
    return text;
  }

 private:
  Fd real_error_;
  Fd read_;
};

TEST_F(LogToPipe, AFullPipeHoldsUpNobodyWhoMayNotWait) {
  log_may_wait(false);
  fill();
  for (int i = 0; i < 1000; ++i) log_event(LogLevel::info, "lost");  // with 20 ms each, this would be 20 s
  EXPECT_THAT(read_all(), Not(HasSubstr("event=lost")));
  log_event(LogLevel::info, "seen");
  std::string log = read_all();
  EXPECT_THAT(log, HasSubstr(" warning event=log_lines_dropped count=1000\n"));
  EXPECT_THAT(log, EndsWith(" info event=seen\n"));
  log_event(LogLevel::info, "seen");
  EXPECT_THAT(read_all(), Not(HasSubstr("log_lines_dropped")));
}

TEST_F(LogToPipe, AThreadThatIsStuckInTheLogHoldsUpNobodyWhoMayNotWait) {
  fill();
  std::atomic<pid_t> number{0};
  std::jthread stuck([&number] {
    number = ::gettid();
    log_event(LogLevel::info, "patient");
  });
  while (number == 0 || !is_writing(number)) std::this_thread::yield();
  log_may_wait(false);
  log_event(LogLevel::info, "lost");
  std::string log;
  while (log.find("event=patient") == log.npos) log += read_all();
  EXPECT_THAT(log, Not(HasSubstr("event=lost")));
}

TEST_F(LogToPipe, WhoMayWaitDoes) {
  fill();
  std::jthread patient([] { log_event(LogLevel::info, "patient"); });
  std::string log;
  while (log.find("event=patient") == log.npos) log += read_all();
  EXPECT_THAT(log, EndsWith(" info event=patient\n"));
}

TEST_F(LogToPipe, AFooterStaysBelowTheLines) {
  EXPECT_TRUE(log_footer("one\n", "<1>"));
  EXPECT_EQ(read_all(), "one\n");
  log_event(LogLevel::info, "a");
  EXPECT_THAT(read_all(), testing::MatchesRegex("<1>[^<]* event=a\none\n"));
  EXPECT_TRUE(log_footer("two\ntwo\n", "<2>"));
  EXPECT_EQ(read_all(), "<1>two\ntwo\n");
  log_event(LogLevel::info, "b");
  EXPECT_THAT(read_all(), testing::MatchesRegex("<2>[^<]* event=b\ntwo\ntwo\n"));
  EXPECT_TRUE(log_footer("last\n", ""));
  EXPECT_EQ(read_all(), "<2>last\n");
  log_event(LogLevel::info, "c");
  EXPECT_THAT(read_all(), testing::MatchesRegex("[^<]* event=c\n"));
}

TEST_F(LogToPipe, AFooterWithoutRoomChangesNothing) {
  EXPECT_TRUE(log_footer("one\n", "<1>"));
  fill();
  EXPECT_FALSE(log_footer("two\n", "<2>"));
  EXPECT_FALSE(log_footer("", ""));
  read_all();
  EXPECT_TRUE(log_footer("", ""));
  EXPECT_EQ(read_all(), "<1>");
}

}  // namespace
}  // namespace lastcall
