#include <poll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <numeric>
#include <system_error>
#include <utility>

#include <lastcall/core/check.hpp>
#include <lastcall/core/clock.hpp>
#include <lastcall/core/log.hpp>
#include <lastcall/shutdown/counts.hpp>
#include <lastcall/shutdown/runner.hpp>

namespace lastcall {
namespace {

uint64_t open_connections(const ReactorCounters& counters) noexcept {
  return std::max(unended(counters), load(counters.active) + load(counters.idle));
}

// From the deadline to the watchdog's _exit: time for a report that is written at the deadline, and for the
// kernel to take the process down within the promised 50 ms.
constexpr Duration kWatchdogDelay = 30ms;
constexpr Duration kRollCallPatience = 30ms;  // for all stuck reactors to tell what they hold

}  // namespace

Runner::Runner(StopControl& control, RunnerOptions options)
    : control_(control),
      options_(std::move(options)),
      coordinator_(control.reactors()),
      observer_(control),
      request_fd_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)),
      timer_(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)) {
  if (!request_fd_ || !timer_) throw std::system_error(errno, std::generic_category(), "eventfd or timerfd");
  log_may_wait(false);  // whoever waits for a full pipe does not see a request to stop
}

Runner::~Runner() {
  log_may_wait(true);
}

void Runner::request_stop(const StopOptions& options, std::string reason) {
  control_.note_request();
  queue({options, std::move(reason)});
}

void Runner::set_stop_options(const StopOptions& options) {
  const std::lock_guard lock(mutex_);
  options_.stop = options;
}

StopOptions Runner::stop_options() {
  const std::lock_guard lock(mutex_);
  return options_.stop;
}

void Runner::request_force(std::string why) {
  queue({.options = {}, .reason = std::move(why), .force = true});
}

void Runner::queue(Request request) {
  {
    std::lock_guard lock(mutex_);
    requests_.push_back(std::move(request));
  }
  uint64_t one = 1;
  [[maybe_unused]] ssize_t written = ::write(request_fd_.get(), &one, sizeof one);
}

DrainReport Runner::run() {
  LASTCALL_CHECK(!started_);
  started_ = true;
  while (!coordinator_.finished()) {
    wait_until(std::min({coordinator_.next_wake(), observer_.next_due(), service_due()}));
    look_at_reactors();  // first: woken late, it must not judge by what it knew before
    if (!coordinator_.finished()) {
      take_signals();
      take_requests();
    }
    observer_.look(moment(coordinator_.phase()));
    tell_service();
  }
  return std::move(report_);
}

bool Runner::wait_for_tasks(Instant limit) {
  for (;;) {
    control_.clear_wake();
    if (tasks_.running.load(std::memory_order_acquire) == 0) return true;
    if (is_forced_at_the_end() || monotonic_now() >= limit) return false;
    tell_service();
    wait_until(std::min(limit, service_due()));
  }
}

/// The stop is over but for the last hooks: signals and requests are about these.
bool Runner::is_forced_at_the_end() {
  while (std::optional<int> number = options_.signals ? options_.signals->next() : std::nullopt) {
    if (*number != SIGTERM && *number != SIGINT && *number != SIGQUIT) continue;
    if (++stop_signals_ >= 3) ::_exit(2);
    if (stop_signals_ == 2) return true;
  }
  uint64_t count = 0;
  [[maybe_unused]] ssize_t taken = ::read(request_fd_.get(), &count, sizeof count);
  const std::lock_guard lock(mutex_);
  return std::ranges::any_of(requests_, &Request::force);
}

void Runner::wait_until(Instant instant) {
  wake_at(instant);
  // poll(2) skips a negative descriptor.
  pollfd sources[] = {{.fd = options_.signals ? options_.signals->fd() : -1, .events = POLLIN, .revents = 0},
                      {.fd = control_.wake_fd(), .events = POLLIN, .revents = 0},
                      {.fd = request_fd_.get(), .events = POLLIN, .revents = 0},
                      {.fd = timer_.get(), .events = POLLIN, .revents = 0}};
  int ready = ::ppoll(sources, std::size(sources), nullptr, nullptr);
  LASTCALL_CHECK(ready >= 0 || errno == EINTR || errno == ENOMEM);
}

