#include <gtest/gtest.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/resource.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include <lastcall/core/rlimit.hpp>
#include <lastcall/core/thread.hpp>

namespace lastcall {
namespace {

using Quota = std::optional<uint32_t>;

TEST(CpuMax, RoundsUpToWholeCpus) {
  EXPECT_EQ(parse_cpu_max("200000 100000\n"), Quota(2));
  EXPECT_EQ(parse_cpu_max("150000 100000\n"), Quota(2));
  EXPECT_EQ(parse_cpu_max("200001 100000"), Quota(3));
  EXPECT_EQ(parse_cpu_max("1000 100000\n"), Quota(1));
  EXPECT_EQ(parse_cpu_max("9223372036854775807 1"), Quota(1 << 16));
}

TEST(CpuMax, NoLimitOrNonsense) {
  for (std::string_view text :
       {"max 100000\n", "", "\n", "100000", "100000 0", "0 100000", "-5 100000", "a b", "1x 2"})
    EXPECT_EQ(parse_cpu_max(text), std::nullopt) << text;
}

TEST(CfsQuota, MinusOneIsNoLimit) {
  EXPECT_EQ(parse_cfs_quota("-1\n", "100000\n"), std::nullopt);
  EXPECT_EQ(parse_cfs_quota("", ""), std::nullopt);
  EXPECT_EQ(parse_cfs_quota("50000\n", "100000\n"), Quota(1));
  EXPECT_EQ(parse_cfs_quota("250000\n", "100000\n"), Quota(3));
}

TEST(Cgroup, FindsTheTwoPaths) {
  auto v2 = parse_cgroup("0::/system.slice/lastcall.service\n");
  EXPECT_EQ(v2.unified, "/system.slice/lastcall.service");
  EXPECT_EQ(v2.cpu, "");
  auto v1 = parse_cgroup("5:cpuset:/a\n4:cpuacct:/b\n3:cpu,cpuacct:/c:d\n1:name=systemd:/e\n");
  EXPECT_EQ(v1.unified, "");
  EXPECT_EQ(v1.cpu, "/c:d");
  auto hybrid = parse_cgroup("1:cpu:/\n0::/x");
  EXPECT_EQ(hybrid.unified, "/x");
  EXPECT_EQ(hybrid.cpu, "/");
  auto none = parse_cgroup("garbage\n:\n\n");
  EXPECT_EQ(none.unified + none.cpu, "");
}

struct CpuQuotaTest : testing::Test {
  CpuQuotaTest() {
    char name[] = "/tmp/lastcall-cgroup-XXXXXX";
    root = ::mkdtemp(name);
  }
  ~CpuQuotaTest() override { std::filesystem::remove_all(root); }
  void write(const std::string& path, std::string_view text) {
    auto file = std::filesystem::path(root + "/" + path);
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  std::string root;
};

TEST_F(CpuQuotaTest, TightestOfTheBranch) {
  write("cpu.max", "max 100000\n");
  write("a/cpu.max", "200000 100000\n");
  write("a/b/cpu.max", "800000 100000\n");
  EXPECT_EQ(find_cpu_quota({.unified = "/a/b", .cpu = ""}, root), Quota(2));
  EXPECT_EQ(find_cpu_quota({.unified = "/a/b/c", .cpu = ""}, root), Quota(2));
  EXPECT_EQ(find_cpu_quota({.unified = "/", .cpu = ""}, root), std::nullopt);
  EXPECT_EQ(find_cpu_quota({.unified = "/other", .cpu = ""}, root), std::nullopt);
  EXPECT_EQ(find_cpu_quota({}, root), std::nullopt);
}

TEST_F(CpuQuotaTest, Version1AndBoth) {
  write("cpu,cpuacct/docker/cpu.cfs_quota_us", "300000\n");
  write("cpu,cpuacct/docker/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(find_cpu_quota({.unified = "", .cpu = "/docker/1"}, root), Quota(3));
  write("x/cpu.max", "100000 100000\n");
  EXPECT_EQ(find_cpu_quota({.unified = "/x", .cpu = "/docker"}, root), Quota(1));
}

TEST_F(CpuQuotaTest, ContainerThatSeesTheHostsPath) {
  write("cpu/cpu.cfs_quota_us", "400000\n");
  write("cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(find_cpu_quota({.unified = "", .cpu = "/docker/0123"}, root), Quota(4));
}

TEST(Thread, UsableCpusFollowTheAffinityMask) {
  EXPECT_GE(usable_cpus(), 1u);
  EXPECT_LE(usable_cpus(), std::thread::hardware_concurrency());
  uint32_t pinned = 0;
  std::thread([&] {
    ASSERT_TRUE(pin_thread(0));
    pinned = usable_cpus();
  }).join();
  EXPECT_EQ(pinned, 1u);
}

TEST(Thread, PinsToTheIndexOfTheMask) {
  cpu_set_t before;
  ASSERT_EQ(::sched_getaffinity(0, sizeof before, &before), 0);
  const int count = CPU_COUNT(&before);
  int last = 0;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(cpu, &before)) last = cpu;
  std::thread([&] {
    auto pinned = pin_thread(static_cast<uint32_t>(count - 1));
    ASSERT_TRUE(pinned) << pinned.error().message;
    EXPECT_EQ(::sched_getcpu(), last);
    auto beyond = pin_thread(1);
    ASSERT_FALSE(beyond);
    EXPECT_EQ(beyond.error().message, "pin thread: no CPU 1 of the 1 in the affinity mask");
  }).join();
}

TEST(Thread, NamesAreCutAtFifteenBytes) {
  std::thread([] {
    char name[32];
    set_thread_name("reactor-7");
    ASSERT_EQ(::pthread_getname_np(::pthread_self(), name, sizeof name), 0);
    EXPECT_STREQ(name, "reactor-7");
    set_thread_name("0123456789abcdefgh");
    ASSERT_EQ(::pthread_getname_np(::pthread_self(), name, sizeof name), 0);
    EXPECT_STREQ(name, "0123456789abcde");
  }).join();
}

TEST(DescriptorLimit, RaisedToTheHardLimit) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit low = before;
  low.rlim_cur = std::min<rlim_t>(256, before.rlim_max);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
  EXPECT_EQ(descriptor_limit(), low.rlim_cur);
  EXPECT_EQ(raise_descriptor_limit(), before.rlim_max);
  EXPECT_EQ(descriptor_limit(), before.rlim_max);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
}

}  // namespace
}  // namespace lastcall
