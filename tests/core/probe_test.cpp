#include <dirent.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <string>
#include <thread>

#include <lastcall/core/probe.hpp>

namespace lastcall {
namespace {

int count_open_descriptors() {
  int count = 0;
  DIR* folder = ::opendir("/proc/self/fd");
  while (::readdir(folder) != nullptr) ++count;
  ::closedir(folder);
  return count;
}

/// From here on io_uring_setup answers with this errno, as under the default filters of container engines.
void forbid_io_uring(int code) {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(code)),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  sock_fprog filter{.len = std::size(program), .filter = program};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) std::_Exit(70);
  if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) std::_Exit(71);
}

void forbid_descriptors() {
  rlimit none{.rlim_cur = 3, .rlim_max = 3};
  if (::setrlimit(RLIMIT_NOFILE, &none) != 0) std::_Exit(72);
}

/// Probes in a process of its own, exits with what was found.
void probe_and_exit() {
  Result<void> works = probe_uring();
  std::fprintf(stderr, "%s (%d)\n", works ? "works" : works.error().message.c_str(),
               works ? 0 : works.error().code);
  std::exit(works ? 0 : 1);
}

TEST(Probe, AnswersInOneSentenceOrWorks) {
  Result<void> works = probe_uring();
  if (works) return;
  EXPECT_FALSE(works.error().message.empty());
  EXPECT_EQ(works.error().message.find('\n'), std::string::npos);
  GTEST_SKIP() << works.error().message;
}

TEST(Probe, LeavesNothingBehind) {
  (void)probe_uring();
  int before = count_open_descriptors();
  for (int i = 0; i < 3; ++i) (void)probe_uring();
  EXPECT_EQ(count_open_descriptors(), before);
}

TEST(Probe, WorksFromAnyThread) {
  bool here = probe_uring().has_value();
  bool there = !here;
  std::jthread([&] { there = probe_uring().has_value(); }).join();
  EXPECT_EQ(here, there);
}

TEST(ProbeDeathTest, NamesTheSeccompFilter) {
  EXPECT_EXIT(
      {
        forbid_io_uring(EPERM);
        probe_and_exit();
      },
      testing::ExitedWithCode(1), "io_uring cannot be used: (not permitted|the sysctl).* \\(1\\)");
}

TEST(ProbeDeathTest, NamesAKernelWithoutItOrTheFilterThatHidesIt) {
  const bool built_in = ::access("/proc/sys/kernel/io_uring_disabled", F_OK) == 0;  // from Linux 6.6 on
  EXPECT_EXIT(
      {
        forbid_io_uring(ENOSYS);
        probe_and_exit();
      },
      testing::ExitedWithCode(1),
      built_in ? "hidden, probably by a seccomp filter of the container \\(38\\)"
               : "built without it \\(38\\)");
}

TEST(ProbeDeathTest, NamesAKernelThatIsTooOld) {
  EXPECT_EXIT(
      {
        forbid_io_uring(EINVAL);
        probe_and_exit();
      },
      testing::ExitedWithCode(1), "6.1 or later has it \\(22\\)");
}

TEST(ProbeDeathTest, RunningOutOfDescriptorsIsAnError) {
  EXPECT_EXIT(
      {
        forbid_descriptors();
        probe_and_exit();
      },
      testing::ExitedWithCode(1), "Too many open files \\(24\\)");
}

}  // namespace
}  // namespace lastcall
