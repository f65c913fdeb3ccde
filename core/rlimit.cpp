#include <dirent.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <lastcall/core/check.hpp>
#include <lastcall/core/rlimit.hpp>

namespace lastcall {
namespace {

rlimit get_limit() noexcept {
  rlimit limit{};
  LASTCALL_CHECK(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
  return limit;
}

}  // namespace

uint64_t descriptor_limit() noexcept {
  return get_limit().rlim_cur;
}

uint64_t raise_descriptor_limit() noexcept {
  rlimit limit = get_limit();
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);  // refused only above fs.nr_open: what was in force stays
  return descriptor_limit();
}

uint64_t open_descriptors() noexcept {
  struct stat folder {};
  if (::stat("/proc/self/fd", &folder) != 0) return 0;
  if (folder.st_size > 0) return static_cast<uint64_t>(folder.st_size);  // Linux 6.2
  DIR* entries = ::opendir("/proc/self/fd");
  if (entries == nullptr) return 0;
  uint64_t count = 0;
  while (::readdir(entries) != nullptr) ++count;
  ::closedir(entries);
  return count - 3;  // ".", "..", and the folder's own
}

}  // namespace lastcall
