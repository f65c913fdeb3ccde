#include <algorithm>
#include <memory>
#include <ranges>
#include <stdexcept>

#include <lastcall/http/layers.hpp>

namespace lastcall {
namespace {

/// The body as a synchronous handler expects it: all of it.
Task<> run_synchronous(const SyncHandler& handler, Request& request, Response& response) {
  co_await request.read_all();
  if (!request.aborted()) handler(request, response);
}

}  // namespace

bool Layers::admit(const Request& request, Response& response) const {
  return std::ranges::all_of(before_, [&](const Before* function) { return (*function)(request, response); });
}

void Layers::finish(const Request& request, Response& response) const {
  for (const After* function : std::views::reverse(after_)) (*function)(request, response);
}

void Layers::run(const Request& request, Response& response) const {
  if (admit(request, response)) std::get<SyncHandler>(handler_.function)(request, response);
  finish(request, response);
}

Task<> Layers::run_task(Request& request, Response& response) const {
  if (admit(request, response)) co_await descend(0, request, response);
  finish(request, response);
}

/// From the Around of that level inwards.
Task<> Layers::descend(size_t level, Request& request, Response& response) const {
  if (level < around_.size()) {
    return (*around_[level])(request, response, Next(*this, level + 1, request, response));
  }
  if (const auto* task = std::get_if<TaskHandler>(&handler_.function)) return (*task)(request, response);
  return run_synchronous(std::get<SyncHandler>(handler_.function), request, response);
}

Handler Layers::compose(std::unique_ptr<Layers> layers) {
  if (layers->before_.empty() && layers->around_.empty() && layers->after_.empty())
    return std::move(layers->handler_);
  const bool synchronous = std::holds_alternative<SyncHandler>(layers->handler_.function);
  if (synchronous && layers->around_.empty()) {
    return {[all = std::move(layers)](const Request& request, Response& response) {
      all->run(request, response);
    }};
  }
  return {[all = std::move(layers)](Request& request, Response& response) -> Task<> {
    return all->run_task(request, response);
  }};
}

Task<> Next::operator()() {
  if (layers_ == nullptr) throw std::logic_error("next() was called before, or moved from");
  return std::exchange(layers_, nullptr)->descend(level_, request_, response_);
}

}  // namespace lastcall