// A timeout of ppoll(2) stands still while the process is held by SIGSTOP; an instant does not.
void Runner::wake_at(Instant instant) {
  if (instant == wake_at_) return;
  wake_at_ = instant;
  itimerspec setting{};  // all zero: never
  if (instant != kNever) setting.it_value = to_timespec(std::max(instant.time_since_epoch(), Duration(1)));
  LASTCALL_CHECK(::timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &setting, nullptr) == 0);
}

void Runner::take_signals() {
  if (!options_.signals) return;
  while (auto number = options_.signals->next()) {
    if (*number == SIGTERM || *number == SIGINT || *number == SIGQUIT)
      on_stop_signal(*number);
    else
      on_other_signal(*number);
  }
}

void Runner::on_stop_signal(int number) {
  ++stop_signals_;
  if (stop_signals_ >= 3) ::_exit(2);  // not even a log line: standard error may be what is stuck
  if (stop_signals_ == 2) {
    const Coordinator::Input force = Coordinator::ForceRequested{};
    return feed({&force, 1});
  }
  StopOptions options;
  {
    const std::lock_guard lock(mutex_);
    options = options_.stop;
  }
  ask({options, signal_name(number), number == SIGQUIT});
}

void Runner::on_other_signal(int number) {
  std::string name = signal_name(number);
  if (!options_.on_signal) return log_event(LogLevel::info, "signal_ignored", {{"signal", name}});
  try {
    options_.on_signal(number);
  } catch (const std::exception& thrown) {
    log_event(LogLevel::error, "signal_hook_failed", {{"signal", name}, {"error", thrown.what()}});
  } catch (...) {
    log_event(LogLevel::error, "signal_hook_failed", {{"signal", name}});
  }
}

void Runner::take_requests() {
  uint64_t count = 0;
  [[maybe_unused]] ssize_t taken = ::read(request_fd_.get(), &count, sizeof count);
  std::vector<Request> requests;
  {
    std::lock_guard lock(mutex_);
    requests.swap(requests_);
  }
  for (Request& request : requests) {
    if (!request.force) {
      ask({request.options, std::move(request.reason)});
      continue;
    }
    const Coordinator::Input force = Coordinator::ForceRequested{std::move(request.reason)};
    feed({&force, 1});
  }
}

void Runner::look_at_reactors() {
  control_.clear_wake();  // before looking, so that what comes later wakes again
  std::vector<Coordinator::Input> seen;
  for (uint32_t reactor = 0; reactor < control_.reactors(); ++reactor) {
    seen.emplace_back(Coordinator::Acknowledged{reactor, control_.acknowledged(reactor)});
  }
  Coordinator::Counts counts;
  for (uint32_t reactor = 0; reactor < control_.reactors(); ++reactor) {
    counts.open.push_back(open_connections(control_.counters(reactor)));
  }
  counts.tasks = tasks_.running.load(std::memory_order_acquire);
  if (load(tasks_.failed) > 0) seen.emplace_back(Coordinator::TaskFailed{});
  if (take_aborted() || load(tasks_.abandoned) > 0) seen.emplace_back(Coordinator::Aborted{});
  const uint64_t open = std::accumulate(counts.open.begin(), counts.open.end(), uint64_t{0});
  if (options_.close_tasks && open == 0 && counts.tasks == 0 && coordinator_.phase() >= Phase::draining &&
      all_acknowledged(Phase::draining) && !options_.close_tasks(false)) {
    counts.tasks = 1;  // one was taken just now
  }
  tell_of_tasks(open, counts.tasks);
  seen.emplace_back(std::move(counts));
  feed(seen);
}

bool Runner::all_acknowledged(Phase phase) const noexcept {
  for (uint32_t reactor = 0; reactor < control_.reactors(); ++reactor) {
    if (control_.acknowledged(reactor) < phase) return false;
  }
  return true;
}

/// For people: nobody is connected any more, and still the stop goes on.
void Runner::tell_of_tasks(uint64_t open, uint64_t tasks) {
  if (told_of_tasks_ || coordinator_.phase() < Phase::draining || open != 0 || tasks == 0) return;
  told_of_tasks_ = true;
  log_event(LogLevel::info, "completing_background_tasks", {{"tasks", tasks}});
}

bool Runner::take_aborted() {
  std::vector<AbortedExchange> aborted = control_.take_aborted();
  std::ranges::move(aborted, std::back_inserter(report_.aborted));
  return !aborted.empty();
}

