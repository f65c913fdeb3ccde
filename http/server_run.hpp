#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include <lastcall/core/error.hpp>
#include <lastcall/http/admin.hpp>
#include <lastcall/http/admission.hpp>
#include <lastcall/http/background.hpp>
#include <lastcall/http/fd_store.hpp>
#include <lastcall/http/predecessor.hpp>
#include <lastcall/http/reactor_threads.hpp>
#include <lastcall/http/reload_thread.hpp>
#include <lastcall/http/server.hpp>
#include <lastcall/http/upgrade.hpp>
#include <lastcall/net/gate.hpp>
#include <lastcall/net/listener.hpp>
#include <lastcall/net/passed_sockets.hpp>
#include <lastcall/shutdown/report.hpp>
#include <lastcall/shutdown/runner.hpp>
#include <lastcall/shutdown/service_notify.hpp>
#include <lastcall/shutdown/service_reporter.hpp>
#include <lastcall/shutdown/signals.hpp>

namespace lastcall {

/// What a run is made from. What it refers to outlives it.
struct RunSetup {
  const void* server;  ///< whose threads they are
  const ServerOptions& options;
  const Router& router;
  const std::vector<Route>& routes;
  std::stop_source drain;               ///< requested when draining begins
  std::atomic<bool>& stopping;          ///< set when a stop begins
  std::function<void()> stop_by_admin;  ///< from the admin thread; returns at once
  std::vector<StopHook> on_shutdown;
  std::vector<StopHook> on_stopped;  ///< in the order to be called
  ReloadHook on_reload;              ///< or empty
  bool owns_process = false;         ///< takes signals, and ends the process at the deadline
};

[[nodiscard]] SessionOptions session_options(const ServerOptions& options);

/// One run of a server: its sockets, its threads, its stop. Made and served on one thread.
class ServerRun {
 public:
  /// Listens and serves from here on. An error names the flag or the address.
  [[nodiscard]] static Result<std::unique_ptr<ServerRun>> open(RunSetup setup);
  ServerRun(const ServerRun&) = delete;
  ServerRun& operator=(const ServerRun&) = delete;

  [[nodiscard]] std::vector<std::string> addresses() const;  ///< with the ports in use
  /// A stop can be asked for from here on: says so in the log and to whoever asks the admin listener.
  void tell_ready();
  /// Leads it through its stop, when one is asked for, and writes the report. Once.
  [[nodiscard]] DrainReport serve();
  /// After serve(): threads are still in code of the user's, and use what is here. It must not be destroyed.
  [[nodiscard]] bool left_behind() const noexcept { return left_behind_; }

  /// What may change of the options is as there from here on. From any thread; false when it is too late.
  bool reload(const ServerOptions& options);

  [[nodiscard]] Runner& runner() noexcept { return *runner_; }
  [[nodiscard]] BackgroundTasks& background() noexcept { return *background_; }
  [[nodiscard]] StopControl& control() noexcept { return threads_->control(); }

 private:
  explicit ServerRun(RunSetup setup);
  void meet_service_manager();
  [[nodiscard]] Result<void> set_up();
  [[nodiscard]] Result<void> listen(uint32_t reactors);
  [[nodiscard]] Result<void> begin(bool uring, uint32_t reactors);
  [[nodiscard]] Result<void> open_admin();
  [[nodiscard]] Result<ListenerGroup> open_group(const Address& address, uint32_t reactors,
                                                 const GateOptions& gate);
  [[nodiscard]] Result<void> inherit(const std::string& text, uint32_t reactors, const GateOptions& gate);
  [[nodiscard]] Result<void> take_over();
  [[nodiscard]] UpgradeOptions upgrade_options();
  [[nodiscard]] std::vector<OfferedListener> offer() const;
  void close_gate();
  void on_predecessor_gone();
  void begin_upgrade();
  void on_signal(int number);
  [[nodiscard]] AdminOptions describe();
  [[nodiscard]] std::function<bool()> watch_fullness() const;
  [[nodiscard]] RunnerOptions runner_options();
  void read_configuration();
  [[nodiscard]] std::string serving() const;
  void end_tasks(DrainReport& report);
  void leave(DrainReport& report);

  RunSetup setup_;
  Instant began_;
  const char* io_ = "epoll";
  uint32_t max_connections_ = 0;
  std::unique_ptr<Admission> admission_;
  std::optional<Signals> signals_;
  std::optional<ServiceNotify> service_;  // where the process is ours to speak for
  std::optional<ServiceReporter> reporter_;
  PassedSockets passed_;
  std::optional<FdStore> store_;  // when it is wanted and there is one
  std::unique_ptr<Predecessor> predecessor_;
  std::optional<Upgrade> upgrade_;
  std::atomic<bool> upgrade_waits_{false};
  std::vector<ListenerGroup> groups_;
  std::vector<std::string> asked_;  // of each group: the text of its address in the options
  std::unique_ptr<ReactorThreads> threads_;
  std::optional<Gate> gate_;
  std::optional<Runner> runner_;
  std::optional<BackgroundTasks> background_;
  std::unique_ptr<AdminListener> admin_;
  std::unique_ptr<ReloadThread> reload_;
  std::mutex reload_mutex_;
  bool reactors_over_ = false;  // guarded by reload_mutex_: nothing may be posted to them any more
  bool left_behind_ = false;
};

}  // namespace lastcall
