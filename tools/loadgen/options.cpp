#include "options.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <csignal>
#include <iostream>
#include <map>
#include <stdexcept>

namespace lastcall::load {
namespace {

[[noreturn]] void bad(const std::string& text, const std::string& expected) {
  throw std::invalid_argument("'" + text + "' is not " + expected);
}

Duration parse_duration(const std::string& text) {
  constexpr double kLongestSeconds = 86400;
  static const std::map<std::string, double> kSeconds = {
      {"us", 1e-6}, {"ms", 1e-3}, {"s", 1}, {"m", 60}, {"h", 3600}};
  double number = 0;
  auto [end, code] =
      std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  auto unit = kSeconds.find(std::string(end, text.data() + text.size()));
  if (code == std::errc() && text.find_first_not_of("0.") == std::string::npos) return {};
  if (code != std::errc() || unit == kSeconds.end() || !(number >= 0) ||
      number * unit->second > kLongestSeconds) {
    bad(text, "a duration such as 250us, 2ms, 1.5s, 1m, of a day at most");
  }
  return Duration(static_cast<int64_t>(number * unit->second * 1e9));
}

Duration parse_positive_duration(const std::string& text) {
  Duration duration = parse_duration(text);
  if (duration == Duration::zero()) bad(text, "a duration above zero");
  return duration;
}

template <uint64_t kLeast, uint64_t kMost>
uint64_t parse_count(const std::string& text) {
  uint64_t count = 0;
  auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (code != std::errc() || end != text.data() + text.size() || count < kLeast || count > kMost) {
    bad(text, "a whole number from " + std::to_string(kLeast) + " to " + std::to_string(kMost));
  }
  return count;
}

uint64_t parse_size(const std::string& text) {
  static const std::map<std::string, uint64_t> kUnits = {{"", 1}, {"k", 1 << 10}, {"M", 1 << 20}};
  uint64_t number = 0;
  auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), number);
  auto unit = kUnits.find(std::string(end, text.data() + text.size()));
  if (code != std::errc() || unit == kUnits.end() || number > kMostBodyBytes / unit->second) {
    bad(text, "a size such as 512, 16k, 1M, of 64M at most");
  }
  return number * unit->second;
}

double parse_rate(const std::string& text) {
  double rate = 0;
  auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), rate);
  if (code != std::errc() || end != text.data() + text.size() || !(rate > 0 && rate <= 1e7)) {
    bad(text, "a number of requests a second, above 0, at most 10000000");
  }
  return rate;
}

bool is_token(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || std::string_view("!#$%&'*+-.^_`|~").contains(c);
  });
}

std::string parse_method(const std::string& text) {
  if (!is_token(text) || text == "CONNECT") bad(text, "a method such as GET or POST");
  return text;
}

std::string parse_path(const std::string& text) {
  if (text != "*" && !text.starts_with('/')) bad(text, "a path: it begins with /");
  if (std::ranges::any_of(text, [](char c) { return c <= ' ' || c == 0x7f; })) {
    bad(text, "a path without blanks; write %20");
  }
  return text;
}

std::string parse_header(const std::string& text) {
  size_t colon = text.find(':');
  if (colon == std::string::npos || !is_token(text.substr(0, colon)) ||
      text.find_first_of("\r\n") != std::string::npos) {
    bad(text, "a header such as 'Name: value'");
  }
  return text;
}

std::string without(const std::string& text, std::string_view prefix) {
  return text.starts_with(prefix) ? text.substr(prefix.size()) : text;
}

