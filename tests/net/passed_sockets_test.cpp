#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <vector>

#include <lastcall/core/log.hpp>
#include <lastcall/net/passed_sockets.hpp>

namespace lastcall {
namespace {

/// Runs `check` in a child of which 3, 4, … are sockets, as they would have been passed; it returns what is
/// wrong, or nothing.
template <class Check>
void with_passed(int count, const char* count_text, const char* names, Check check, bool ours = true) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    log_configure(LogFormat::text, LogLevel::off);
    const int socket = ::socket(AF_UNIX, SOCK_STREAM, 0);
    const int kept = ::fcntl(socket, F_DUPFD, 100);
    for (int i = 0; i < 20; ++i) i < count ? ::dup2(kept, 3 + i) : ::close(3 + i);
    ::setenv("LISTEN_PID", std::to_string(ours ? ::getpid() : ::getppid()).c_str(), 1);
    ::setenv("LISTEN_FDS", count_text, 1);
    names != nullptr ? ::setenv("LISTEN_FDNAMES", names, 1) : ::unsetenv("LISTEN_FDNAMES");
    const std::string wrong = check();
    if (!wrong.empty()) ::dprintf(STDERR_FILENO, "%s\n", wrong.c_str());
    ::_exit(wrong.empty() ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/// "3 5" for what a text stands for, or "error: …".
std::string descriptors(PassedSockets& passed, std::string_view text) {
  Result<std::vector<Address>> addresses = passed.resolve(text);
  if (!addresses) return "error: " + addresses.error().message;
  std::string found;
  for (const Address& address : *addresses) found += (found.empty() ? "" : " ") + std::to_string(address.fd);
  return found;
}

std::string differ(const std::string& got, const std::string& wanted) {
  return got == wanted ? "" : "got '" + got + "' and wanted '" + wanted + "'";
}

TEST(PassedSockets, OfOneNameInTheirOrder) {
  with_passed(4, "4", "web:admin:web:web", [] {
    PassedSockets passed = PassedSockets::take();
    for (const char* name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) {
      if (std::getenv(name) != nullptr) return std::string(name) + " is left for children";
    }
    if ((::fcntl(5, F_GETFD) & FD_CLOEXEC) == 0) return std::string("a child would inherit it");
    std::string wrong = differ(descriptors(passed, "fd:web"), "3 5 6");
    if (wrong.empty()) wrong = differ(descriptors(passed, "fd:admin"), "4");
    return wrong;
  });
}

TEST(PassedSockets, ANameThatWasNotPassedOrIsTaken) {
  with_passed(2, "2", "web:admin", [] {
    PassedSockets passed = PassedSockets::take();
    const std::string passed_were =
        ": no socket of that name was passed that is not in use; passed were: web admin";
    std::string wrong = differ(descriptors(passed, "fd:other"), "error: listen fd:other" + passed_were);
    if (wrong.empty()) wrong = differ(descriptors(passed, "fd:web"), "3");
    if (wrong.empty()) wrong = differ(descriptors(passed, "fd:web"), "error: listen fd:web" + passed_were);
    return wrong;
  });
}

TEST(PassedSockets, WhatNobodyAskedForIsClosed) {
  with_passed(3, "3", "web:rest:rest", [] {
    PassedSockets passed = PassedSockets::take();
    std::string wrong = differ(descriptors(passed, "fd:4"), "4");
    passed.close_rest();
    if (wrong.empty() && ::fcntl(4, F_GETFD) < 0) wrong = "closed, though it was asked for by its number";
    if (wrong.empty() && (::fcntl(3, F_GETFD) >= 0 || ::fcntl(5, F_GETFD) >= 0)) wrong = "still open";
    return wrong;
  });
}

TEST(PassedSockets, OfAnotherProcessAreNotOurs) {
  const auto untouched = [] {
    PassedSockets passed = PassedSockets::take();
    if ((::fcntl(3, F_GETFD) & FD_CLOEXEC) != 0) return std::string("touched");
    return differ(descriptors(passed, "fd:web"),
                  "error: listen fd:web: no socket of that name was passed, nor any other");
  };
  with_passed(1, "1", "web", untouched, false);
}

TEST(PassedSockets, CountsThatMakeNoSense) {
  for (const char* count : {"", "x", "-1", "1025", "99999999999", "1 "}) {
    with_passed(1, count, "web", [] {
      PassedSockets passed = PassedSockets::take();
      return differ(descriptors(passed, "fd:web"),
                    "error: listen fd:web: no socket of that name was passed, nor any other");
    });
  }
}

TEST(PassedSockets, FewerNamesOrDescriptorsThanSockets) {
  with_passed(2, "3", "web", [] {
    PassedSockets passed = PassedSockets::take();
    std::string wrong = differ(descriptors(passed, "fd:web"), "3");
    if (wrong.empty()) wrong = differ(descriptors(passed, "fd:unknown"), "4");
    return wrong;
  });
  with_passed(1, "1", nullptr, [] {
    PassedSockets passed = PassedSockets::take();
    return differ(descriptors(passed, "fd:unknown"), "3");
  });
}

TEST(PassedSockets, OtherAddressesAreWhatTheyWere) {
  PassedSockets none;
  EXPECT_EQ(descriptors(none, "fd:77"), "77");
  EXPECT_EQ(none.resolve("127.0.0.1:80")->front().port(), 80);
  for (const char* text : {"fd:", "fd:-1", "fd: 3", "fd:3x", "nonsense"})
    EXPECT_EQ(none.resolve(text).error().message, parse_address(text).error().message) << text;
}

}  // namespace
}  // namespace lastcall
