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
  void (*copy)(ServerOptions& to, const ServerOptions& from);
};

template <auto kMember>
constexpr Option option(std::string_view name, bool reloadable) {
  return {name, reloadable,
          [](const ServerOptions& a, const ServerOptions& b) { return kMember(a) == kMember(b); },
          [](ServerOptions& to, const ServerOptions& from) { kMember(to) = kMember(from); }};
}

template <auto kMember>
constexpr Option may_change(std::string_view name) {
  return option<kMember>(name, true);
}

template <auto kMember>
constexpr Option fixed(std::string_view name) {
  return option<kMember>(name, false);
}

// All there are: one that is not here is neither taken over nor told of.
constexpr std::array kOptions = {may_change < [](auto& o) -> auto& {return o.stop.announce;
}  // namespace
> ("announce"), may_change < [](auto& o) -> auto& {
  return o.stop.idle_grace;
}
> ("idle-grace"), may_change < [](auto& o) -> auto& {
  return o.stop.deadline;
}
> ("deadline"), may_change < [](auto& o) -> auto& {
  return o.stop.force_margin;
}
> ("force-margin"), may_change < [](auto& o) -> auto& {
  return o.header_timeout;
}
> ("header-timeout"), may_change < [](auto& o) -> auto& {
  return o.body_timeout;
}
> ("body-timeout"), may_change < [](auto& o) -> auto& {
  return o.write_timeout;
}
> ("write-timeout"), may_change < [](auto& o) -> auto& {
  return o.idle_timeout;
}
> ("idle-timeout"), may_change < [](auto& o) -> auto& {
  return o.max_connections;
}
> ("max-connections"), may_change < [](auto& o) -> auto& {
  return o.limits.max_header_bytes;
}
> ("max-header-bytes"), may_change < [](auto& o) -> auto& {
  return o.limits.max_target_bytes;
}
> ("max-target-bytes"), may_change < [](auto& o) -> auto& {
  return o.limits.max_fields;
}
> ("max-fields"), may_change < [](auto& o) -> auto& {
  return o.limits.max_body_bytes;
}
> ("max-body-bytes"), may_change < [](auto& o) -> auto& {
  return o.limits.max_trailer_bytes;
}
> ("max-trailer-bytes"), fixed < [](auto& o) -> auto& {
  return o.listen;
}
> ("listen"), fixed < [](auto& o) -> auto& {
  return o.reactors;
}
> ("reactors"), fixed < [](auto& o) -> auto& {
  return o.io;
}
> ("io"), fixed < [](auto& o) -> auto& {
  return o.pin;
}
> ("pin"), fixed < [](auto& o) -> auto& {
  return o.gate;
}
> ("gate"), fixed < [](auto& o) -> auto& {
  return o.backlog;
}
> ("backlog"), fixed < [](auto& o) -> auto& {
  return o.offload_threads;
}
> ("offload-threads"), fixed < [](auto& o) -> auto& {
  return o.offload_queue;
}
> ("offload-queue"), fixed < [](auto& o) -> auto& {
  return o.background_threads;
}
> ("background-threads"), fixed < [](auto& o) -> auto& {
  return o.background_queue;
}
> ("background-queue"), fixed < [](auto& o) -> auto& {
  return o.max_background_tasks;
}
> ("max-background-tasks"), fixed < [](auto& o) -> auto& {
  return o.signals;
}
> ("signals"), fixed < [](auto& o) -> auto& {
  return o.server_name;
}
> ("server-name"), fixed < [](auto& o) -> auto& {
  return o.admin;
}
> ("admin"), fixed < [](auto& o) -> auto& {
  return o.report;
}
> ("report"),
};  // namespace lastcall

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
    (one.reloadable ? outcome.changed : outcome.ignored).emplace_back(one.name);
    if (one.reloadable) one.copy(current, wished);
  }
  return outcome;
}

}  // namespace lastcall
