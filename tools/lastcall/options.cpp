#include "options.hpp"

#include <CLI/CLI.hpp>

#include <charconv>
#include <cstdlib>
#include <limits>
#include <map>
#include <stdexcept>

#include <lastcall/shutdown/signals.hpp>

#include "config.hpp"

namespace lastcall::tool {
namespace {

constexpr double kLongestDays = 3650;

[[noreturn]] void bad(const std::string& text, const char* expected) {
  throw std::invalid_argument("'" + text + "' is not " + expected);
}

/// A number and the unit behind it.
std::pair<double, std::string> split_unit(const std::string& text, const char* expected) {
  double number = 0;
  auto [end, code] =
      std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  if (code != std::errc() || number < 0) bad(text, expected);
  return {number, std::string(end, text.data() + text.size())};
}

/// Adds an option whose text one of the parsers above reads; its errors name the flag.
template <class T, class Parse>
CLI::Option* add_parsed(CLI::App& app, const std::string& flag, T& target, Parse parse,
                        const std::string& help) {
  CLI::Option* option = app.add_option_function<std::string>(
      flag,
      [&target, parse, flag](const std::string& text) {
        try {
          auto value = parse(text);
          if constexpr (std::is_integral_v<T>) {
            if (value > std::numeric_limits<T>::max()) bad(text, "small enough");
          }
          target = static_cast<T>(value);
        } catch (const std::invalid_argument& error) {
          throw CLI::ValidationError(flag, error.what());
        }
      },
      help);
  return option;
}

/// LASTCALL_IDLE_GRACE for --idle-grace.
std::string environment_name(const std::string& flag) {
  std::string name = "LASTCALL_";
  for (char c : flag.substr(2)) name.push_back(c == '-' ? '_' : static_cast<char>(std::toupper(c)));
  return name;
}

uint32_t parse_count(const std::string& text) {
  uint32_t count = 0;
  auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (code != std::errc() || end != text.data() + text.size()) bad(text, "a whole number");
  return count;
}

uint32_t parse_positive(const std::string& text) {
  uint32_t count = parse_count(text);
  if (count == 0) bad(text, "a whole number from 1");
  return count;
}

uint32_t parse_reactors(const std::string& text) {
  constexpr uint32_t kMost = 1024;
  if (text == "auto") return 0;
  uint32_t count = parse_count(text);
  if (count == 0 || count > kMost) bad(text, "'auto' or a number from 1 to 1024");
  return count;
}

uint64_t parse_header_size(const std::string& text) {
  uint64_t size = parse_size(text);
  if (size < 256 || size > (1u << 20)) bad(text, "a size from 256 to 1M");
  return size;
}

IoChoice parse_io(const std::string& text) {
  if (text == "auto") return IoChoice::automatic;
  if (text == "epoll") return IoChoice::epoll;
  if (text == "io_uring") return IoChoice::io_uring;
  bad(text, "one of auto, io_uring, epoll");
}

std::optional<GateTier> parse_gate(const std::string& text) {
  if (text == "auto") return {};
  for (GateTier tier : {GateTier::parking, GateTier::syn_filter, GateTier::plain}) {
    if (text == to_string(tier)) return tier;
  }
  bad(text, "one of auto, parking, syn_filter, plain");
}

ForwardedHeader parse_forwarded(const std::string& text) {
  if (text == "off") return ForwardedHeader::off;
  if (text == "x-forwarded-for") return ForwardedHeader::x_forwarded_for;
  if (text == "forwarded") return ForwardedHeader::forwarded;
  bad(text, "one of x-forwarded-for, forwarded, off");
}

Duration parse_patience(const std::string& text) {
  const Duration duration = parse_duration(text);
  if (duration <= Duration::zero()) bad(text, "a duration above 0");
  return duration;
}

std::string parse_admin(const std::string& text) {
  return text == "off" ? "" : text;
}

template <class T>
T value_or_throw(Result<T> result) {
  if (!result) throw std::invalid_argument(result.error().message);
  return *result;
}

CLI::Option* add_list(CLI::App& app, const std::string& flag, std::vector<std::string>& target,
                      const std::string& help) {
  return app.add_option(flag, target, help)->take_all()->allow_extra_args(false)->delimiter(',');
}

/// Who the client is behind proxies.
void add_client_options(CLI::App& app, ServerOptions& server) {
  add_list(
      app, "--proxy-protocol", server.proxy_protocol,
      "connections to this address of --listen (or all) begin with a PROXY header, version 1 or 2, and come "
      "from --trusted-proxies; repeatable");
  add_list(app, "--trusted-proxies", server.trusted_proxies,
           "who may say for whom it speaks: addresses, networks such as 10.0.0.0/8, loopback, unix");
  add_parsed(
      app, "--forwarded-header", server.forwarded_header, parse_forwarded,
      "the field that trusted proxies name their client in: x-forwarded-for, forwarded (RFC 7239) or off "
      "[x-forwarded-for with --trusted-proxies, else off]");
}

void add_server_options(CLI::App& app, Options& options) {
  ServerOptions& server = options.server;
  add_list(app, "--listen", server.listen,
           "HOST:PORT, [V6]:PORT, :PORT (dual stack), unix:PATH, fd:N, or fd:NAME of a socket that systemd "
           "passed; repeatable")
      ->capture_default_str();
  add_parsed(app, "--reactors", server.reactors, parse_reactors,
             "threads that serve; auto: one per usable CPU");
  add_parsed(app, "--io", server.io, parse_io,
             "auto, io_uring or epoll; auto falls back to epoll, saying why");
  app.add_flag("--pin", server.pin, "reactor i runs on CPU i and gets the connections that arrive there");
  add_parsed(app, "--gate", server.gate, parse_gate,
             "how a stop keeps new connections away: auto, parking, syn_filter or plain [auto]");
  add_parsed(app, "--announce", server.stop.announce, parse_duration,
             "lame duck: how long a stop still accepts [0s]");
  add_parsed(app, "--idle-grace", server.stop.idle_grace, parse_duration,
             "while stopping, how long an idle connection may send one more request [1s]");
  add_parsed(app, "--deadline", server.stop.deadline, parse_duration, "the whole stop, to the exit [25s]");
  add_parsed(app, "--header-timeout", server.header_timeout, parse_duration,
             "for a whole request head [10s]");
  add_parsed(app, "--body-timeout", server.body_timeout, parse_duration, "without a byte of a body [30s]");
  add_parsed(app, "--write-timeout", server.write_timeout, parse_duration,
             "without the client taking a byte [30s]");
  add_parsed(app, "--idle-timeout", server.idle_timeout, parse_duration, "between two requests [75s]");
  add_parsed(app, "--upgrade-timeout", server.upgrade_timeout, parse_patience,
             "after SIGUSR2, for the new process to become ready [60s]");
  add_parsed(app, "--max-connections", server.max_connections, parse_positive,
             "beyond it: 503 [from the descriptor limit]");
  add_parsed(app, "--max-connections-per-client", server.max_connections_per_client, parse_positive,
             "of one IPv4 address, or one /64 of IPv6; beyond it: 503 [off]");
  add_parsed(app, "--max-in-flight", server.max_in_flight, parse_positive,
             "requests being handled, on all reactors; beyond it: 503 [off]");
  app.add_flag("--unready-when-full", server.unready_when_full,
               "/readyz is 503 while --max-connections or --max-in-flight is reached, until below 90 %");
  add_client_options(app, server);
  add_parsed(app, "--max-header-bytes", server.limits.max_header_bytes, parse_header_size,
             "beyond it: 431 [16k]");
  add_parsed(app, "--max-body-bytes", server.limits.max_body_bytes, parse_size, "beyond it: 413 [1M]");
  add_parsed(app, "--admin", server.admin, parse_admin,
             "answer /livez, /readyz, /status, /metrics and a page for people there, and POST /drain, which "
             "starts the stop; an address as of --listen, or off [off]");
  app.add_flag("--fd-store", server.fd_store,
               "systemd keeps the TCP listeners for the next process; needs FileDescriptorStoreMax=");
  app.add_flag("--allow-remote-shutdown", options.allow_remote_shutdown,
               "POST /shutdown starts the stop; else it is 404");
  app.add_option("--report", server.report,
                 "write the drain report there as JSON: a file, or - for standard output");
  add_parsed(
      app, "--log-format", options.log_format,
      [](const std::string& t) { return value_or_throw(parse_log_format(t)); }, "text or json [text]");
  add_parsed(
      app, "--log-level", options.log_level,
      [](const std::string& t) { return value_or_throw(parse_log_level(t)); },
      "debug, info, warning, error or off [info]");
}

/// What the command line and the environment leave open.
void apply_config(CLI::App& app, const std::string& path) {
  Result<std::vector<ConfigEntry>> entries = read_config(path);
  if (!entries) throw CLI::FileError(entries.error().message);
  for (const ConfigEntry& entry : *entries) {
    CLI::Option* option = app.get_option_no_throw("--" + entry.name);
    if (option == nullptr || option->get_envname().empty() || entry.name == "config") {
      throw CLI::ConfigError(entry.place + ": unknown option '" + entry.name + "'");
    }
    if (option->count() != 0) continue;
    try {
      option->add_result(entry.values);
      option->run_callback();
    } catch (const CLI::ParseError& error) {
      throw CLI::ConfigError(entry.place + ": " + error.what());
    }
  }
}

/// All of it: flags over environment over file. Throws CLI::ParseError.
void parse(CLI::App& app, int argc, char** argv, Options& options) {
  options.server.signals.assign(Signals::kAll.begin(), Signals::kAll.end());
  std::string config;
  app.add_option("--config", config, "read options from a TOML file with lines such as idle-grace = \"2s\"");
  app.add_flag("--version", options.version, "print version, build, kernel and io, and exit");
  app.add_flag("--json", options.json, "with --version: as JSON");
  CLI::App* demo = app.add_subcommand("demo", "serve the demonstration routes");
  demo->fallthrough();  // flags may stand behind the command
  add_admin_commands(app, options.admin_command);
  app.require_subcommand(0, 1);
  add_server_options(app, options);
  for (CLI::Option* option : app.get_options()) {
    const std::string name = option->get_name();
    if (name != "--help" && name != "--version" && name != "--json") {
      option->envname(environment_name(option->get_name()));
    }
  }
  app.parse(argc, argv);
  if (!options.version && app.get_subcommands().empty())
    throw CLI::RequiredError("a command: demo, status, drain, top or upgrade");
  if (!config.empty()) apply_config(app, config);
  const StopOptions& stop = options.server.stop;
  if (stop.announce > 0s && stop.announce >= stop.deadline)
    throw CLI::ValidationError("--announce", "must be shorter than --deadline, of which it is a part");
}

}  // namespace

Duration parse_duration(const std::string& text) {
  constexpr const char* kExpected = "a duration such as 250ms, 2s, 1m";
  static const std::map<std::string, double> kUnits = {{"ms", 1e6}, {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}};
  auto [number, unit] = split_unit(text, kExpected);
  if (unit.empty() && number == 0) return Duration::zero();
  auto found = kUnits.find(unit);
  if (found == kUnits.end() || number * found->second > kLongestDays * 86400e9) bad(text, kExpected);
  return Duration(static_cast<int64_t>(number * found->second));
}

uint64_t parse_size(const std::string& text) {
  constexpr const char* kExpected = "a size such as 512, 16k, 1M, 10G";
  static const std::map<std::string, uint64_t> kUnits = {
      {"", 1}, {"k", 1u << 10}, {"K", 1u << 10}, {"M", 1u << 20}, {"G", 1u << 30}};
  uint64_t number = 0;
  auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), number);
  auto found = kUnits.find(std::string(end, text.data() + text.size()));
  if (code != std::errc() || found == kUnits.end() || number > (uint64_t{1} << 50) / found->second) {
    bad(text, kExpected);
  }
  return number * found->second;
}

std::variant<Options, int> parse_options(int argc, char** argv) {
  CLI::App app{"lastcall: an HTTP server that stops without losing a request"};
  Options options;
  try {
    parse(app, argc, argv, options);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) {
      app.exit(error);
      return 0;
    }
    std::cerr << "lastcall: " << error.what() << "\nTry 'lastcall --help'.\n";
    return 1;
  }
  return options;
}

Result<Options> read_options_again(int argc, char** argv) {
  CLI::App app;
  Options options;
  try {
    parse(app, argc, argv, options);
  } catch (const CLI::ParseError& failure) {
    return error(failure.what());
  }
  return options;
}

}  // namespace lastcall::tool
