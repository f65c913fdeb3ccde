#include "admin_commands.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <thread>

#include <lastcall/core/clock.hpp>

#include "admin_client.hpp"
#include "status_text.hpp"

namespace lastcall::tool {
namespace {

using Json = nlohmann::json;

constexpr Duration kExitPatience = 5s;  // from the end of its listener's last stream to that of the listener
constexpr Duration kUpgradePatience = 120s;
constexpr Duration kExitLook = 20ms;
constexpr Duration kProgressInterval = 1s;

int fail(const std::string& message) {
  std::cerr << "lastcall: " << message << "\n";
  return 1;
}

bool is_gone(const Error& error) {
  return error.code == ECONNREFUSED || error.code == ENOENT;
}

/// The text of a status; an error where it is none.
Result<std::string> ask_status(const AdminClient& client, const char* target) {
  Result<AdminAnswer> answer = client.ask("GET", target);
  if (!answer) return std::unexpected(answer.error());
  if (answer->status == 200) return std::move(answer->body);
  return error(fmt::format("the admin listener at {} answered {} with status {}", client.address(), target,
                           answer->status));
}

int bad_answer(const AdminClient& client, const Json::exception& what) {
  return fail(fmt::format("the answer of {} is no status of lastcall: {}", client.address(), what.what()));
}

int run_status(const AdminClient& client, bool json) try {
  const Result<std::string> text = ask_status(client, "/status?requests=1");
  if (!text) return fail(text.error().message);
  const Json status = Json::parse(*text);
  const bool colour = ::isatty(STDOUT_FILENO) == 1 && std::getenv("NO_COLOR") == nullptr;
  const std::vector<std::string> lines = describe_status(status, {.colour = colour});
  if (json) {
    std::cout << *text;
    return 0;
  }
  for (const std::string& line : lines) std::cout << line << "\n";
  return 0;
} catch (const Json::exception& what) {
  return bad_answer(client, what);
}

/// Follows a stop to its end.
class DrainWatch {
 public:
  DrainWatch(const AdminClient& client, bool json, int pid) : client_(client), json_(json), pid_(pid) {}

  [[nodiscard]] int run() {
    for (;;) {
      const Result<void> followed =
          client_.follow("/status/stream",
                         [this](std::string_view event, std::string_view data) { return take(event, data); });
      if (replaced_) return tell_end();
      if (!followed && !is_gone(followed.error())) return fail(followed.error().message);
      if (!followed || is_over()) return tell_end();
      if (said_bye_) return fail("the stop is over, but something still listens at " + client_.address());
    }
  }

 private:
  bool take(std::string_view event, std::string_view data) {
    Json status = Json::parse(data);
    replaced_ = status.at("pid") != pid_;
    if (replaced_) return false;
    said_bye_ = event == "bye";
    const std::string phase = status.at("phase");
    const Instant now = monotonic_now();
    if (!json_ && phase != "running" && phase != "stopped" && (phase != phase_ || now >= due_)) {
      std::cout << describe_progress(status) << std::endl;
      due_ = now + kProgressInterval / 2;
    }
    phase_ = phase;
    last_ = std::move(status);
    return true;
  }

  /// Its listener is the last thing that a process closes. Another process may listen there now.
  [[nodiscard]] bool is_over() {
    for (const Instant limit = monotonic_now() + kExitPatience; monotonic_now() < limit;) {
      const Result<std::string> text = ask_status(client_, "/status");
      if (!text && is_gone(text.error())) return true;
      if (text && Json::parse(*text).at("pid") != pid_) return true;
      if (text && !said_bye_) return false;  // the stream broke off
      std::this_thread::sleep_for(kExitLook);
    }
    return false;
  }

  [[nodiscard]] int tell_end() const {
    const double seconds = std::chrono::duration<double>(monotonic_now() - began_).count();
    uint64_t aborted = 0;
    if (last_) {
      for (const Json& reactor : last_->at("reactors")) aborted += reactor.at("aborted").get<uint64_t>();
    }
    if (json_) {
      std::cout << Json{{"pid", pid_},
                        {"stopped", true},
                        {"seconds", seconds},
                        {"last_status", last_.value_or(Json())}}
                << "\n";
    } else {
      std::cout << fmt::format("stopped: pid {} after {:.1f} s", pid_, seconds)
                << (aborted != 0 ? fmt::format(", {} connections aborted", aborted) : "") << "\n";
    }
    return 0;
  }

