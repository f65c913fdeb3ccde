#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>
#include <thread>
#include <utility>

#include <lastcall/core/clock.hpp>
#include <lastcall/core/log.hpp>
#include <lastcall/core/probe.hpp>
#include <lastcall/core/rlimit.hpp>
#include <lastcall/core/thread.hpp>
#include <lastcall/http/fullness.hpp>
#include <lastcall/http/server_run.hpp>

namespace lastcall {
namespace {

constexpr uint64_t kReservedDescriptors = 64;  // for logs, event descriptors, what handlers open
constexpr uint32_t kMostConnections = 1u << 24;
constexpr size_t kMostListeners = 64;  // what a worker has slots for

uint32_t connection_limit(const ServerOptions& options, uint32_t reactors) {
  if (options.max_connections != 0) return std::min(options.max_connections, kMostConnections);
  uint64_t reserved = kReservedDescriptors + reactors * (8 + options.listen.size());
  if (!options.admin.empty()) reserved += AdminListener::kDescriptors;
  uint64_t limit = descriptor_limit();
  uint64_t usable = limit > 2 * reserved ? limit - reserved : limit / 2;
  return static_cast<uint32_t>(std::clamp<uint64_t>(usable, 1, kMostConnections));
}

/// Whether the report can be written at the end, as far as can be seen at the start.
Result<void> check_report(const std::string& path) {
  if (path.empty() || path == "-") return {};
  std::string folder = std::filesystem::path(path).parent_path().string();
  if (folder.empty()) folder = ".";
  bool is_folder = std::filesystem::is_directory(path);
  if (is_folder || ::access(folder.c_str(), W_OK | X_OK) != 0) {
    return system_error("report " + path, is_folder ? EISDIR : errno);
  }
  return {};
}

Result<void> check_signals(const std::vector<int>& signals) {
  for (int number : signals) {
    if (std::ranges::find(Signals::kAll, number) == Signals::kAll.end())
      return error("signals: " + signal_name(number) + " is none of TERM, INT, QUIT, HUP, USR1, USR2");
  }
  return {};
}

Result<void> check(const ServerOptions& options) {
  if (options.listen.empty()) return error("no address to listen on");
  if (options.listen.size() > HandoverChannel::kMaxListeners)
    return error("--listen: more than " + std::to_string(HandoverChannel::kMaxListeners) + " addresses");
  if (options.offload_threads == 0) return error("offload_threads: there must be at least 1");
  if (options.background_threads == 0) return error("background_threads: there must be at least 1");
  if (Result<void> checked = check_report(options.report); !checked) return checked;
  return check_signals(options.signals);
}

/// The backend to use, or why not. Says in one line when it falls back.
Result<bool> choose_uring(IoChoice choice) {
  if (choice == IoChoice::epoll) return false;
  // On a thread of its own: the end of its ring interrupts waits of the thread that made it, a moment later.
  Result<void> probe;
  std::thread([&probe] { probe = probe_uring(); }).join();
  if (probe) return true;
  if (choice == IoChoice::io_uring) return error("--io io_uring: " + probe.error().message);
  log_event(LogLevel::info, "io_fallback", {{"io", "epoll"}, {"why", probe.error().message}});
  return false;
}

/// Until when user's code is waited for at the end: of the time that is left, some is for the report.
Instant leave_time_for_report(Instant deadline) {
  constexpr Duration kReportTime = 50ms;
  const Duration left = std::max<Duration>(deadline - monotonic_now(), 0s);
  return deadline - std::min(kReportTime, left / 2);
}

Result<void> call(ReloadHook& hook) {
  try {
    return hook();
  } catch (const std::exception& thrown) {
    return error(thrown.what());
  } catch (...) {
    return error("not a std::exception");
  }
}

void log_listening(const ListenerGroup& group, uint32_t reactors, const char* io, uint32_t max_connections) {
  log_event(LogLevel::info, "listening",
            {{"address", group.text()},
             {"reactors", reactors},
             {"io", io},
             {"gate", to_string(group.tier())},
             {"max_connections", max_connections}});
  if (group.gate_note().empty()) return;
  log_event(LogLevel::info, "gate_fallback",
            {{"address", group.text()}, {"gate", to_string(group.tier())}, {"why", group.gate_note()}});
}

}  // namespace

SessionOptions session_options(const ServerOptions& options) {
  return {.limits = options.limits,
          .header_timeout = options.header_timeout,
          .body_timeout = options.body_timeout,
          .idle_timeout = options.idle_timeout};
}

ServerRun::ServerRun(RunSetup setup) : setup_(std::move(setup)), began_(monotonic_now()) {}

Result<std::unique_ptr<ServerRun>> ServerRun::open(RunSetup setup) {
  std::unique_ptr<ServerRun> run(new ServerRun(std::move(setup)));
  if (run->setup_.owns_process) {
    Result<std::unique_ptr<Predecessor>> predecessor = Predecessor::find();
    if (!predecessor) return std::unexpected(predecessor.error());
    run->predecessor_ = std::move(*predecessor);
  }
  if (Result<void> done = run->set_up(); !done) {
    if (run->predecessor_) run->predecessor_->refuse(done.error().message);
    return std::unexpected(done.error());
  }
  return run;
}

Result<void> ServerRun::set_up() {
  const ServerOptions& options = setup_.options;
  if (Result<void> checked = check(options); !checked) return checked;
  const uint32_t reactors = options.reactors != 0 ? options.reactors : usable_cpus();
  Result<bool> uring = choose_uring(options.io);
  if (!uring) return std::unexpected(uring.error());
  Result<std::unique_ptr<Admission>> admission = Admission::make(options);
  if (!admission) return std::unexpected(admission.error());
  admission_ = std::move(*admission);
  if (setup_.owns_process) meet_service_manager();
  // Threads made from here on take no signals: with Signals, or because all are blocked meanwhile.
  std::optional<SignalsBlocked> blocked;
  if (!setup_.owns_process) {
    blocked.emplace();
  } else if (!options.signals.empty()) {
    signals_.emplace(options.signals);
  }
  raise_descriptor_limit();
  if (Result<void> listening = listen(reactors); !listening) return listening;
  if (Result<void> begun = begin(*uring, reactors); !begun) return begun;
  return predecessor_ ? take_over() : Result<void>();
}

Result<void> ServerRun::listen(uint32_t reactors) {
  const ServerOptions& options = setup_.options;
  GateOptions gate{.tier = options.gate, .cpus = {}};
  if (options.pin) gate.cpus = pinned_cpus(reactors);
  for (const std::string& text : options.listen) {
    const size_t before = groups_.size();
    if (Result<void> inherited = inherit(text, reactors, gate); !inherited) return inherited;
    if (groups_.size() > before) continue;
    Result<std::vector<Address>> addresses = passed_.resolve(text);
    if (!addresses) return std::unexpected(addresses.error());
    for (const Address& address : *addresses) {
      Result<ListenerGroup> group = open_group(address, reactors, gate);
      if (!group) return std::unexpected(group.error());
      group->set_preface(Admission::preface(options, text));
      groups_.push_back(std::move(*group));
      asked_.push_back(text);
    }
  }
  if (groups_.size() > kMostListeners)
    return error("listen: more than " + std::to_string(kMostListeners) + " sockets");
  return {};
}

/// Goes on with the predecessor's sockets, where it has them: of a name all, else one address.
Result<void> ServerRun::inherit(const std::string& text, uint32_t reactors, const GateOptions& gate) {
  if (!predecessor_) return {};
  const bool named = PassedSockets::is_named(text);
  while (std::optional<ListenerParts<Fd>> parts = predecessor_->take(text, false)) {
    Address address;
    address.kind = Address::Kind::inherited;
    address.text = text;
    if (!named) {
      Result<Address> parsed = parse_address(text);
      if (!parsed) return std::unexpected(parsed.error());
      address = std::move(*parsed);
    }
    Result<ListenerGroup> group = ListenerGroup::inherit(address, std::move(*parts), reactors, gate);
    if (!group) return std::unexpected(group.error());
    group->set_preface(Admission::preface(setup_.options, text));
    groups_.push_back(std::move(*group));
    asked_.push_back(text);
    if (!named) break;
  }
  return {};
}

Result<ListenerGroup> ServerRun::open_group(const Address& address, uint32_t reactors,
                                            const GateOptions& gate) {
  const int backlog = setup_.options.backlog;
  std::optional<Address> kept;
  if (store_) {
    Result<std::optional<Address>> listening = store_->listen(address, backlog);
    if (!listening) return std::unexpected(listening.error());
    kept = std::move(*listening);
  }
  return ListenerGroup::open(kept ? *kept : address, reactors, backlog, gate);
}

/// What it gives by the environment, before there is another thread.
void ServerRun::meet_service_manager() {
  service_.emplace(ServiceEnvironment::take());
  passed_ = PassedSockets::take();
  if (!setup_.options.fd_store) return;
  if (service_->wanted()) {
    store_.emplace(passed_, *service_);
  } else {
    log_event(LogLevel::warning, "no_fd_store", {{"why", "NOTIFY_SOCKET is not set"}});
  }
}

Result<void> ServerRun::begin(bool uring, uint32_t reactors) {
  const ServerOptions& options = setup_.options;
  if (uring) io_ = "io_uring";
  max_connections_ = connection_limit(options, reactors);
  threads_ =
      std::make_unique<ReactorThreads>(setup_.server, options, *admission_, reactors, max_connections_);
  gate_.emplace(groups_, threads_->control());
  if (service_ && service_->wanted()) reporter_.emplace(threads_->control(), *service_);
  if (service_ && service_->watchdog() > 0s) threads_->measure_lag();
  if (setup_.owns_process) upgrade_.emplace(upgrade_options());
  runner_.emplace(threads_->control(), runner_options());
  background_.emplace(threads_->control(), runner_->tasks(),
                      BackgroundTasks::Options{.threads = options.background_threads,
                                               .queue = options.background_queue,
                                               .most = options.max_background_tasks,
                                               .hooks = static_cast<uint32_t>(setup_.on_shutdown.size()),
                                               .begin = [server = setup_.server] { work_for(server); }});
  if (setup_.on_reload && signals_)
    reload_ = std::make_unique<ReloadThread>([this] { read_configuration(); });
  // The first to answer and the last to leave: whoever watches the process sees all of its life.
  if (Result<void> opened = open_admin(); !opened) return opened;
  if (store_) store_->forget_rest();
  passed_.close_rest();
  return threads_->start(setup_.router, setup_.routes, groups_, *background_, uring, predecessor_ != nullptr);
}

/// Everything runs: as soon as the predecessor knows that, newcomers are ours, and it stops.
Result<void> ServerRun::take_over() {
  if (Result<void> go = predecessor_->await_go(); !go) {
    threads_->control().enter(Phase::stopped, {}, "start failed");
    static_cast<void>(threads_->release(monotonic_now() + 1s));
    return go;
  }
  threads_->listen();
  threads_->sweep_listeners(true);
  if (admin_) admin_->share(true);
  if (admin_) admin_->set_serving();  // its connections come, too
  predecessor_->receive(
      [this](Fd connection, std::string note) { threads_->adopt(std::move(connection), std::move(note)); },
      [this](Fd connection) {
        if (admin_) admin_->adopt(std::move(connection));
      },
      [this] { on_predecessor_gone(); });
  return {};
}

/// On the predecessor's thread: all that it handed over is in the mailboxes.
void ServerRun::on_predecessor_gone() {
  threads_->sweep_listeners(false);
  if (admin_) admin_->share(false);
  if (upgrade_waits_.exchange(false)) ::kill(::getpid(), SIGUSR2);
}

/// One replacement after the other: what is handed over to this process must not have to go on at once.
void ServerRun::begin_upgrade() {
  upgrade_waits_.store(predecessor_ && !predecessor_->gone());
  if (!upgrade_waits_ || (predecessor_->gone() && upgrade_waits_.exchange(false))) return upgrade_->begin();
  log_event(LogLevel::info, "upgrade_postponed", {{"why", "the former process has not gone yet"}});
}

UpgradeOptions ServerRun::upgrade_options() {
  return {.limit = setup_.options.upgrade_timeout,
          .environment = service_ ? service_->environment() : std::vector<std::string>(),
          .offer = [this] { return offer(); },
          .hand_over =
              [this](HandoverChannel& successor, std::span<const uint32_t> taken) {
                uint64_t listeners = 0;
                for (const uint32_t one : taken) {
                  if (one < groups_.size()) listeners |= uint64_t{1} << one;
                }
                threads_->control().hand_over(successor, listeners);
              },
          .stop =
              [this](HandoverChannel& successor, std::span<const uint32_t> taken, pid_t pid) {
                if (service_) service_->hand_over(pid);
                // First of all: who asks whether this server is ready means the address, which is the
                // successor's now.
                const bool admin_taken = std::ranges::find(taken, groups_.size()) != taken.end();
                if (admin_ && admin_taken) admin_->hand_over(successor);
                StopOptions stop = runner_->stop_options();
                stop.announce = 0s;
                runner_->request_stop(stop, "SIGUSR2");
              }};
}

/// What a successor may have: the addresses in their order, and the admin listener.
std::vector<OfferedListener> ServerRun::offer() const {
  std::vector<OfferedListener> offered;
  const auto add = [&offered](const std::string& address, bool admin, ListenerParts<int> parts) {
    offered.push_back({.description = {.address = address,
                                       .admin = admin,
                                       .tier = std::string(to_string(parts.tier)),
                                       .gate_note = parts.gate_note,
                                       .sockets = static_cast<uint32_t>(parts.sockets.size())},
                       .parts = std::move(parts)});
  };
  for (size_t i = 0; i < groups_.size(); ++i) add(asked_[i], false, groups_[i].parts());
  if (admin_) add(setup_.options.admin, true, admin_->parts());
  return offered;
}

/// What the successor has needs no gate.
void ServerRun::close_gate() {
  if (upgrade_) {
    for (const uint32_t one : upgrade_->taken()) {
      if (one < groups_.size()) groups_[one].hand_over();
    }
  }
  gate_->close();
}

/// On the runner's thread: must return soon.
void ServerRun::on_signal(int number) {
  if (number == SIGUSR2 && upgrade_) return begin_upgrade();
  if (number != SIGHUP || !reload_) {
    log_event(LogLevel::info, "signal_ignored", {{"signal", signal_name(number)}});
  } else if (!reload_->request()) {
    log_event(LogLevel::info, "signal_ignored",
              {{"signal", signal_name(number)}, {"why", "the server is stopping"}});
  }
}

RunnerOptions ServerRun::runner_options() {
  return {
      .stop = setup_.options.stop,
      .signals = signals_ ? &*signals_ : nullptr,
      .io = io_,
      .service = reporter_ ? &*reporter_ : nullptr,
      .on_begin =
          [this] {
            setup_.stopping.store(true, std::memory_order_relaxed);
            if (reload_) reload_->close();
            if (upgrade_) upgrade_->end_attempt();
            if (predecessor_) predecessor_->close_input();
            background_->run_hooks(std::move(setup_.on_shutdown));
          },
      .on_force = [this] { background_->cancel(); },
      .close_tasks = [this](bool in_any_case) { return background_->close(in_any_case); },
      .on_drain =
          [this] {
            close_gate();
            background_->request(setup_.drain);
          },
      .name_peer = peer_address,
      .end_queue = [this](uint32_t reactor) { return threads_->end_queue(reactor, !setup_.owns_process); },
      .on_signal = [this](int number) { on_signal(number); },
      .leave_at_deadline = setup_.owns_process};
}

/// On the thread for that.
void ServerRun::read_configuration() {
  work_for(setup_.server);
  if (service_) service_->reloading(monotonic_now());
  const Result<void> read = call(setup_.on_reload);
  if (!read) log_event(LogLevel::error, "reload_failed", {{"error", read.error().message}});
  if (service_) service_->ready(read ? serving() : serving() + "; the last reload failed");
}

/// For people, in one line.
std::string ServerRun::serving() const {
  std::string text = "serving on";
  for (const ListenerGroup& group : groups_) text += " " + group.text();
  return text + ", " + io_ + ", reactors: " + std::to_string(threads_->control().reactors());
}

bool ServerRun::reload(const ServerOptions& options) {
  const std::lock_guard lock(reload_mutex_);
  if (reactors_over_) return false;
  runner_->set_stop_options(options.stop);
  admission_->reload(options);
  threads_->reload(options, connection_limit(options, threads_->control().reactors()));
  return true;
}

/// Listens and answers from here on; nothing when it is not wanted.
Result<void> ServerRun::open_admin() {
  if (setup_.options.admin.empty()) return {};
  std::string text = setup_.options.admin;
  std::optional<ListenerParts<Fd>> parts = predecessor_ ? predecessor_->take(text, true) : std::nullopt;
  if (!parts) {
    Result<std::vector<Address>> addresses = passed_.resolve(text);
    if (!addresses) return error("--admin: " + addresses.error().message);
    if (addresses->size() > 1) return error("--admin " + text + ": is more than one socket");
    if (addresses->front().kind == Address::Kind::inherited)
      text = "fd:" + std::to_string(addresses->front().fd);
  } else if (PassedSockets::is_named(text)) {
    text = "fd:0";  // the parts are what counts
  }
  Result<ListenerGroup> group = AdminListener::listen(text, std::move(parts));
  if (!group) return std::unexpected(group.error());
  admin_ = std::make_unique<AdminListener>(std::move(*group), describe());
  return admin_->start(predecessor_ != nullptr);
}

/// What the admin listener tells of: the server that is about to begin.
AdminOptions ServerRun::describe() {
  AdminOptions admin{.control = threads_->control(),
                     .io = io_,
                     .began = began_,
                     .listeners = {},
                     .drain = setup_.stop_by_admin,
                     .session = session_options(setup_.options),
                     .write_timeout = setup_.options.write_timeout,
                     .server_name = setup_.options.server_name,
                     .desks = &threads_->desks()};
  if (setup_.options.unready_when_full) admin.full = watch_fullness();
  if (upgrade_ && std::ranges::find(setup_.options.signals, SIGUSR2) != setup_.options.signals.end()) {
    admin.upgrade = [] { ::kill(::getpid(), SIGUSR2); };  // it has to begin where stops begin
    admin.upgrade_status = [this] { return upgrade_->status(); };
  }
  for (const ListenerGroup& group : groups_) {
    admin.listeners.push_back({group.text(), std::string(to_string(group.tier())), group.gate_note()});
  }
  return admin;
}

/// Whether there is no room for more, at each look.
std::function<bool()> ServerRun::watch_fullness() const {
  return [this, connections = Fullness(), requests = Fullness()]() mutable {
    uint64_t open = 0;
    for (uint32_t i = 0; i < threads_->control().reactors(); ++i) {
      const ReactorCounters& counters = threads_->control().counters(i);
      open += counters.active.load(std::memory_order_relaxed) + counters.idle.load(std::memory_order_relaxed);
    }
    const bool no_connection = connections.update(open, max_connections_);
    const bool no_request = requests.update(admission_->in_flight.count(), admission_->max_in_flight);
    return no_connection || no_request;
  };
}

void ServerRun::tell_ready() {
  const uint32_t reactors = threads_->control().reactors();
  for (const ListenerGroup& group : groups_) log_listening(group, reactors, io_, max_connections_);
  if (admin_) {
    admin_->set_serving();
    if (predecessor_) admin_->listen_now();
    log_event(LogLevel::info, "admin_listening", {{"address", admin_->text()}});
  }
  log_event(LogLevel::info, "ready", {{"pid", ::getpid()}, {"after", monotonic_now() - began_}});
  if (store_) store_->keep();
  if (service_) service_->ready(serving());
}

std::vector<std::string> ServerRun::addresses() const {
  std::vector<std::string> texts;
  for (const ListenerGroup& group : groups_) texts.push_back(group.text());
  return texts;
}

DrainReport ServerRun::serve() {
  DrainReport report = runner_->run();
  {
    const std::lock_guard lock(reload_mutex_);
    reactors_over_ = true;
  }
  report.gate = gate_->report();
  end_tasks(report);
  leave(report);
  return report;
}

/// The reactors have stopped: nothing of the user's runs any more, then the last hooks, or it is left behind.
void ServerRun::end_tasks(DrainReport& report) {
  if (upgrade_) upgrade_->join();
  if (predecessor_) predecessor_->join();
  const size_t stuck = runner_->stuck().size();
  const Instant limit = leave_time_for_report(runner_->deadline());
  const bool tasks_ended = background_->close_until(limit);
  const bool reload_ended = !reload_ || reload_->wait_until(limit);
  left_behind_ = stuck > 0 || !reload_ended || !threads_->release(limit) || !tasks_ended;
  if (left_behind_) {
    log_event(LogLevel::warning, "leaving_threads_behind",
              {{"stuck_reactors", stuck}, {"blocking_handlers", threads_->pool().running()}});
    if (!setup_.on_stopped.empty()) log_event(LogLevel::error, "on_stopped_skipped", {});
  } else {
    background_->run_last_hooks(std::move(setup_.on_stopped));
    const bool ended = runner_->wait_for_tasks(limit);
    left_behind_ = !background_->join_last_hooks(ended ? kNever : monotonic_now());
  }
  const TaskCounters& tasks = runner_->tasks();
  const uint64_t left = tasks.running + threads_->pool().running();
  report.background = {
      .completed = tasks.completed, .failed = tasks.failed, .abandoned = tasks.abandoned + left};
  if (left_behind_ || report.background.abandoned > 0) {
    report.exit_code = 2;
  } else if (report.exit_code == 0 && report.background.failed > 0) {
    report.exit_code = 3;
  }
}

void ServerRun::leave(DrainReport& report) {
  if (setup_.owns_process) runner_->leave_with(report.exit_code);
  if (signals_) signals_->leave_on_next(report.exit_code);  // whoever reads the report may keep us waiting
  if (!setup_.options.report.empty()) {
    if (Result<void> written = write_report(report, setup_.options.report); !written) {
      log_event(LogLevel::error, "report_failed", {{"error", written.error().message}});
    }
  }
  admin_.reset();
  if (left_behind_) groups_.clear();  // the sockets that no thread has
}

}  // namespace lastcall
