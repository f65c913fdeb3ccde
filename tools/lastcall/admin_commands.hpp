#pragma once

#include <cstdint>
#include <string>

namespace CLI {
class App;
}

namespace lastcall::tool {

class AdminClient;

/// `lastcall status|drain|top|upgrade`, as given.
struct AdminCommand {
  enum class Kind : uint8_t { none, status, drain, top, upgrade };
  Kind kind = Kind::none;
  std::string address;   ///< --admin
  bool json = false;     ///< status, drain: for programs
  bool no_wait = false;  ///< drain: does not wait for the end
  bool once = false;     ///< top: one frame
};

/// Adds the commands.
void add_admin_commands(CLI::App& app, AdminCommand& command);

/// Runs it and returns the exit code: 0, or 1 where the listener cannot be asked or answers what it should
/// not; standard error says which. `fallback`: the address where the command was given none.
[[nodiscard]] int run_admin_command(const AdminCommand& command, const std::string& fallback);

/// `lastcall top`: a frame a second until `q` or a signal, over the whole terminal; where standard output is
/// none, one after the other. An error ends it only before the first frame.
[[nodiscard]] int run_top(const AdminClient& client, bool once);

}  // namespace lastcall::tool
