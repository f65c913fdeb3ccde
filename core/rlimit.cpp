#include <sys/resource.h>

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

}  // namespace lastcall