/// HOST:PORT and the like, or http://HOST:PORT/path, whose path is added to `paths`.
Address parse_target(std::string text, std::vector<std::string>& paths) {
  constexpr std::string_view kScheme = "http://";
  if (text.starts_with("https://")) bad(text, "a target: TLS is not spoken here");
  if (text.starts_with(kScheme)) {
    text.erase(0, kScheme.size());
    if (size_t slash = text.find('/'); slash != std::string::npos) {
      paths.push_back(parse_path(text.substr(slash)));
      text.resize(slash);
    }
    if (text.find(':') == std::string::npos || text.ends_with(']')) text += ":80";
  }
  Result<Address> address = parse_address(text);
  if (!address) throw std::invalid_argument(without(address.error().message, "listen "));
  if (address->dual_stack) bad(text, "a target: it needs a host");
  if (address->kind == Address::Kind::inherited) bad(text, "a target: there is nothing to connect to");
  if (address->kind == Address::Kind::inet && address->port() == 0) bad(text, "a target: it needs a port");
  return *std::move(address);
}

using Take = std::function<void(const std::string&)>;

void take_or_name(const Take& take, const std::string& flag, const std::string& text) {
  try {
    take(text);
  } catch (const std::invalid_argument& error) {
    throw CLI::ValidationError(flag, error.what());
  }
}

/// Adds an option that may be given more than once; errors name the flag.
CLI::Option* add_each(CLI::App& app, const std::string& flag, const std::string& help, const Take& take) {
  return app
      .add_option_function<std::vector<std::string>>(
          flag,
          [take, flag](const std::vector<std::string>& texts) {
            for (const std::string& text : texts) take_or_name(take, flag, text);
          },
          help)
      ->take_all()
      ->allow_extra_args(false);
}

template <class T, class Parse>
void add(CLI::App& app, const std::string& flag, T& target, Parse parse, const std::string& help) {
  Take take = [&target, parse](const std::string& text) { target = static_cast<T>(parse(text)); };
  app.add_option_function<std::string>(
      flag, [take, flag](const std::string& text) { take_or_name(take, flag, text); }, help);
}

void add_who(CLI::App& app, LoadOptions& options) {
  add_each(
      app, "TARGET", "HOST:PORT, [V6]:PORT, unix:PATH or http://HOST:PORT/path; several are taken in turn",
      [&options](const std::string& text) { options.targets.push_back(parse_target(text, options.paths)); })
      ->allow_extra_args();
  add(app, "--keep-alive", options.keep_alive, parse_count<0, kMostConnections>,
      "clients that keep their connection [64]");
  add(app, "--fresh", options.fresh, parse_count<0, kMostConnections>,
      "clients that open a connection for each request [0]");
  add(app, "--think", options.think, parse_duration,
      "closed loop: a keep-alive client pauses 0 to this after an answer [0]");
  add(app, "--fresh-think", options.fresh_think, parse_duration, "the same for the --fresh clients [0]");
  add(app, "--rate", options.rate, parse_rate,
      "open loop: requests a second of all clients together, whatever the answers do");
  add(app, "--duration", options.duration, parse_positive_duration, "how long requests are begun [10s]");
  add(app, "--requests", options.requests, parse_count<1, UINT64_MAX>, "begin at most so many");
  add(app, "--timeout", options.timeout, parse_positive_duration,
      "a request without its whole answer after this is stuck [5s]");
  add(app, "--threads", options.threads, parse_count<1, kMostThreads>,
      "among which the clients are divided [1]");
  add(app, "--pipeline", options.pipeline, parse_count<1, kMostPipelined>,
      "requests a keep-alive client sends at once [1]");
  add(app, "--seed", options.seed, parse_count<0, UINT64_MAX>, "of the think times [1]");
}

void add_what(CLI::App& app, LoadOptions& options) {
  add(app, "--method", options.method, parse_method, "[GET]");
  add_each(app, "--path", "repeatable: taken in turn [/]",
           [&options](const std::string& text) { options.paths.push_back(parse_path(text)); });
  add_each(app, "--header", "'Name: value', repeatable",
           [&options](const std::string& text) { options.headers.push_back(parse_header(text)); });
  add(app, "--body", options.body_bytes, parse_size, "bytes of body in each request, such as 16k [0]");
  app.add_flag("--chunked", options.chunked, "send the body in chunks instead of with Content-Length");
}

