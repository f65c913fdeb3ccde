#include "tests/e2e/fixture.hpp"

namespace lastcall::e2e {
namespace {

using testing::HasSubstr;

/// A file that lives as long as the test.
class ConfigFile {
 public:
  explicit ConfigFile(const std::string& content)
      : path_(testing::TempDir() + "lastcall-" + std::to_string(::getpid()) + ".toml") {
    std::ofstream(path_) << content;
  }
  ~ConfigFile() { ::unlink(path_.c_str()); }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// The deadline that a server started like this would give its stop.
std::string deadline_of(Arguments arguments, std::vector<std::string> environment = {}) {
  arguments.insert(arguments.begin(), "demo");
  for (const char* more : {"--listen", "127.0.0.1:0", "--reactors", "1"}) arguments.emplace_back(more);
  ServerProcess process(lastcall_binary(), std::move(arguments), {.environment = std::move(environment)});
  if (!process.wait_for_event("ready")) return "did not start: " + process.log();
  process.signal(SIGTERM);
  std::string line = process.wait_for_event("stop_requested").value_or("");
  EXPECT_EQ(process.wait_exit(), 0);
  return log_field(line, "deadline");
}

TEST(CommandLine, VersionSaysWhatThisIs) {
  Finished version = run_to_end({"--version"});
  EXPECT_EQ(version.exit_code, 0);
  EXPECT_THAT(version.output, testing::StartsWith("lastcall 0."));
  EXPECT_THAT(version.output, HasSubstr("kernel"));
  EXPECT_THAT(version.output, HasSubstr("io"));
  EXPECT_EQ(version.errors, "");
}

TEST(CommandLine, VersionAsJson) {
  Finished version = run_to_end({"--version", "--json"});
  EXPECT_EQ(version.exit_code, 0);
  Json parsed = Json::parse(version.output, nullptr, false);
  ASSERT_FALSE(parsed.is_discarded()) << version.output;
  for (const char* key : {"version", "compiler", "build", "kernel", "liburing", "io", "usable_cpus"}) {
    EXPECT_TRUE(parsed.contains(key)) << key;
  }
}

TEST(CommandLine, HelpNamesEveryOption) {
  for (const Arguments& arguments : {Arguments{"--help"}, Arguments{"-h"}}) {
    Finished help = run_to_end(arguments);
    EXPECT_EQ(help.exit_code, 0);
    for (const char* option : {"--listen",
                               "--reactors",
                               "--io",
                               "--pin",
                               "--announce",
                               "--idle-grace",
                               "--deadline",
                               "--header-timeout",
                               "--body-timeout",
                               "--write-timeout",
                               "--idle-timeout",
                               "--max-connections",
                               "--max-header-bytes",
                               "--max-body-bytes",
                               "--report",
                               "--log-format",
                               "--log-level",
                               "--version",
                               "--config",
                               "--admin",
                               "--fd-store",
                               "demo"}) {
      EXPECT_THAT(help.output, HasSubstr(option));
    }
  }
  EXPECT_EQ(run_to_end({"demo", "--help"}).exit_code, 0);
}

TEST(CommandLine, MistakeIsExitCode1AndNamesTheFlag) {
  const std::vector<Arguments> kMistakes = {{"--deadline", "5"},
                                            {"--deadline", "-1s"},
                                            {"--deadline", "soon"},
                                            {"--idle-grace", "1x"},
                                            {"--announce", ""},
                                            {"--header-timeout", "s"},
                                            {"--body-timeout", "1 s"},
                                            {"--write-timeout", "1e99s"},
                                            {"--idle-timeout", "99999999h"},
                                            {"--reactors", "0"},
                                            {"--reactors", "many"},
                                            {"--reactors", "-1"},
                                            {"--io", "kqueue"},
                                            {"--max-connections", "0"},
                                            {"--max-connections", "x"},
                                            {"--max-body-bytes", "1Q"},
                                            {"--max-header-bytes", "1"},
                                            {"--max-header-bytes", "-1k"},
                                            {"--log-level", "loud"},
                                            {"--log-format", "xml"},
                                            {"--no-such-flag"},
                                            {"--config", "/nonexistent"},
                                            {"--config", "/tmp"},
                                            {"--gate", "open"},
                                            {"--announce", "2s", "--deadline", "2s"},
                                            {"--max-connections", "4294967296"}};
  for (const Arguments& mistake : kMistakes) {
    Arguments arguments = mistake;
    arguments.insert(arguments.begin(), "demo");
    Finished finished = run_to_end(arguments);
    EXPECT_EQ(finished.exit_code, 1) << testing::PrintToString(mistake);
    EXPECT_THAT(finished.errors, HasSubstr(mistake.front()));
    EXPECT_EQ(finished.output, "");
  }
}

// One argument each: what follows the address is no address.
TEST(CommandLine, ListenTakesOneAddress) {
  Finished finished = run_to_end({"demo", "--listen", "127.0.0.1:0", "127.0.0.1:0"});
  EXPECT_EQ(finished.exit_code, 1);
  EXPECT_THAT(finished.errors, HasSubstr("127.0.0.1:0"));
}

TEST(CommandLine, AsManyConnectionsAsCanBeSaid) {
  ServerProcess process(lastcall_binary(), {"demo", "--listen", "127.0.0.1:0", "--reactors", "1",
                                            "--max-connections", "4294967295"});
  ASSERT_TRUE(process.wait_for_event("ready")) << process.log();
  RawClient client(process.addresses().at(0));
  EXPECT_EQ(client.ask(get_request("/plaintext", "Connection: close\r\n")).status, 200);
  process.signal(SIGTERM);
  EXPECT_EQ(process.wait_exit(), 0);
}

TEST(CommandLine, BadAddressIsExitCode1AndNamesIt) {
  for (const char* address : {"nonsense", "127.0.0.1", "127.0.0.1:70000", "127.0.0.1:x", "[::1",
                              "unix:", "fd:x", "::1:80", "no.such.host.invalid:80", "192.0.2.1:0"}) {
    Finished finished = run_to_end({"demo", "--listen", address});
    EXPECT_EQ(finished.exit_code, 1) << address;
    EXPECT_THAT(finished.errors, HasSubstr(address));
  }
}

TEST(CommandLine, ACommandIsNeeded) {
  EXPECT_EQ(run_to_end({}).exit_code, 1);
  EXPECT_EQ(run_to_end({"dance"}).exit_code, 1);
}

TEST(CommandLine, FlagsWinOverEnvironmentOverFileOverDefault) {
  ConfigFile file("deadline = \"7s\"\n");
  EXPECT_EQ(deadline_of({}), "25s");
  EXPECT_EQ(deadline_of({"--config", file.path()}), "7s");
  EXPECT_EQ(deadline_of({}, {"LASTCALL_DEADLINE=8s"}), "8s");
  EXPECT_EQ(deadline_of({"--config", file.path()}, {"LASTCALL_DEADLINE=8s"}), "8s");
  EXPECT_EQ(deadline_of({"--config", file.path(), "--deadline", "9s"}, {"LASTCALL_DEADLINE=8s"}), "9s");
  EXPECT_EQ(deadline_of({"--config", file.path(), "--deadline", "9s"}), "9s");
}

TEST(CommandLine, ConfigFileMayBeNamedByTheEnvironment) {
  ConfigFile file("# how this one stops\ndeadline = \"7s\"\nidle-grace = \"30ms\"\npin = false\n");
  EXPECT_EQ(deadline_of({}, {"LASTCALL_CONFIG=" + file.path()}), "7s");
}

TEST(CommandLine, ConfigFileMayNameSeveralAddresses) {
  ConfigFile file("listen = [\"127.0.0.1:0\", \"127.0.0.1:0\"]\nreactors = 1\n");
  ServerProcess process(lastcall_binary(), {"demo", "--config", file.path()});
  ASSERT_TRUE(process.wait_for_event("ready")) << process.log();
  EXPECT_EQ(process.addresses().size(), 2u);
  process.signal(SIGTERM);
  EXPECT_EQ(process.wait_exit(), 0);
}

TEST(CommandLine, ListenMayComeFromTheEnvironment) {
  ServerProcess process(lastcall_binary(), {"demo"},
                        {.environment = {"LASTCALL_LISTEN=127.0.0.1:0,[::1]:0", "LASTCALL_REACTORS=1"}});
  ASSERT_TRUE(process.wait_for_event("ready")) << process.log();
  EXPECT_EQ(process.addresses().size(), 2u);
  process.signal(SIGTERM);
  EXPECT_EQ(process.wait_exit(), 0);
}

TEST(CommandLine, MistakeInTheFileIsExitCode1) {
  {
    ConfigFile file("deadline = \"soon\"\n");
    Finished finished = run_to_end({"demo", "--config", file.path()});
    EXPECT_EQ(finished.exit_code, 1);
    EXPECT_THAT(finished.errors, HasSubstr("deadline"));
  }
  ConfigFile file("no-such-option = 1\n");
  Finished finished = run_to_end({"demo", "--config", file.path(), "--listen", "127.0.0.1:0"});
  EXPECT_EQ(finished.exit_code, 1);
  EXPECT_THAT(finished.errors, HasSubstr("no-such-option"));
}

TEST(CommandLine, MistakeInTheEnvironmentIsExitCode1) {
  Finished finished =
      run_to_end({"demo", "--listen", "127.0.0.1:0"}, {.environment = {"LASTCALL_IO=kqueue"}});
  EXPECT_EQ(finished.exit_code, 1);
  EXPECT_THAT(finished.errors, HasSubstr("kqueue"));
}

// Where io_uring is forbidden, as it is under the default filters of container runtimes.
TEST(IoChoice, AutomaticFallsBackAndSaysWhy) {
  ServerProcess process(lastcall_binary(), {"demo", "--listen", "127.0.0.1:0", "--reactors", "1"},
                        {.deny_io_uring = true});
  ASSERT_TRUE(process.wait_for_event("ready")) << process.log();
  std::string fallback = process.wait_for_event("io_fallback").value_or("");
  EXPECT_EQ(log_field(fallback, "io"), "epoll");
  EXPECT_THAT(fallback, HasSubstr("not permitted"));
  EXPECT_EQ(log_field(process.wait_for_event("listening").value_or(""), "io"), "epoll");
  EXPECT_EQ(RawClient(process.addresses().at(0)).ask(get_request("/plaintext")).status, 200);
  process.signal(SIGTERM);
  EXPECT_EQ(process.wait_exit(), 0);
}

TEST(IoChoice, WishForIoUringFailsClearly) {
  Finished finished =
      run_to_end({"demo", "--listen", "127.0.0.1:0", "--io", "io_uring"}, {.deny_io_uring = true});
  EXPECT_EQ(finished.exit_code, 1);
  EXPECT_THAT(finished.errors, HasSubstr("--io"));
  EXPECT_THAT(finished.errors, HasSubstr("not permitted"));
}

TEST(IoChoice, VersionTellsWhatWouldBeUsed) {
  Finished finished = run_to_end({"--version", "--json"}, {.deny_io_uring = true});
  Json parsed = Json::parse(finished.output);
  EXPECT_EQ(parsed.at("io"), "epoll");
  EXPECT_THAT(parsed.at("io_uring_refused").get<std::string>(), HasSubstr("not permitted"));
}

}  // namespace
}  // namespace lastcall::e2e
