#include <array>
#include <string_view>

#include <lastcall/http/reload.hpp>
#include <lastcall/http/server.hpp>

namespace lastcall {
namespace {

/// One of the ServerOptions, as its flag is named.
struct Option {
  std::string_view name;
  bool reloadable;
  bool (*equal)(const ServerOptions&, const ServerOptions&);
  bool (*may)(const ServerOptions& from, const ServerOptions& to);  // where it may change at all
  void (*copy)(ServerOptions& to, const ServerOptions& from);
};

/// `member`: a lambda without state that picks it from either of two.
template <class Member>
constexpr Option option(std::string_view name, bool reloadable, Member /*member*/) {
  return {.name = name,
          .reloadable = reloadable,
          .equal = [](const ServerOptions& a, const ServerOptions& b) { return Member{}(a) == Member{}(b); },
          .may = [](const ServerOptions&, const ServerOptions&) { return true; },
          .copy = [](ServerOptions& to, const ServerOptions& from) { Member{}(to) = Member{}(from); }};
}

template <class Member>
constexpr Option may_change(std::string_view name, Member member) {
  return option(name, true, member);
}

/// A limit that is counted for from the start on, or not at all.
template <class Member>
constexpr Option limit(std::string_view name, Member member) {
  Option option = may_change(name, member);
  option.may = [](const ServerOptions& a, const ServerOptions& b) {
    return Member{}(a) != 0 && Member{}(b) != 0;
  };
  return option;
}

template <class Member>
constexpr Option fixed(std::string_view name, Member member) {
  return option(name, false, member);
}

// All there are: one that is not here is neither taken over nor told of.
// clang-format off
constexpr std::array kOptions = {
    may_change("announce", [](auto& o) -> auto& { return o.stop.announce; }),
    may_change("idle-grace", [](auto& o) -> auto& { return o.stop.idle_grace; }),
    may_change("deadline", [](auto& o) -> auto& { return o.stop.deadline; }),
    may_change("force-margin", [](auto& o) -> auto& { return o.stop.force_margin; }),
    may_change("header-timeout", [](auto& o) -> auto& { return o.header_timeout; }),
    may_change("body-timeout", [](auto& o) -> auto& { return o.body_timeout; }),
    may_change("write-timeout", [](auto& o) -> auto& { return o.write_timeout; }),
    may_change("idle-timeout", [](auto& o) -> auto& { return o.idle_timeout; }),
    may_change("max-connections", [](auto& o) -> auto& { return o.max_connections; }),
    may_change("max-header-bytes", [](auto& o) -> auto& { return o.limits.max_header_bytes; }),
    may_change("max-target-bytes", [](auto& o) -> auto& { return o.limits.max_target_bytes; }),
    may_change("max-fields", [](auto& o) -> auto& { return o.limits.max_fields; }),
    may_change("max-body-bytes", [](auto& o) -> auto& { return o.limits.max_body_bytes; }),
    may_change("max-trailer-bytes", [](auto& o) -> auto& { return o.limits.max_trailer_bytes; }),
    fixed("listen", [](auto& o) -> auto& { return o.listen; }),
    fixed("reactors", [](auto& o) -> auto& { return o.reactors; }),
    fixed("io", [](auto& o) -> auto& { return o.io; }),
    fixed("pin", [](auto& o) -> auto& { return o.pin; }),
    fixed("gate", [](auto& o) -> auto& { return o.gate; }),
    fixed("backlog", [](auto& o) -> auto& { return o.backlog; }),
    fixed("offload-threads", [](auto& o) -> auto& { return o.offload_threads; }),
    fixed("offload-queue", [](auto& o) -> auto& { return o.offload_queue; }),
    fixed("background-threads", [](auto& o) -> auto& { return o.background_threads; }),
    fixed("background-queue", [](auto& o) -> auto& { return o.background_queue; }),
    fixed("max-background-tasks", [](auto& o) -> auto& { return o.max_background_tasks; }),
    fixed("signals", [](auto& o) -> auto& { return o.signals; }),
    fixed("upgrade-timeout", [](auto& o) -> auto& { return o.upgrade_timeout; }),
    fixed("fd-store", [](auto& o) -> auto& { return o.fd_store; }),
    fixed("server-name", [](auto& o) -> auto& { return o.server_name; }),
    fixed("admin", [](auto& o) -> auto& { return o.admin; }),
    fixed("proxy-protocol", [](auto& o) -> auto& { return o.proxy_protocol; }),
    fixed("trusted-proxies", [](auto& o) -> auto& { return o.trusted_proxies; }),
    fixed("forwarded-header", [](auto& o) -> auto& { return o.forwarded_header; }),
    limit("max-connections-per-client", [](auto& o) -> auto& { return o.max_connections_per_client; }),
    limit("max-in-flight", [](auto& o) -> auto& { return o.max_in_flight; }),
    fixed("unready-when-full", [](auto& o) -> auto& { return o.unready_when_full; }),
    fixed("report", [](auto& o) -> auto& { return o.report; }),
};
// clang-format on

Result<void> check(const ServerOptions& options) {
  struct Named {
    const char* name;
    Duration value;
  };
  for (const auto& [name, value] :
       {Named{"announce", options.stop.announce}, Named{"idle-grace", options.stop.idle_grace},
        Named{"deadline", options.stop.deadline}, Named{"force-margin", options.stop.force_margin},
        Named{"header-timeout", options.header_timeout}, Named{"body-timeout", options.body_timeout},
        Named{"write-timeout", options.write_timeout}, Named{"idle-timeout", options.idle_timeout}}) {
    if (value < 0s) return error(std::string(name) + ": must not be negative");
  }
  if (options.stop.announce > 0s && options.stop.announce >= options.stop.deadline)
    return error("announce: must be shorter than the deadline, of which it is a part");
  return {};
}

}  // namespace

Result<ReloadOutcome> merge_options(ServerOptions& current, const ServerOptions& wished) {
  if (Result<void> checked = check(wished); !checked) return std::unexpected(checked.error());
  ReloadOutcome outcome;
  for (const Option& one : kOptions) {
    if (one.equal(current, wished)) continue;
    const bool taken = one.reloadable && one.may(current, wished);
    (taken ? outcome.changed : outcome.ignored).emplace_back(one.name);
    if (taken) one.copy(current, wished);
  }
  return outcome;
}

}  // namespace lastcall