void add_end(CLI::App& app, LoadOptions& options) {
  add_each(app, "--signal", "PID:NAME@TIME, such as 4711:TERM@2s: send it at that time; repeatable",
           [&options](const std::string& text) { options.signals.push_back(parse_signal(text)); });
  app.add_flag("--stop-when-refused", options.stop_when_refused, "end when no client can connect any more");
  app.add_flag("--allow-5xx", options.allow_5xx, "an answer of 500 and above is no failure");
  app.add_flag("--json", options.json, "print one JSON object instead of the table");
  app.add_option("--samples", options.samples, "write a line 'due_us latency_us status' for each answer");
}

void require(bool condition, const char* flag, const char* message) {
  if (!condition) throw CLI::ValidationError(flag, message);
}

void check(LoadOptions& options) {
  require(!options.targets.empty(), "TARGET", "needed: where to send requests, such as 127.0.0.1:8080");
  require(options.clients() >= 1, "--keep-alive", "no clients: it and --fresh are both 0");
  require(options.clients() <= kMostConnections, "--fresh", "with --keep-alive more than 10000 connections");
  require(options.threads <= options.clients(), "--threads", "more than there are clients");
  bool thinks = options.think > Duration::zero() || options.fresh_think > Duration::zero();
  require(options.rate == 0 || !thinks, "--think", "excludes --rate: in the open loop the clock decides");
  require(options.rate == 0 || options.pipeline == 1, "--pipeline", "excludes --rate");
  require(options.pipeline == 1 || options.keep_alive > 0, "--pipeline", "needs --keep-alive clients");
  require(std::ranges::all_of(options.signals,
                              [&](const PlannedSignal& one) { return one.at < options.duration; }),
          "--signal", "its time is not before the end of --duration");
  if (options.paths.empty()) options.paths.emplace_back("/");
}

}  // namespace

PlannedSignal parse_signal(const std::string& text) {
  static const std::map<std::string, int> kNames = {{"TERM", SIGTERM}, {"INT", SIGINT},   {"QUIT", SIGQUIT},
                                                    {"HUP", SIGHUP},   {"USR1", SIGUSR1}, {"USR2", SIGUSR2},
                                                    {"KILL", SIGKILL}, {"STOP", SIGSTOP}, {"CONT", SIGCONT}};
  constexpr const char* kExpected = "PID:NAME@TIME such as 4711:TERM@2s";
  size_t colon = text.find(':');
  size_t at = text.find('@');
  if (colon == std::string::npos || at == std::string::npos || at < colon) bad(text, kExpected);
  PlannedSignal planned;
  planned.name = text.substr(colon + 1, at - colon - 1);
  if (planned.name.starts_with("SIG")) planned.name.erase(0, 3);
  auto found = kNames.find(planned.name);
  if (found == kNames.end()) {
    bad(planned.name, "a signal; there are: TERM INT QUIT HUP USR1 USR2 KILL STOP CONT");
  }
  planned.number = found->second;
  planned.pid = static_cast<pid_t>(parse_count<1, INT32_MAX>(text.substr(0, colon)));
  planned.at = parse_duration(text.substr(at + 1));
  if (::kill(planned.pid, 0) != 0) bad(text.substr(0, colon), "a process that can be signalled");
  return planned;
}

std::variant<LoadOptions, int> parse_options(int argc, char** argv) {
  LoadOptions options;
  CLI::App app{"lastcall-load: requests at an HTTP/1.1 server, and an honest count of those that it loses",
               "lastcall-load"};
  add_who(app, options);
  add_what(app, options);
  add_end(app, options);
  app.footer(
      "Exit code: 0 nothing was lost, 1 something was (or 5xx without --allow-5xx, or nothing was answered), "
      "2 a "
      "mistake in the options.");
  try {
    app.parse(argc, argv);
    check(options);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) {
      app.exit(error);
      return 0;
    }
    std::cerr << "lastcall-load: " << error.what() << "\nTry 'lastcall-load --help'.\n";
    return 2;
  }
  return options;
}

}  // namespace lastcall::load
