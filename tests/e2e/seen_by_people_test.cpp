// What a person sees of a stop on a terminal, and that nobody who does not look can hold it up.
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <thread>

#include "tests/e2e/fixture.hpp"
#include "tests/support/terminal_screen.hpp"

namespace lastcall::e2e {
namespace {

using Clock = std::chrono::steady_clock;
using testing::Contains;
using testing::ContainsRegex;
using testing::Each;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::Not;
using testing::StartsWith;

constexpr const char* kLogLine = "20..-..-..T..:..:......Z [a-z]+ event=.*";

/// The screen behind a pseudo-terminal, with somebody in front of it.
class Terminal {
 public:
  explicit Terminal(uint16_t columns, uint16_t rows) : screen_(columns) {
    winsize size{.ws_row = rows, .ws_col = columns, .ws_xpixel = 0, .ws_ypixel = 0};
    int master = -1, slave = -1;
    if (::openpty(&master, &slave, nullptr, nullptr, &size) != 0) std::abort();
    ::fcntl(master, F_SETFD, FD_CLOEXEC);
    ::fcntl(slave, F_SETFD, FD_CLOEXEC);
    master_.reset(master);
    slave_.reset(slave);
    reader_ = std::thread([this] { read(); });
  }
  ~Terminal() {
    slave_.reset();
    reader_.join();
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  /// What the program gets as its standard error.
  [[nodiscard]] int descriptor() const { return slave_.get(); }

  /// Waits until the lines on the screen are as wanted; false after 20 s.
  bool wait_for(const std::function<bool(const std::vector<std::string>&)>& wanted) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, 20s, [&] { return wanted(screen_.lines()); });
  }
  bool wait_for_line(const std::string& part) {
    return wait_for([&](const std::vector<std::string>& lines) {
      return std::ranges::any_of(lines,
                                 [&](const std::string& line) { return line.find(part) != line.npos; });
    });
  }
  [[nodiscard]] std::vector<std::string> lines() {
    std::lock_guard lock(mutex_);
    return screen_.lines();
  }
  /// After the program has ended.
  [[nodiscard]] std::vector<std::string> last_lines() {
    slave_.reset();
    reader_.join();
    reader_ = std::thread([] {});
    return screen_.lines();
  }
  [[nodiscard]] size_t erasures() {
    std::lock_guard lock(mutex_);
    return screen_.erasures();
  }
  [[nodiscard]] bool wrapped() {
    std::lock_guard lock(mutex_);
    return screen_.erased_wrapped_line();
  }

 private:
  void read() {
    char bytes[4096];
    for (ssize_t got; (got = TEMP_FAILURE_RETRY(::read(master_.get(), bytes, sizeof bytes))) > 0;) {
      std::lock_guard lock(mutex_);
      screen_.write({bytes, static_cast<size_t>(got)});
      changed_.notify_all();
    }  // EIO when the last program has closed the other side
  }

  Fd master_, slave_;
  std::mutex mutex_;
  std::condition_variable changed_;
  support::TerminalScreen screen_;
  std::thread reader_;
};

class SeenByPeople : public EndToEnd {
 protected:
  /// Starts the server with its standard error elsewhere; its log can then not be asked for a port.
  void start_with_error(int error, const Arguments& arguments, const std::string& terminal = "xterm") {
    where_ = "unix:" + testing::TempDir() + "lastcall-people-" + std::to_string(::getpid()) + ".sock";
    Arguments all{"demo", "--listen", where_, "--io", GetParam()};
    all.insert(all.end(), arguments.begin(), arguments.end());
    server_.emplace(lastcall_binary(), all,
                    ProcessOptions{.environment = {"TERM=" + terminal, sanitizer_options()},
                                   .inherited = {{error, STDERR_FILENO}}});
    while (!connect_here().connected()) ASSERT_FALSE(server_->wait_exit(1ms));
  }

  /// Who leaves by _exit joins nobody, which ThreadSanitizer would report.
  static std::string sanitizer_options() {
    const char* given = std::getenv("TSAN_OPTIONS");
    return "TSAN_OPTIONS=" + std::string(given != nullptr ? given : "") + ":report_thread_leaks=0";
  }

  RawClient connect_here() { return RawClient(where_, {}); }
  /// A client in the middle of a request for `target`, and the answer to an earlier one to prove it was seen.
  RawClient busy(const std::string& target) {
    RawClient client = connect_here();
    EXPECT_EQ(client.ask(get_request("/plaintext")).status, 200);
    client.send(get_request(target));
    EXPECT_EQ(connect_here().ask(get_request("/plaintext", "Connection: close\r\n")).status, 200);
    return client;
  }

