#pragma once

#include <signal.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <lastcall/core/error.hpp>

namespace lastcall {

/// CPUs that this process can keep busy: its affinity mask, cut to the CPU quota of its cgroup (v1 or v2, the
/// tightest of the whole branch, rounded up). At least 1.
[[nodiscard]] uint32_t usable_cpus();

/// Blocks every signal of this thread for a while; a thread made meanwhile starts that way.
class SignalsBlocked {
 public:
  SignalsBlocked() noexcept {
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_{};
};

/// Names the calling thread for top(1) and gdb; the kernel keeps the first 15 bytes.
void set_thread_name(std::string_view name) noexcept;

/// Binds the calling thread to the i-th CPU (from 0) of its affinity mask. Threads it makes afterwards
/// inherit that.
[[nodiscard]] Result<void> pin_thread(uint32_t cpu_index);

/// The CPUs that pin_thread(0) to pin_thread(threads - 1) bind to; empty when there are not so many.
[[nodiscard]] std::vector<uint32_t> pinned_cpus(uint32_t threads);

// The parts of usable_cpus() that read text; nullopt means no limit.

/// Whole CPUs, rounded up and at least 1, of cgroup v2's cpu.max: "MAX PERIOD" in microseconds, or "max
/// PERIOD".
[[nodiscard]] std::optional<uint32_t> parse_cpu_max(std::string_view text);
/// The same of cgroup v1's cpu.cfs_quota_us (-1: no limit) and cpu.cfs_period_us.
[[nodiscard]] std::optional<uint32_t> parse_cfs_quota(std::string_view quota, std::string_view period);

/// Where a process is, from the text of /proc/self/cgroup (cgroups(7)); empty when it has no such line.
struct CgroupPaths {
  std::string unified;  ///< of the line "0::PATH"
  std::string cpu;      ///< of the v1 line whose controllers include "cpu"
};
[[nodiscard]] CgroupPaths parse_cgroup(std::string_view text);

/// The tightest quota from `paths` up to the root of the file system of cgroups at `root`.
[[nodiscard]] std::optional<uint32_t> find_cpu_quota(const CgroupPaths& paths, const std::string& root);

}  // namespace lastcall
