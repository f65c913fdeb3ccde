#include <algorithm>
#include <exception>
#include <stdexcept>
#include <utility>

#include <lastcall/core/log.hpp>
#include <lastcall/http/reactor_tasks.hpp>

namespace lastcall {

using Ending = TaskCounters::Ending;

Ending judge_ending(const std::string& name, const std::exception_ptr& error, bool cancelled) {
  std::string what = "not a std::exception";
  try {
    if (error) std::rethrow_exception(error);
  } catch (const std::exception& thrown) {
    what = thrown.what();
  } catch (...) {
  }
  if (error) log_event(LogLevel::error, "background_failed", {{"task", name}, {"error", what}});
  if (cancelled) log_event(LogLevel::warning, "background_cut_short", {{"task", name}});
  if (cancelled) return Ending::abandoned;
  return error ? Ending::failed : Ending::completed;
}

struct ReactorTasks::Running : TaskContext {
  Running(ReactorTasks& whose, std::string called, BackgroundCoroutine f, TaskCounters& counted)
      : TaskContext(whose.loop_, whose.pool_, &ReactorTasks::ended),
        tasks(whose),
        name(std::move(called)),
        function(std::move(f)),
        counters(counted) {}
  ReactorTasks& tasks;
  std::string name;
  BackgroundCoroutine function;  // what its coroutine refers to
  TaskCounters& counters;
  Task<> task;
};

ReactorTasks::ReactorTasks(Loop& loop, OffloadPool& pool, std::stop_token cancel, StopControl& control)
    : loop_(loop), pool_(pool), cancel_(cancel), control_(control), on_cancel_(cancel, Cancel{*this}) {}

ReactorTasks::~ReactorTasks() {
  for (const auto& one : running_)
    log_event(LogLevel::warning, "background_abandoned", {{"task", one->name}});
}

void ReactorTasks::post(std::string name, BackgroundCoroutine function, TaskCounters& counters) {
  auto one = std::make_unique<Running>(*this, std::move(name), std::move(function), counters);
  loop_.mailbox.post([this, task = std::move(one)]() mutable { start(std::move(task)); });
}

void ReactorTasks::start(std::unique_ptr<Running> task) {
  Running& one = *task;
  if (closed_) {
    one.counters.end(judge_ending(one.name, {}, true), control_);
    return;
  }
  running_.push_back(std::move(task));
  try {
    one.task = one.function(cancel_);
    if (!one.task) throw std::invalid_argument("an empty task");
  } catch (...) {  // also the making of the coroutine: out of memory
    one.counters.end(judge_ending(one.name, std::current_exception(), false), control_);
    running_.pop_back();
    return;
  }
  one.set_handler({.route = one.name.c_str(), .method = "", .fd = -1, .began = loop_.now});
  if (cancel_.stop_requested()) loop_.mailbox.post([this] { cancel_all(); });  // came behind that
  one.task.start(one);
}

void ReactorTasks::ended(TaskContext& context) {
  auto& one = static_cast<Running&>(context);
  ReactorTasks& tasks = one.tasks;
  const bool cut = tasks.cancel_.stop_requested();
  one.counters.end(judge_ending(one.name, one.task.error(), cut), tasks.control_);
  std::erase_if(tasks.running_, [&one](const auto& other) { return other.get() == &one; });
}

void ReactorTasks::cancel_all() {
  // One that ends meanwhile leaves the list; none is added, since they start by mail.
  std::vector<Running*> waiting;
  for (const auto& one : running_) waiting.push_back(one.get());
  for (Running* one : waiting) one->cancel();
}

}  // namespace lastcall