void Runner::ask(const Coordinator::StopRequested& request) {
  control_.note_request();
  // The deadline is guarded before anything is written.
  const Coordinator::Input input = request;
  std::vector<Coordinator::Action> actions = decide({&input, 1});
  log_event(LogLevel::info, "stop_requested",
            {{"reason", request.reason}, {"deadline", request.options.deadline}});
  act_on(actions);
}

void Runner::feed(std::span<const Coordinator::Input> inputs) {
  act_on(decide(inputs));
}

std::vector<Coordinator::Action> Runner::decide(std::span<const Coordinator::Input> inputs) {
  std::vector<Coordinator::Action> actions = coordinator_.step(inputs, monotonic_now());
  control_.note_deadline(coordinator_.deadline());
  if (options_.leave_at_deadline) guard_deadline();
  return actions;
}

void Runner::guard_deadline() try {
  if (coordinator_.deadline() == guarded_) return;
  guarded_ = coordinator_.deadline();
  watchdog_.arm(after(guarded_, kWatchdogDelay));
} catch (const std::system_error& failure) {
  log_event(LogLevel::warning, "no_watchdog", {{"error", failure.what()}});
}

void Runner::act_on(const std::vector<Coordinator::Action>& actions) {
  for (const Coordinator::Action& action : actions) {
    std::visit([this](const auto& known) { act(known); }, action);
  }
}

ProgressObserver::Moment Runner::moment(Phase phase) const noexcept {
  return {.phase = phase,
          .elapsed = coordinator_.elapsed(),
          .allowed = coordinator_.allowed(),
          .now = monotonic_now()};
}

Instant Runner::service_due() const noexcept {
  return options_.service != nullptr ? options_.service->next_due() : kNever;
}

ServiceReporter::Moment Runner::service_moment() const noexcept {
  return {.phase = coordinator_.phase(), .deadline = coordinator_.deadline(), .now = monotonic_now()};
}

void Runner::tell_service() {
  if (options_.service != nullptr) options_.service->look(service_moment());
}

void Runner::act(const Coordinator::Enter& entered) {
  if (options_.on_begin) std::exchange(options_.on_begin, {})();
  if (options_.service != nullptr) options_.service->begin(service_moment(), coordinator_.reason());
  auto [active, idle] = observer_.totals();  // as the phase found them
  observer_.enter(moment(entered.phase));
  if (entered.phase >= Phase::draining && options_.on_drain) std::exchange(options_.on_drain, {})();
  control_.enter(entered.phase, coordinator_.options(), entered.why);
  Duration deadline = coordinator_.allowed();
  switch (entered.phase) {
    case Phase::announcing:
      log_event(LogLevel::info, "announcing", {{"reason", entered.why}, {"deadline", deadline}});
      break;
    case Phase::draining:
      log_event(LogLevel::info, "drain_started",
                {{"reason", entered.why}, {"deadline", deadline}, {"active", active}, {"idle", idle}});
      break;
    case Phase::forcing:
      log_event(LogLevel::warning, "forcing", {{"why", entered.why}, {"active", active}, {"idle", idle}});
      break;
    case Phase::running:
    case Phase::stopped: break;  // logged at the end, with how it went
  }
  if (entered.phase == Phase::forcing && options_.on_force) std::exchange(options_.on_force, {})();
  if (entered.phase == Phase::stopped && options_.close_tasks) options_.close_tasks(true);
}

void Runner::act(const Coordinator::Progress&) {
  observer_.log_progress(monotonic_now());
}

void Runner::act(const Coordinator::Silent& silent) {
  log_event(LogLevel::warning, "reactor_silent",
            {{"reactor", silent.reactor}, {"route", stuck_exchange(silent.reactor).route}});
}

void Runner::act(const Coordinator::Finish& finish) {
  stuck_ = finish.stuck;
  static_cast<void>(take_aborted());  // what came in while this turn was looking
  report_.timeline = observer_.finish(moment(Phase::stopped));
  fill_report(finish.exit_code);
  const Instant limit = monotonic_now() + kRollCallPatience;
  for (uint32_t reactor : stuck_) report_stuck(reactor, limit);
  static_cast<void>(take_aborted());
  report_.aborted_unlisted = control_.unlisted();
  log_stopped();
}

}  // namespace lastcall
