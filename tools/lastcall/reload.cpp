#include "reload.hpp"

#include <string>
#include <utility>

#include <lastcall/core/log.hpp>

namespace lastcall::tool {
namespace {

/// What is the process's and not the server's.
struct OwnOptions {
  LogFormat log_format;
  LogLevel log_level;
  bool allow_remote_shutdown;
};

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : " ") + name;
  return text;
}

void merge(OwnOptions& own, const Options& wished, ReloadOutcome& outcome) {
  if (own.log_format != wished.log_format) outcome.changed.emplace_back("log-format");
  if (own.log_level != wished.log_level) outcome.changed.emplace_back("log-level");
  if (own.allow_remote_shutdown != wished.allow_remote_shutdown)
    outcome.ignored.emplace_back("allow-remote-shutdown");
  own.log_format = wished.log_format;
  own.log_level = wished.log_level;
}

Result<void> reload(Server& server, OwnOptions& own, const Result<Options>& wished) {
  if (!wished) return std::unexpected(wished.error());
  Result<ReloadOutcome> outcome = server.reload(wished->server);
  if (!outcome) return std::unexpected(outcome.error());
  merge(own, *wished, *outcome);
  log_configure(own.log_format, own.log_level);
  for (const std::string& name : outcome->ignored) {
    log_event(LogLevel::warning, "reload_ignored", {{"option", name}, {"why", "needs a restart or SIGUSR2"}});
  }
  log_event(LogLevel::info, "reloaded",
            {{"changed", outcome->changed.empty() ? "nothing" : joined(outcome->changed)}});
  return {};
}

}  // namespace

void reload_with_hup(Server& server, const Options& running, std::function<Result<Options>()> read) {
  OwnOptions own{running.log_format, running.log_level, running.allow_remote_shutdown};
  server.on_reload(
      [&server, own, again = std::move(read)]() mutable { return reload(server, own, again()); });
}

}  // namespace lastcall::tool
