#pragma once

#include <string>
#include <variant>

#include <lastcall/core/log.hpp>
#include <lastcall/http/server.hpp>

#include "admin_commands.hpp"

namespace lastcall::tool {

/// What the command line, the environment and the configuration file together ask for.
struct Options {
  ServerOptions server;
  LogFormat log_format = LogFormat::text;
  LogLevel log_level = LogLevel::info;
  bool allow_remote_shutdown = false;
  bool version = false;
  bool json = false;
  AdminCommand admin_command;
};

/// The options, or the exit code when there is nothing left to do (--help: 0, a mistake: 1, told on standard
/// error).
std::variant<Options, int> parse_options(int argc, char** argv);
/// The same from the start, with the file as it is now, for a process that goes on whatever is wrong: nothing
/// is printed. An error names the flag, the variable's flag, or the line of the file.
[[nodiscard]] Result<Options> read_options_again(int argc, char** argv);

/// "250ms", "2s", "1m", "1h", also "1.5s"; "0". Throws std::invalid_argument saying what is wrong.
Duration parse_duration(const std::string& text);
/// "512", "16k", "1M", "10G" (binary multiples). Throws std::invalid_argument.
uint64_t parse_size(const std::string& text);

}  // namespace lastcall::tool
