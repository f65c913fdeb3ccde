#include <exception>

#include <lastcall/core/log.hpp>
#include <lastcall/http/background.hpp>

namespace lastcall {
namespace {

constexpr uint32_t kRequests = 2;  // of a stop on tokens: the drain, the end

}  // namespace

BackgroundTasks::BackgroundTasks(StopControl& control, TaskCounters& counters, const Options& options)
    : control_(control),
      counters_(counters),
      most_(options.most),
      pool_(options.threads, options.queue, options.begin),
      hook_pool_(options.hooks + kRequests, 0, options.begin),
      last_pool_(1, 0, options.begin) {}

bool BackgroundTasks::start(const std::string& name, BackgroundTask& task, uint32_t reactor) {
  std::lock_guard lock(mutex_);
  if (closed_ || reactors_.empty() || counters_.running.load(std::memory_order_relaxed) >= most_)
    return false;
  counters_.begin();
  if (auto* coroutine = std::get_if<BackgroundCoroutine>(&task.function())) {
    reactors_[reactor % reactors_.size()]->post(name, std::move(*coroutine), counters_);
    return true;
  }
  // Shared with the pool, so that one that is refused is not destroyed here, under locks: what it holds may
  // call the server.
  auto& blocking = std::get<BackgroundTask::Blocking>(task.function());
  auto function = std::make_shared<BackgroundTask::Blocking>(std::move(blocking));
  if (pool_.try_submit([this, name, function] { run(name, *function, true); })) return true;
  counters_.end_uncounted(control_);
  blocking = std::move(*function);
  return false;
}

bool BackgroundTasks::close(bool in_any_case) {
  const std::lock_guard lock(mutex_);
  const bool none = counters_.running.load(std::memory_order_acquire) == 0;
  if (none || in_any_case) closed_ = true;
  return none;
}

/// On a thread of one of the pools.
void BackgroundTasks::run(const std::string& name, BackgroundTask::Blocking& function,
                          bool may_be_cancelled) {
  std::exception_ptr error;
  try {
    function(cancel_.get_token());
  } catch (...) {
    error = std::current_exception();
  }
  function = {};  // what it holds is let go before it counts as ended
  counters_.end(judge_ending(name, error, may_be_cancelled && cancel_.stop_requested()), control_);
}

void BackgroundTasks::run_hooks(std::vector<StopHook> hooks) {
  for (StopHook& hook : hooks) {
    counters_.begin();
    BackgroundTask::Blocking function = [h = std::move(hook)](const std::stop_token&) mutable { h(); };
    const bool taken = hook_pool_.try_submit(
        [this, f = std::move(function)]() mutable { run("on_shutdown hook", f, false); });
    if (taken) continue;
    log_event(LogLevel::error, "background_failed", {{"task", "on_shutdown hook"}, {"error", "no thread"}});
    counters_.end(TaskCounters::Ending::failed, control_);
  }
}

void BackgroundTasks::request(std::stop_source source) {
  if (!hook_pool_.try_submit([source]() mutable { source.request_stop(); })) source.request_stop();
}

bool BackgroundTasks::close_until(Instant deadline) {
  close(true);
  const bool tasks_ended = pool_.join_until(deadline);
  return hook_pool_.join_until(deadline) && tasks_ended;
}

void BackgroundTasks::run_last_hooks(std::vector<StopHook> hooks) {
  if (hooks.empty()) return;
  const size_t count = hooks.size();
  for (size_t i = 0; i < count; ++i) counters_.begin();
  const bool taken = last_pool_.try_submit([this, list = std::move(hooks)]() mutable {
    for (StopHook& hook : list) {
      BackgroundTask::Blocking function = [h = std::move(hook)](const std::stop_token&) mutable { h(); };
      run("on_stopped hook", function, false);
    }
  });
  if (!taken) {
    log_event(LogLevel::error, "background_failed", {{"task", "on_stopped hook"}, {"error", "no thread"}});
    for (size_t i = 0; i < count; ++i) counters_.end(TaskCounters::Ending::failed, control_);
  }
}

}  // namespace lastcall
