#include <utility>

#include <lastcall/core/log.hpp>
#include <lastcall/http/admission.hpp>
#include <lastcall/http/exchange.hpp>
#include <lastcall/http/session.hpp>

namespace lastcall {
namespace {

constexpr size_t kWarmExchanges = 16;  // that keep their buffers while they wait for the next request
constexpr size_t kFieldsAtFirst = 32;  // room for header fields before the vector grows

void task_finished(TaskContext& context) {
  Exchange& exchange = static_cast<ExchangeContext&>(context).exchange;
  if (exchange.session != nullptr) {
    exchange.session->task_ended(exchange);
    return;
  }
  exchange.environment.end_abandoned(exchange);
}

}  // namespace

HandlerTimer::HandlerTimer(Exchange& whose) noexcept
    : TaskTimer([](TaskTimer& timer) {
        Exchange& late = static_cast<HandlerTimer&>(timer).exchange;
        late.session->handler_late(late);
      }),
      exchange(whose) {}

Exchange::Exchange(SessionEnvironment& env)
    : environment(env),
      request(*this),
      response(*this, env.loop.buffers),
      context(*this, env.loop, env.pool, &task_finished),
      storage(env.loop.buffers),
      body(env.loop.buffers),
      chunk(env.loop.buffers),
      timer(*this) {
  head.fields.reserve(kFieldsAtFirst);
}

void Exchange::count_out() noexcept {
  Admission* const admission = environment.options.admission;
  if (route->options.max_in_flight) route->in_flight.leave();
  if (admission != nullptr && admission->limits_in_flight) admission->in_flight.leave();
}

void Exchange::reset(bool keep_memory) noexcept {
  leave_limits();
  session = nullptr;
  route = nullptr;
  reader = nullptr;
  writer = nullptr;
  params.size = 0;
  if ((scratch.size() | decoded_path.size() | peer.size()) != 0) [[unlikely]]
    clear_texts();
  if ((storage.capacity() | body.capacity() | chunk.capacity()) != 0) [[unlikely]]
    release_buffers();
  response.reset(keep_memory);
  context.reset();
}

[[gnu::noinline]] void Exchange::release_buffers() noexcept {
  storage.release();
  body.release();
  chunk.release();
}

[[gnu::noinline]] void Exchange::clear_texts() noexcept {
  scratch.clear();
  decoded_path.clear();
  if (peer.empty()) return;
  peer.clear();
  client = {};
}

SessionEnvironment::SessionEnvironment(Loop& l, const SessionOptions& o, const Router& r,
                                       const std::vector<Route>& rs, OffloadPool& p, std::string_view server)
    : loop(l), options(o), router(r), routes(rs), pool(p), head_writer(server) {
  waiting_head.fields.reserve(options.limits.max_fields);
}

void SessionEnvironment::reload(const SessionOptions& changed) {
  waiting_head.fields.reserve(changed.limits.max_fields);
  idle_timeout_added = changed.idle_timeout - options.idle_timeout;
  options = changed;
}

SessionEnvironment::~SessionEnvironment() {
  // Handlers that were still waiting end here, by the destruction of what they hold.
  for (auto& exchange : exchanges_) {
    if (exchange->task)
      log_event(LogLevel::warning, "handler_abandoned", {{"route", exchange->route->pattern}});
    exchange->task = {};
    exchange->leave_limits();
  }
}

Exchange& SessionEnvironment::make_spare() {
  free_.reserve(exchanges_.size() + 1);
  exchanges_.push_back(std::make_unique<Exchange>(*this));
  free_.push_back(exchanges_.back().get());
  return *free_.back();
}

void SessionEnvironment::release(Exchange& exchange) noexcept {
  exchange.reset(free_.size() < kWarmExchanges);
  free_.push_back(&exchange);
}

bool SessionEnvironment::sends_away() noexcept {
  if (loop.announce_began == kNever) return false;
  const Duration whole = loop.announce_ends - loop.announce_began;
  const Duration passed = loop.now - loop.announce_began;
  if (whole <= 0s || passed >= whole) return true;
  sent_away_ += static_cast<double>(passed.count()) / static_cast<double>(whole.count());
  if (sent_away_ < 1) return false;
  sent_away_ -= 1;
  return true;
}

/// A stream, which only a connection that is not coming back to HTTP can have, costs nobody else a look.
void SessionEnvironment::release_abandoned(Exchange& exchange) noexcept {
  exchange.stream.reset();
  release(exchange);
}

void SessionEnvironment::outlive(Exchange& exchange, std::shared_ptr<DetachedConnection> detached) {
  exchange.session = nullptr;
  loop.counters.active.fetch_add(1, std::memory_order_relaxed);  // the stop waits for its handler
  if (exchange.peer.empty()) exchange.peer = detached->peer;
  detached->unread = exchange.stream->take_unread();
  exchange.stream->on_detach(HijackedConnection(std::move(detached)));
}

void SessionEnvironment::end_abandoned(Exchange& exchange) noexcept {
  loop.counters.active.fetch_sub(1, std::memory_order_relaxed);
  exchange.task = {};
  release_abandoned(exchange);
}

void SessionEnvironment::abandon(Exchange& exchange) {
  loop.timers.cancel(exchange.timer);
  exchange.session = nullptr;
  exchange.reader = nullptr;
  exchange.writer = nullptr;
  if (exchange.stream) exchange.stream->abandon();
  if (!exchange.task) {
    release_abandoned(exchange);
    return;
  }
  loop.counters.active.fetch_add(1, std::memory_order_relaxed);  // the stop waits for its handler
  exchange.context.cancel();
}

}  // namespace lastcall
