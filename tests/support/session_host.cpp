#include "tests/support/session_host.hpp"

#include <utility>

#include <lastcall/core/check.hpp>
#include <lastcall/core/log.hpp>

namespace lastcall::test {

SessionHost::SessionHost(const SessionOptions& options)
    : options_(options), reactor_(options_, router_, routes_, *pool_, "lastcall") {
  log_configure(LogFormat::text, LogLevel::off);
  routes_.reserve(64);  // sessions point at routes
  open();
}

SessionHost::~SessionHost() {
  connection_.reset();
  pool_.reset();  // its threads may still be ringing at the reactor's mailbox
}

SessionHost& SessionHost::on(Method method, std::string_view pattern, Handler handler, RouteOptions options) {
  Result<void> added = router_.add(method, pattern, static_cast<uint32_t>(routes_.size()));
  LASTCALL_CHECK(added.has_value() && routes_.size() < routes_.capacity());
  routes_.push_back({.pattern = std::string(pattern), .handler = std::move(handler), .options = options});
  return *this;
}

void SessionHost::open() {
  LASTCALL_CHECK(!connection_ || !connection_->open());
  connection_.emplace(reactor_);
  connection_->set_window(window_bytes_);
}

std::vector<AbortedExchange> SessionHost::unanswered() {
  StopControl control(1);
  AbortedReport report(control, "", 0);
  session().describe(loop().now, report);
  return control.take_aborted();
}

}  // namespace lastcall::test
