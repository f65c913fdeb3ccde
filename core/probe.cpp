#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/utsname.h>

#include <cerrno>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include <lastcall/core/fd.hpp>
#include <lastcall/core/probe.hpp>
#include <lastcall/core/uring_backend.hpp>

namespace lastcall {
namespace {

constexpr Duration kPatience = 2s;
constexpr std::string_view kMessage = "ping";
constexpr Token kListener{.slot = 0, .generation = 1};
constexpr Token kStream{.slot = 1, .generation = 1};

/// kernel.io_uring_disabled: 0 allowed, 1 for some groups only, 2 nobody. Kernels from 6.6 on that were built
/// with io_uring have it.
std::optional<int> read_disabled_sysctl() {
  FILE* file = std::fopen("/proc/sys/kernel/io_uring_disabled", "re");
  if (file == nullptr) return {};
  int value = 0;
  if (std::fscanf(file, "%d", &value) != 1) value = 0;
  std::fclose(file);
  return value;
}

std::string kernel_release() {
  utsname name{};
  return ::uname(&name) == 0 ? name.release : "unknown";
}

/// Why a ring could not be made.
std::unexpected<Error> explain(const std::system_error& failure) {
  const int code = failure.code().value();
  const std::string what = std::string("io_uring cannot be used: ");
  if (code == EPERM || code == EACCES) {
    const int disabled = read_disabled_sysctl().value_or(0);
    if (disabled != 0) {
      return std::unexpected(
          Error{what + "the sysctl kernel.io_uring_disabled is " + std::to_string(disabled), code});
    }
    return std::unexpected(
        Error{what + "not permitted, probably by a seccomp filter of the container", code});
  }
  if (code == ENOSYS) {
    // What Podman's default profile says of every system call that it does not allow.
    const bool hidden = read_disabled_sysctl().has_value();
    return std::unexpected(Error{what + (hidden ? "hidden, probably by a seccomp filter of the container"
                                                : "the kernel was built without it"),
                                 code});
  }
  if (code == EINVAL) {
    return std::unexpected(
        Error{what + "Linux " + kernel_release() + " lacks what it needs, 6.1 or later has it", code});
  }
  return system_error(what + failure.what(), code);
}

/// A listener on the loopback, of whichever family there is, and a connection to it from this side.
struct Loopback {
  Fd listener;
  Fd client;
};

Result<Loopback> make_loopback(int family) {
  sockaddr_storage address{};
  socklen_t size = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
  address.ss_family = static_cast<sa_family_t>(family);
  if (family == AF_INET) {
    reinterpret_cast<sockaddr_in&>(address).sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  } else {
    reinterpret_cast<sockaddr_in6&>(address).sin6_addr = in6addr_loopback;
  }
  auto* name = reinterpret_cast<sockaddr*>(&address);
  Loopback made{Fd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)),
                Fd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0))};
  if (!made.listener || !made.client) return system_error("probing io_uring: socket", errno);
  if (::bind(made.listener.get(), name, size) != 0 || ::listen(made.listener.get(), 1) != 0 ||
      ::getsockname(made.listener.get(), name, &size) != 0 || ::connect(made.client.get(), name, size) != 0) {
    return system_error("probing io_uring: a loopback connection", errno);
  }
  return made;
}

/// What has been seen of each operation so far.
struct Progress {
  std::optional<int32_t> accepted, received, sent, stopped;

  void operator()(const Event& event) {
    switch (event.token.op) {
      case Op::accept: (event.last ? stopped : accepted) = event.result; break;
      case Op::recv:
        if (!received) received = event.result;
        break;
      case Op::send: sent = event.result; break;
      default: break;
    }
  }
};

Result<int32_t> await(UringBackend& io, Progress& seen, const std::optional<int32_t>& result,
                      const char* what) {
  const Instant end = after(io.now(), kPatience);
  while (!result && !(seen.stopped && &result == &seen.accepted) && io.now() < end) io.wait(end, seen);
  if (result && *result >= 0) return *result;
  const int code = result ? -*result : seen.stopped ? -*seen.stopped : ETIME;
  return system_error(
      std::string("io_uring cannot be used: ") + what + " does not work on Linux " + kernel_release(), code);
}

/// One connection accepted, four bytes back and forth.
Result<void> exchange(UringBackend& io, Loopback& loopback, Progress& seen) {
  io.accept_start(kListener, loopback.listener.get());
  Result<int32_t> fd = await(io, seen, seen.accepted, "multishot accept");
  if (!fd) return std::unexpected(fd.error());
  Fd stream(*fd);
  io.recv_start(kStream, stream.get());
  iovec iov{const_cast<char*>(kMessage.data()), kMessage.size()};
  if (::send(loopback.client.get(), kMessage.data(), kMessage.size(), MSG_NOSIGNAL) < 0) {
    return system_error("probing io_uring: send", errno);
  }
  Result<int32_t> done = await(io, seen, seen.received, "multishot receive");
  if (!done) return std::unexpected(done.error());
  if (!io.send(kStream, stream.get(), {&iov, 1}).pending)
    return error("io_uring cannot be used: send is not queued");
  done = await(io, seen, seen.sent, "send");
  if (!done) return std::unexpected(done.error());
  char back[kMessage.size()];
  if (::recv(loopback.client.get(), back, sizeof back, MSG_WAITALL) != ssize_t{sizeof back}) {
    return error("io_uring cannot be used: what was sent did not arrive");
  }
  return {};
}

}  // namespace

Result<void> probe_uring() try {
  Result<Loopback> loopback = make_loopback(AF_INET);
  if (!loopback) loopback = make_loopback(AF_INET6);
  if (!loopback) return std::unexpected(loopback.error());
  Progress seen;
  UringBackend io({.buffers = 8, .submissions = 8, .completions = 16});
  return exchange(io, *loopback, seen);
} catch (const std::system_error& failure) {
  return explain(failure);
}

}  // namespace lastcall