  const AdminClient& client_;
  bool json_;
  int pid_;
  Instant began_ = monotonic_now();
  Instant due_{};
  std::string phase_;
  std::optional<Json> last_;
  bool said_bye_ = false;
  bool replaced_ = false;
};

int run_drain(const AdminClient& client, const AdminCommand& command) try {
  const Result<std::string> text = ask_status(client, "/status");
  if (!text) return fail(text.error().message);
  const int pid = Json::parse(*text).at("pid");
  DrainWatch watch(client, command.json, pid);
  const Result<AdminAnswer> answer = client.ask("POST", "/drain");
  if (!answer) return fail(answer.error().message);
  if (answer->status != 202) {
    return fail(fmt::format("the admin listener at {} answered POST /drain with status {}: {}",
                            client.address(), answer->status, printable(answer->body)));
  }
  if (!command.no_wait) return watch.run();
  if (command.json) {
    std::cout << Json{{"pid", pid}, {"stopped", false}} << "\n";
  } else {
    std::cout << fmt::format("stopping: pid {}\n", pid);
  }
  return 0;
} catch (const Json::exception& what) {
  return bad_answer(client, what);
}

Result<Json> ask_upgrade(const AdminClient& client) {
  const Result<std::string> text = ask_status(client, "/upgrade");
  if (!text) return std::unexpected(text.error());
  return Json::parse(*text);
}

/// Until the attempt has ended, one way or the other; with its pid and state, or those of the successor.
Result<Json> follow_upgrade(const AdminClient& client, const Json& before) {
  const bool under_way = before.at("state") == "under_way";  // it is that one then
  for (const Instant limit = monotonic_now() + kUpgradePatience; monotonic_now() < limit;) {
    Result<Json> now = ask_upgrade(client);
    if (!now || now->at("pid") != before.at("pid")) return now;
    const std::string state = now->at("state");
    const bool begun = under_way || now->at("attempt") > before.at("attempt");
    if (begun && state == "failed")
      return error("the new process failed: " + now->at("why").get<std::string>());
    if (state == "stopping") return error("the server is stopping");
    std::this_thread::sleep_for(kExitLook);
  }
  return error("the server has not been replaced; its log may say why");
}

int run_upgrade(const AdminClient& client, const AdminCommand& command) try {
  const Result<Json> before = ask_upgrade(client);
  if (!before) return fail(before.error().message);
  const Result<AdminAnswer> answer = client.ask("POST", "/upgrade");
  if (!answer) return fail(answer.error().message);
  if (answer->status != 202) {
    return fail(fmt::format("the admin listener at {} answered POST /upgrade with status {}: {}",
                            client.address(), answer->status, printable(answer->body)));
  }
  const Result<Json> after = follow_upgrade(client, *before);
  if (!after) return fail(after.error().message);
  const int former = before->at("pid");
  const int successor = after->at("pid");
  if (command.json) {
    std::cout << Json{{"pid", successor}, {"former", former}} << "\n";
  } else {
    std::cout << fmt::format("replaced: pid {} by pid {}\n", former, successor);
  }
  return 0;
} catch (const Json::exception& what) {
  return bad_answer(client, what);
}

CLI::App* add_command(CLI::App& app, AdminCommand& command, AdminCommand::Kind kind, const char* name,
                      const char* help) {
  CLI::App* added = app.add_subcommand(name, help);
  added->add_option("--admin", command.address,
                    "the server's admin listener: HOST:PORT, [V6]:PORT, :PORT or unix:PATH [LASTCALL_ADMIN]");
  added->callback([&command, kind] { command.kind = kind; });
  return added;
}

}  // namespace

void add_admin_commands(CLI::App& app, AdminCommand& command) {
  using Kind = AdminCommand::Kind;
  CLI::App* status = add_command(app, command, Kind::status, "status", "how a running server does");
  status->add_flag("--json", command.json, "as the admin listener tells it");
  CLI::App* drain = add_command(app, command, Kind::drain, "drain", "stop a running server gracefully");
  drain->add_flag("--no-wait", command.no_wait,
                  "return when the stop has begun; else when the server is gone");
  drain->add_flag("--json", command.json, "one JSON object at the end, and no progress");
  CLI::App* top = add_command(app, command, Kind::top, "top", "watch a running server");
  top->add_flag("--once", command.once, "show it once");
  CLI::App* upgrade = add_command(app, command, Kind::upgrade, "upgrade",
                                  "replace a running server by what is installed now, losing nobody");
  upgrade->add_flag("--json", command.json, "one JSON object at the end");
}

int run_admin_command(const AdminCommand& command, const std::string& fallback) {
  const std::string& address = command.address.empty() ? fallback : command.address;
  if (address.empty()) return fail("which server? Give --admin ADDR, or set LASTCALL_ADMIN");
  const Result<AdminClient> client = AdminClient::to(address);
  if (!client) return fail("--admin: " + client.error().message);
  switch (command.kind) {
    case AdminCommand::Kind::status: return run_status(*client, command.json);
    case AdminCommand::Kind::drain: return run_drain(*client, command);
    case AdminCommand::Kind::top: return run_top(*client, command.once);
    case AdminCommand::Kind::upgrade: return run_upgrade(*client, command);
    case AdminCommand::Kind::none: break;
  }
  return 1;
}

}  // namespace lastcall::tool
