#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <utility>

#include <lastcall/core/check.hpp>
#include <lastcall/core/clock.hpp>
#include <lastcall/http/admin.hpp>
#include <lastcall/net/address.hpp>

namespace lastcall {
namespace {

constexpr int kBacklog = 128;
constexpr Duration kHandOverAnswers = 1s;
constexpr Duration kLastAnswers = 2ms;  // to read and answer what has come already
constexpr Duration kLastEvents = 10ms;  // … where somebody waits for the last event of a stream

/// Empty where it cannot be told.
std::string host_name() {
  char name[HOST_NAME_MAX + 1] = {};
  return ::gethostname(name, sizeof name - 1) == 0 ? name : "";
}

Error named(const Error& cause) {
  return {"--admin: " + cause.message, cause.code};
}

}  // namespace

Result<ListenerGroup> AdminListener::listen(const std::string& text,
                                            std::optional<ListenerParts<Fd>> inherited) {
  Result<Address> address = parse_address(text);
  if (!address) return std::unexpected(named(address.error()));
  Result<ListenerGroup> group = inherited
                                    ? ListenerGroup::inherit(*address, std::move(*inherited), 1)
                                    : ListenerGroup::open(*address, 1, kBacklog, {.tier = GateTier::plain});
  if (!group) return std::unexpected(named(group.error()));
  return group;
}

AdminOptions AdminListener::hurried(AdminOptions options) {
  SessionOptions& session = options.session;
  for (Duration* timeout :
       {&session.header_timeout, &session.body_timeout, &session.idle_timeout, &options.write_timeout}) {
    *timeout = std::min(*timeout, kMaxTimeout);
  }
  return options;
}

AdminListener::AdminListener(ListenerGroup group, AdminOptions options)
    : options_(hurried(std::move(options))),
      group_(std::move(group)),
      machine_(host_name()),
      began_wall_(wall_now() - (monotonic_now() - options_.began)),
      setup_{.worker = {.max_connections = kMaxConnections, .write_timeout = options_.write_timeout},
             .thread_name = "admin",
             .control = control_,
             .session = options_.session,
             .router = router_,
             .routes = routes_,
             .pool = pool_,
             .server_name = options_.server_name,
             .sockets = {},
             .strays = {},
             .started = {},
             .teardown = teardown_} {
  for (Fd& socket : group_.take(0)) setup_.sockets.push_back({.fd = std::move(socket), .address = 0});
  add_routes();
}

AdminListener::~AdminListener() {
  stop();
}

Result<void> AdminListener::start(bool later) {
  setup_.listens_later = later;
  auto started = setup_.started.get_future();
  thread_ = std::thread([this] { run_reactor_on_epoll(setup_); });
  Result<void> result = started.get();
  if (!result) return std::unexpected(named(result.error()));
  return result;
}

void AdminListener::hand_over(HandoverChannel& successor) {
  if (!thread_.joinable()) return;
  successor_.channel = &successor;
  group_.hand_over();
  control_.hand_over(successor_, 1);
  control_.enter(Phase::draining, {.idle_grace = 0s}, "handed over");
  await_last_answers(kHandOverAnswers);
  control_.enter(Phase::stopped, {}, "handed over");
  thread_.join();
}

void AdminListener::stop() {
  if (!thread_.joinable()) return;
  static_cast<void>(group_.close_gate());
  control_.enter(Phase::draining, {.idle_grace = 0s}, "the server has stopped");
  await_last_answers(kLastAnswers);
  control_.enter(Phase::stopped, {}, "the server has stopped");
  thread_.join();
}

/// Whoever has asked by now gets the answer of an ordinary turn, and not the 503 of a forced end.
void AdminListener::await_last_answers(Duration patience) {
  const ReactorCounters& counters = control_.counters(0);
  for (const Instant began = monotonic_now();;) {
    control_.clear_wake();
    const bool closed = control_.acknowledged(0) >= Phase::draining;
    if (closed && counters.active.load() + counters.idle.load() == 0) return;
    const Duration for_events = streams_.load(std::memory_order_relaxed) > 0 ? kLastEvents : 0s;
    const Duration left = began + std::max(patience, for_events) - monotonic_now();
    if (left <= Duration::zero()) return;
    const timespec timeout = to_timespec(std::min(left, kLastAnswers));  // the end of a stream wakes nobody
    pollfd wake{.fd = control_.wake_fd(), .events = POLLIN, .revents = 0};
    static_cast<void>(::ppoll(&wake, 1, &timeout, nullptr));
  }
}

}  // namespace lastcall
