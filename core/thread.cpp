#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <iterator>
#include <vector>

#include <lastcall/core/thread.hpp>

namespace lastcall {
namespace {

constexpr size_t kMaxCpus = 1 << 16;  // well above any NR_CPUS of Linux

/// CPU numbers of the calling thread's affinity mask, ascending.
std::vector<uint32_t> allowed_cpus() {
  for (size_t bits = CPU_SETSIZE; bits <= kMaxCpus; bits *= 2) {
    std::vector<cpu_set_t> sets(bits / CPU_SETSIZE);
    const size_t size = sets.size() * sizeof(cpu_set_t);
    if (::sched_getaffinity(0, size, sets.data()) != 0) {
      if (errno == EINVAL) continue;  // the kernel's mask is larger
      break;
    }
    std::vector<uint32_t> cpus;
    for (uint32_t cpu = 0; cpu < bits; ++cpu)
      if (CPU_ISSET_S(cpu, size, sets.data())) cpus.push_back(cpu);
    return cpus;
  }
  return {};
}

std::string read_file(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Takes the next word, up to a blank or line end, off `text`.
std::string_view next_word(std::string_view& text) {
  constexpr std::string_view kBlank = " \t\n";
  text.remove_prefix(std::min(text.find_first_not_of(kBlank), text.size()));
  std::string_view word = text.substr(0, text.find_first_of(kBlank));
  text.remove_prefix(word.size());
  return word;
}

std::optional<int64_t> parse_number(std::string_view word) {
  int64_t value = 0;
  auto [end, failed] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (failed != std::errc() || end != word.data() + word.size()) return std::nullopt;
  return value;
}

std::optional<uint32_t> to_cpus(std::optional<int64_t> quota, std::optional<int64_t> period) {
  if (!quota || !period || *quota <= 0 || *period <= 0) return std::nullopt;
  int64_t cpus = (*quota - 1) / *period + 1;
  return static_cast<uint32_t>(std::min<int64_t>(cpus, kMaxCpus));
}

std::optional<uint32_t> tighter(std::optional<uint32_t> left, std::optional<uint32_t> right) {
  if (!left || !right) return left ? left : right;
  return std::min(*left, *right);
}

/// Calls visit with `root` + `path` and each folder above it, down to `root` itself. Inside a container the
/// path may be the host's and not exist; the root is the container's own cgroup then.
template <class Visit>
std::optional<uint32_t> tightest_of_branch(const std::string& root, std::string path, Visit visit) {
  std::optional<uint32_t> quota;
  while (true) {
    while (path.ends_with('/')) path.pop_back();
    quota = tighter(quota, visit(root + path));
    if (path.empty()) return quota;
    size_t slash = path.rfind('/');
    path.resize(slash == std::string::npos ? 0 : slash);
  }
}

}  // namespace

std::optional<uint32_t> parse_cpu_max(std::string_view text) {
  std::string_view quota = next_word(text);
  return to_cpus(parse_number(quota), parse_number(next_word(text)));
}

std::optional<uint32_t> parse_cfs_quota(std::string_view quota, std::string_view period) {
  return to_cpus(parse_number(next_word(quota)), parse_number(next_word(period)));
}

CgroupPaths parse_cgroup(std::string_view text) {
  CgroupPaths paths;
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    size_t first = line.find(':');
    size_t second = first == std::string_view::npos ? first : line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    std::string controllers = "," + std::string(line.substr(first + 1, second - first - 1)) + ",";
    std::string_view path = line.substr(second + 1);
    if (line.starts_with("0::")) paths.unified = path;
    if (controllers.find(",cpu,") != std::string::npos) paths.cpu = path;
  }
  return paths;
}

std::optional<uint32_t> find_cpu_quota(const CgroupPaths& paths, const std::string& root) {
  auto unified = [](const std::string& folder) { return parse_cpu_max(read_file(folder + "/cpu.max")); };
  auto cpu = [](const std::string& folder) {
    return parse_cfs_quota(read_file(folder + "/cpu.cfs_quota_us"), read_file(folder + "/cpu.cfs_period_us"));
  };
  std::optional<uint32_t> quota;
  if (!paths.unified.empty()) quota = tightest_of_branch(root, paths.unified, unified);
  if (paths.cpu.empty()) return quota;
  for (const char* hierarchy : {"/cpu", "/cpu,cpuacct"})
    quota = tighter(quota, tightest_of_branch(root + hierarchy, paths.cpu, cpu));
  return quota;
}

uint32_t usable_cpus() {
  auto cpus = static_cast<uint32_t>(allowed_cpus().size());
  auto quota = find_cpu_quota(parse_cgroup(read_file("/proc/self/cgroup")), "/sys/fs/cgroup");
  return std::max(1u, quota ? std::min(cpus, *quota) : cpus);
}

void set_thread_name(std::string_view name) noexcept {
  char text[16] = "";  // TASK_COMM_LEN
  std::memcpy(text, name.data(), std::min(name.size(), sizeof text - 1));
  ::pthread_setname_np(::pthread_self(), text);
}

std::vector<uint32_t> pinned_cpus(uint32_t threads) {
  auto cpus = allowed_cpus();
  if (cpus.size() < threads) return {};
  cpus.resize(threads);
  return cpus;
}

Result<void> pin_thread(uint32_t cpu_index) {
  auto cpus = allowed_cpus();
  if (cpu_index >= cpus.size())
    return error("pin thread: no CPU " + std::to_string(cpu_index) + " of the " +
                 std::to_string(cpus.size()) + " in the affinity mask");
  const uint32_t cpu = cpus[cpu_index];
  std::vector<cpu_set_t> sets(cpu / CPU_SETSIZE + 1);
  const size_t size = sets.size() * sizeof(cpu_set_t);
  CPU_SET_S(cpu, size, sets.data());
  if (::sched_setaffinity(0, size, sets.data()) != 0)
    return system_error("pin thread to CPU " + std::to_string(cpu), errno);
  return {};
}

}  // namespace lastcall