  std::optional<ServerProcess> server_;
  std::string where_;
};
LASTCALL_ON_BOTH_BACKENDS(SeenByPeople);

TEST_P(SeenByPeople, BarsAreDrawnInPlaceAndReplacedAtTheEnd) {
  Terminal terminal(100, 30);
  start_with_error(terminal.descriptor(), {"--reactors", "2"});
  RawClient first = busy("/sleep?ms=1500");
  RawClient second = busy("/sleep?ms=1500");
  server_->signal(SIGTERM);
  ASSERT_TRUE(terminal.wait_for([](const std::vector<std::string>& lines) {
    return std::ranges::count_if(lines, [](const auto& line) { return line.find("] ") != line.npos; }) == 2;
  }));
  std::vector<std::string> during = terminal.lines();
  EXPECT_THAT(during, Contains(MatchesRegex("draining [01]\\..s of 25s: 2 active, . idle")));
  EXPECT_THAT(during, Contains(MatchesRegex("r0 \\[#*-*\\.*\\] .*")));
  EXPECT_THAT(during, Contains(MatchesRegex("r1 \\[#*-*\\.*\\] .*")));
  EXPECT_EQ(first.read_answer().status, 200);
  EXPECT_EQ(second.read_answer().status, 200);
  first.close();
  second.close();
  EXPECT_EQ(server_->wait_exit(), 0);

  std::vector<std::string> after = terminal.last_lines();
  EXPECT_THAT(after, Not(Contains(HasSubstr("["))));
  EXPECT_THAT(after, Not(Contains(HasSubstr("drain_progress"))));
  EXPECT_THAT(after, Contains(MatchesRegex("r0 [0-9]+ open: [0-9]+ completed, 0 idle closed, 0 aborted")));
  ASSERT_GE(after.size(), 5u);
  EXPECT_THAT(after.back(), HasSubstr(" event=stopped "));
  // Ten pictures a second at most, in the second and a half it lasted; the log lines redraw, too.
  EXPECT_GE(terminal.erasures(), 3u);
  if (!kSanitized) {
    EXPECT_LE(terminal.erasures(), 40u);
  }
}

TEST_P(SeenByPeople, LogLinesBetweenTheBarsAreWhole) {
  Terminal terminal(200, 30);
  start_with_error(terminal.descriptor(), {"--idle-grace", "2s"});
  std::vector<RawClient> clients;
  for (int i = 0; i < 20; ++i) clients.push_back(busy("/sleep?ms=300"));
  for (RawClient& client : clients) EXPECT_EQ(client.read_answer().status, 200);
  RawClient last = busy("/sleep?ms=1000");
  server_->signal(SIGTERM);
  ASSERT_TRUE(terminal.wait_for_line("draining 0."));
  for (RawClient& client : clients) client.send(get_request("/throw"));  // each is a line of the log
  for (RawClient& client : clients) EXPECT_EQ(client.read_answer().status, 500);
  clients.clear();
  EXPECT_EQ(last.read_answer().status, 200);
  last.close();
  EXPECT_EQ(server_->wait_exit(), 0);
  size_t failures = 0;
  std::vector<std::string> lines = terminal.last_lines();
  for (const std::string& line : lines) {
    failures += line.find("event=handler_failed") != line.npos;
    EXPECT_THAT(line, testing::AnyOf(MatchesRegex(kLogLine), MatchesRegex("r[0-9]+ [0-9]+ open.*: .*")));
  }
  EXPECT_EQ(failures, 20u);
  EXPECT_THAT(lines.back(), HasSubstr(" event=stopped "));
}

TEST_P(SeenByPeople, ANarrowTerminalDoesNotWrap) {
  Terminal terminal(20, 5);
  start_with_error(terminal.descriptor(), {"--reactors", "8"});
  RawClient client = busy("/sleep?ms=800");
  server_->signal(SIGTERM);
  ASSERT_TRUE(terminal.wait_for_line("draining 0."));
  EXPECT_EQ(client.read_answer().status, 200);
  client.close();
  EXPECT_EQ(server_->wait_exit(), 0);
  EXPECT_THAT(terminal.last_lines(), Not(Contains(StartsWith("draining"))));
  EXPECT_FALSE(terminal.wrapped());
}

TEST_P(SeenByPeople, NoEscapeSequencesWhereNobodyWouldSeeThem) {
  struct Case {
    const char* terminal;
    Arguments arguments;
  };
  for (const Case& c : {Case{"dumb", {}}, Case{"", {}}, Case{"xterm", {"--log-format", "json"}},
                        Case{"xterm", {"--log-level", "warning"}}}) {
    Terminal terminal(100, 30);
    start_with_error(terminal.descriptor(), c.arguments, c.terminal);
    RawClient client = busy("/sleep?ms=1200");
    server_->signal(SIGTERM);
    EXPECT_EQ(client.read_answer().status, 200);
    client.close();
    EXPECT_EQ(server_->wait_exit(), 0);
    std::vector<std::string> lines = terminal.last_lines();
    EXPECT_EQ(terminal.erasures(), 0u);
    EXPECT_THAT(lines, Not(Contains(StartsWith("draining"))));
    bool says_progress =
        std::ranges::any_of(lines, [](const auto& line) { return line.find("drain_progress") != line.npos; });
    EXPECT_EQ(says_progress, c.arguments != (Arguments{"--log-level", "warning"})) << c.terminal;
  }
}

/// Pipes and terminals that nobody reads. The stop goes its way, and the process is gone at the deadline.
class NobodyReads : public SeenByPeople {
 protected:
  struct Pipe {
    Fd read, write;
  };
  static Pipe full_pipe() {
    int ends[2];
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    return {Fd(ends[0]), Fd(ends[1])};
  }
  static void fill(int fd) {
    int flags = ::fcntl(fd, F_GETFL);
    ::fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    std::string page(4096, '.');
    while (::write(fd, page.data(), page.size()) > 0) {
    }
    ::fcntl(fd, F_SETFL, flags);
  }
  int stop_here() {
    server_->signal(SIGTERM);
    return server_->wait_exit(5s).value_or(-1);  // of 25
  }
  /// Stops, and expects the exit at the deadline.
  void expect_in_time(Duration deadline, int exit_code) {
    const Duration kLate = kSanitized ? 3s : 250ms;  // 50 ms on a quiet machine
    Clock::time_point began = Clock::now();
    server_->signal(SIGTERM);
    EXPECT_EQ(server_->wait_exit(), exit_code);
    EXPECT_LE(Clock::now() - began, deadline + kLate);
  }
};
LASTCALL_ON_BOTH_BACKENDS(NobodyReads);

TEST_P(NobodyReads, AFullLogDoesNotDelayACleanStop) {
  Pipe error = full_pipe();
  start_with_error(error.write.get(), {"--idle-grace", "100ms"});
  RawClient client = busy("/sleep?ms=300");
  fill(error.write.get());
  server_->signal(SIGTERM);
  EXPECT_EQ(client.read_answer().status, 200);
  client.close();
  EXPECT_EQ(server_->wait_exit(5s).value_or(-1), 0);
}

TEST_P(NobodyReads, AFullLogDoesNotKeepTheDeadlineFromForcing) {
  Pipe error = full_pipe();
  start_with_error(error.write.get(), {"--deadline", "1s"});
  RawClient client = busy("/sleep?ms=60000");
  fill(error.write.get());
  expect_in_time(1s, 2);
  EXPECT_EQ(client.read_answer().status, 503);  // the reactors were led through all phases
}

TEST_P(NobodyReads, AFullLogDoesNotDelayAnAnswer) {
  Pipe error = full_pipe();
  start_with_error(error.write.get(), {"--reactors", "1"});
  RawClient client = busy("/plaintext");
  EXPECT_EQ(client.read_answer().status, 200);
  fill(error.write.get());
  for (int i = 0; i < 100; ++i) EXPECT_EQ(client.ask(get_request("/throw")).status, 500);  // each logs a line
  client.close();
  EXPECT_EQ(stop_here(), 0);
}

TEST_P(NobodyReads, AServerThatStartsWithAFullLogServesAndStops) {
  Pipe error = full_pipe();
  fill(error.write.get());
  start_with_error(error.write.get(), {});
  EXPECT_EQ(connect_here().ask(get_request("/plaintext", "Connection: close\r\n")).status, 200);
  server_->signal(SIGHUP);  // is logged, too
  EXPECT_EQ(stop_here(), 0);
}

TEST_P(NobodyReads, AHaltedTerminalDoesNotDelayTheStop) {
  int master = -1, slave = -1;
  ASSERT_EQ(::openpty(&master, &slave, nullptr, nullptr, nullptr), 0);
  Fd theirs(slave), ours(master);
  start_with_error(slave, {"--deadline", "2s"});
  RawClient client = busy("/sleep?ms=60000");
  ASSERT_EQ(::tcflow(slave, TCOOFF), 0);  // as Ctrl-S
  expect_in_time(2s, 2);
}

TEST_P(NobodyReads, ASignalEndsTheWaitForWhoReadsTheReport) {
  std::string path = testing::TempDir() + "lastcall-fifo-" + std::to_string(::getpid());
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  Fd reader(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  Fd writer(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  fill(writer.get());
  Pipe error = full_pipe();
  start_with_error(error.write.get(), {"--report", path});  // the deadline is 25 s
  server_->signal(SIGTERM);
  EXPECT_EQ(server_->wait_exit(kSanitized ? 2s : 500ms), std::nullopt) << "it waits for room in the pipe";
  server_->signal(SIGTERM);
  EXPECT_EQ(server_->wait_exit(5s), 0);
  ::unlink(path.c_str());
}

TEST_P(NobodyReads, AReportIntoAPipeThatIsFullEndsAtTheDeadline) {
  std::string path = testing::TempDir() + "lastcall-fifo-" + std::to_string(::getpid());
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  Fd reader(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  Fd writer(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  fill(writer.get());
  Pipe error = full_pipe();
  start_with_error(error.write.get(), {"--deadline", "1s", "--report", path});
  EXPECT_EQ(connect_here().ask(get_request("/plaintext", "Connection: close\r\n")).status, 200);
  expect_in_time(1s, 0);  // nothing was cut off
  ::unlink(path.c_str());
}

}  // namespace
}  // namespace lastcall::e2e
