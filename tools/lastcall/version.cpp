#include "version.hpp"

#include <nlohmann/json.hpp>
#include <sys/utsname.h>

#include <lastcall/core/probe.hpp>
#include <lastcall/core/thread.hpp>
#include <lastcall/core/version.hpp>

namespace lastcall::tool {

std::string describe_version(bool json) {
  utsname system{};
  ::uname(&system);
  Result<void> uring = probe_uring();
#ifdef __clang__
  const std::string compiler = "clang " __clang_version__;
#else
  const std::string compiler = "g++ " __VERSION__;
#endif
#ifdef NDEBUG
  const std::string build = "release";
#else
  const std::string build = "debug";
#endif
  if (json) {
    return nlohmann::json{{"version", version()},
                          {"compiler", compiler},
                          {"build", build},
                          {"kernel", system.release},
                          {"liburing", LASTCALL_LIBURING_VERSION},
                          {"io", uring ? "io_uring" : "epoll"},
                          {"io_uring_refused", uring ? "" : uring.error().message},
                          {"usable_cpus", usable_cpus()}}
        .dump();
  }
  std::string text = "lastcall " + std::string(version()) + "\n";
  text += "build   " + build + ", " + compiler + "\n";
  text += "kernel  " + std::string(system.release) + ", " + std::to_string(usable_cpus()) + " usable CPUs\n";
  text += "io      " + (uring ? std::string("io_uring (liburing " LASTCALL_LIBURING_VERSION ")")
                              : "epoll: " + uring.error().message);
  return text;
}

}  // namespace lastcall::tool
