#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <random>
#include <utility>

#include <lastcall/core/check.hpp>
#include <lastcall/core/clock.hpp>
#include <lastcall/core/rlimit.hpp>
#include <lastcall/core/version.hpp>
#include <lastcall/http/admin.hpp>
#include <lastcall/http/admin_page.hpp>
#include <lastcall/http/cross_site.hpp>
#include <lastcall/http/event_stream.hpp>
#include <lastcall/http/metrics.hpp>

namespace lastcall {
namespace {

constexpr std::string_view kNonceMark = "{{nonce}}";

/// Counts one while it lives.
class Counted {
 public:
  explicit Counted(std::atomic<uint32_t>& count) noexcept : count_(count) { ++count_; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
  ~Counted() { --count_; }

 private:
  std::atomic<uint32_t>& count_;
};

struct RequestStop {
  std::stop_source source;
  void operator()() { source.request_stop(); }
};

/// The route of the handler that a reactor is in, if it is.
std::string route_at_work(const ReactorCounters& counters) {
  const RunningHandler* handler = counters.handler.load(std::memory_order_acquire);
  return handler != nullptr && handler->route != nullptr ? handler->route : "";
}

}  // namespace

std::string make_nonce() {
  std::random_device random;  // the kernel's
  return fmt::format("{:08x}{:08x}{:08x}{:08x}", random(), random(), random(), random());
}

AdminPage make_admin_page(std::string_view nonce) {
  AdminPage page;
  page.html = kAdminPage;
  for (size_t at = 0; (at = page.html.find(kNonceMark, at)) != std::string::npos;) {
    page.html.replace(at, kNonceMark.size(), nonce);
  }
  page.content_security_policy = fmt::format(
      "default-src 'none'; style-src 'nonce-{0}'; script-src 'nonce-{0}'; connect-src 'self'; img-src data:; "
      "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
      nonce);
  return page;
}

void AdminListener::add(Method method, std::string pattern, Handler handler) {
  LASTCALL_CHECK(router_.add(method, pattern, static_cast<uint32_t>(routes_.size())));
  routes_.push_back({std::move(pattern), std::move(handler), {}});
}

void AdminListener::add_routes() {
  const auto plain = [this](std::string pattern, SyncHandler answer) {
    SyncHandler uncached = [inner = std::move(answer)](const Request& request, Response& response) {
      response.header("Cache-Control", "no-store");
      inner(request, response);
    };
    add(Method::get, std::move(pattern), std::move(uncached));
  };
  plain("/livez", [](const Request&, Response& response) { response.text("alive\n"); });
  plain("/readyz", [this](const Request&, Response& response) {
    if (ready()) return response.text("ready\n");
    response.status(503).text("not ready\n");
  });
  plain("/metrics", [this](const Request&, Response& response) {
    response.body(to_prometheus(status()), MetricsWriter::kContentType);
  });
  plain("/", [this](const Request&, Response& response) { answer_page(response); });
  add(Method::get, "/status",
      [this](Request& request, Response& response) { return answer_status(request, response); });
  add(Method::get, "/status/stream",
      [this](Request& request, Response& response) { return stream_status(request, response); });
  add(Method::post, "/upgrade",
      [this](const Request& request, Response& response) { answer_upgrade(request, response); });
  plain("/upgrade", [this](const Request&, Response& response) {
    const UpgradeStatus upgrade = options_.upgrade_status ? options_.upgrade_status() : UpgradeStatus();
    response.json(to_json(upgrade, ::getpid()) + "\n");
  });
  add(Method::post, "/drain",
      [this](const Request& request, Response& response) { answer_drain(request, response); });
}

/// Answers 403 to what a browser sends for a page of another site.
bool AdminListener::refuse_cross_site(const Request& request, Response& response) const {
  response.header("Cache-Control", "no-store");
  const std::string_view refusal = cross_site_refusal({.host = request.host(),
                                                       .origin = request.header("Origin"),
                                                       .fetch_site = request.header("Sec-Fetch-Site")},
                                                      machine_);
  if (refusal.empty()) return false;
  response.status(403).text(fmt::format("403 Forbidden: {}\n", refusal));
  return true;
}

void AdminListener::answer_drain(const Request& request, Response& response) {
  if (refuse_cross_site(request, response)) return;
  options_.drain();
  response.status(202).text("stopping\n");
}

void AdminListener::answer_upgrade(const Request& request, Response& response) {
  if (refuse_cross_site(request, response)) return;
  if (!options_.upgrade) {
    response.status(409).text("409 Conflict: this server takes no SIGUSR2\n");
    return;
  }
  options_.upgrade();
  response.status(202).text("replacing\n");
}

void AdminListener::answer_page(Response& response) const {
  const AdminPage page = make_admin_page(make_nonce());
  response.header("Content-Security-Policy", page.content_security_policy)
      .header("X-Content-Type-Options", "nosniff")
      .header("Referrer-Policy", "no-referrer")
      .header("Cross-Origin-Opener-Policy", "same-origin");
  response.html(page.html);
}

bool AdminListener::ready() const {
  if (!serving_.load(std::memory_order_acquire) || options_.control.stop_requested()) return false;
  return !options_.full || !options_.full();
}

ServerStatus AdminListener::status() const {
  const StopControl& control = options_.control;
  const Instant now = monotonic_now();
  ServerStatus status{.version = std::string(version()),
                      .pid = ::getpid(),
                      .io = options_.io,
                      .phase = control.phase(),
                      .ready = ready(),
                      .uptime = now - options_.began,
                      .began_wall = began_wall_,
                      .descriptors = {.open = open_descriptors(), .limit = descriptor_limit()},
                      .listeners = options_.listeners,
                      .reactors = read_reactors(control, now)};
  const Instant deadline = control.deadline();
  if (deadline != kNever && status.phase != Phase::stopped)
    status.stop_remaining = std::max<Duration>(deadline - now, 0s);
  return status;
}

Task<ServerStatus> AdminListener::status_with_requests() const {
  const size_t reactors = options_.desks == nullptr ? 0 : options_.desks->size();
  const auto survey = std::make_shared<RequestSurvey>(reactors);
  for (size_t i = 0; i < reactors; ++i) (*options_.desks)[i].ask(survey, i);
  co_await sleep_for(kReactorPatience, survey->complete());
  ServerStatus told = status();
  told.with_requests = true;
  std::vector<std::optional<InFlightRequests>> answers = survey->take();
  for (size_t i = 0; i < std::min(reactors, told.reactors.size()); ++i) {
    ServerStatus::Reactor& reactor = told.reactors[i];
    reactor.in_flight = std::move(answers[i]);
    if (!reactor.in_flight) reactor.stuck_in = route_at_work(options_.control.counters(reactor.id));
  }
  co_return told;
}

Task<> AdminListener::answer_status(Request& request, Response& response) const {
  const bool with_requests = request.query_param("requests") == "1";
  response.header("Cache-Control", "no-store");
  if (!with_requests) {
    response.json(to_json(status()) + "\n");
    co_return;
  }
  const ServerStatus told = co_await status_with_requests();
  response.json(to_json(told) + "\n");
}

Task<> AdminListener::stream_status(Request& request, Response& response) {
  if (streams_ >= kMaxStreams) {
    response.status(503).header("Retry-After", "1").header("Cache-Control", "no-store");
    response.text("503 Service Unavailable: too many streams\n");
    co_return;
  }
  const Counted counted(streams_);
  EventStream stream(response);
  const std::stop_token end = request.drain_token();
  while (!end.stop_requested()) {
    const std::stop_token next_phase = options_.control.next_phase();  // before the look at this one
    const ServerStatus told = co_await status_with_requests();
    const std::string text = to_json(told);
    if (!co_await stream.send({.data = text})) co_return;
    const std::stop_source news;
    const std::stop_callback on_phase(next_phase, RequestStop{news});
    const std::stop_callback on_end(end, RequestStop{news});
    co_await sleep_for(kStreamInterval, news.get_token());
  }
  const std::string last = to_json(status());
  co_await stream.send({.data = last, .event = "bye"});
}

}  // namespace lastcall
