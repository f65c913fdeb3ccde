#pragma once

#include <sys/types.h>

#include <cstdint>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <lastcall/core/fd.hpp>
#include <lastcall/core/time.hpp>

namespace lastcall {

/// What a service manager gives its service, by environment variables: sd_notify(3), sd_watchdog_enabled(3).
struct ServiceEnvironment {
  std::string socket{};    ///< NOTIFY_SOCKET: a path, or @ and an abstract name; empty: nobody listens
  Duration watchdog = 0s;  ///< WATCHDOG_USEC: it wants a sign of life within each such time; 0: it does not
  std::string watchdog_text{};  ///< as it was given

  /// Reads them and removes them, so that children do not speak for us. Not while another thread reads the
  /// environment: call it before there are others.
  [[nodiscard]] static ServiceEnvironment take();
};

/// Tells the service manager how the service does, after the protocol of sd_notify(3): datagrams of
/// NAME=value lines. Without a manager nothing happens. Never blocks: what there is no room for is lost, and
/// the first failure is logged. From any thread.
class ServiceNotify {
 public:
  explicit ServiceNotify(ServiceEnvironment environment);
  ServiceNotify(const ServiceNotify&) = delete;
  ServiceNotify& operator=(const ServiceNotify&) = delete;

  [[nodiscard]] bool wanted() const noexcept { return static_cast<bool>(socket_); }
  /// 0s: no sign of life is wanted.
  [[nodiscard]] Duration watchdog() const noexcept { return wanted() ? environment_.watchdog : 0s; }

  /// It serves; `status` is for people and has no line break. Also after reloading().
  void ready(std::string_view status);
  /// Its configuration is being read again: ready() follows.
  void reloading(Instant now);
  /// It has begun to stop; nothing of ready() and reloading() is told from here on.
  void stopping(std::string_view status, Duration extension);
  /// How far it is. `extension`: how long the manager should wait for the next word before it gives up on us.
  void progress(std::string_view status, Duration extension);
  void alive();
  /// Another process is the service from here on, and tells the rest itself.
  void hand_over(pid_t successor);
  /// Has the manager keep descriptors for the service, under a name without colons, and give them to the next
  /// process that is started: at most 253 of them.
  void keep(std::string_view name, std::span<const int> descriptors);

  /// … and to keep what has that name no longer.
  void forget(std::string_view name);

  /// "NAME=value" of what was taken from the environment, for a process that is to be the service.
  [[nodiscard]] std::vector<std::string> environment() const;

 private:
  void send(const std::string& message, std::span<const int> descriptors = {});
  void complain(int code);

  ServiceEnvironment environment_;
  Fd socket_;
  std::mutex mutex_;  // guards what follows, and the order of what is told
  bool stopping_ = false;
  bool handed_over_ = false;
  bool complained_ = false;
};

}  // namespace lastcall
