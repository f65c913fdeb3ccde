#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lastcall/core/probe.hpp>

#include "tests/e2e/programs.hpp"
#include "tests/support/raw_client.hpp"
#include "tests/support/server_process.hpp"

namespace lastcall::e2e {

using Json = nlohmann::json;
using Arguments = std::vector<std::string>;

inline std::string get_request(const std::string& target, const std::string& fields = "") {
  return "GET " + target + " HTTP/1.1\r\nHost: test\r\n" + fields + "\r\n";
}

inline std::string post_request(const std::string& target, const std::string& body,
                                const std::string& fields = "") {
  return "POST " + target + " HTTP/1.1\r\nHost: test\r\n" + fields +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

inline std::string chunk(const std::string& bytes) {
  char size[20];
  std::snprintf(size, sizeof size, "%zx\r\n", bytes.size());
  return size + bytes + "\r\n";
}

/// `lastcall demo` on a port of its own, over the backend that is the parameter. Every test that leaves its
/// server running sees it stop with exit code 0 and every connection counted once.
class EndToEnd : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (std::string(GetParam()) != "io_uring") return;
    if (Result<void> probed = probe_uring(); !probed) GTEST_SKIP() << probed.error().message;
  }

  void TearDown() override {
    if (server_ != nullptr) {
      if (!server_->wait_exit(0s)) {
        EXPECT_EQ(stop(), 0);
      }
      if (HasFailure()) ADD_FAILURE() << "the server's log:\n" << server_->log().substr(0, 20'000);
    }
    ::unlink(report_path().c_str());
  }

  /// Adds `--name value` unless it is among the arguments.
  static void add_default(Arguments& arguments, const std::string& name, const std::string& value) {
    if (std::ranges::find(arguments, name) != arguments.end()) return;
    arguments.push_back(name);
    arguments.push_back(value);
  }

  /// Starts a server and waits until it listens. One reactor, so that what one connection was answered has
  /// been seen to happen after what was sent before on the others.
  void start(Arguments arguments = {}, ProcessOptions options = {}) {
    arguments.insert(arguments.begin(), "demo");
    add_default(arguments, "--listen", "127.0.0.1:0");
    add_default(arguments, "--io", GetParam());
    add_default(arguments, "--reactors", "1");
    add_default(arguments, "--idle-grace", "20ms");
    add_default(arguments, "--report", report_path());
    start_program(lastcall_binary(), std::move(arguments), std::move(options));
  }

  void start_program(const std::string& program, Arguments arguments, ProcessOptions options = {}) {
    server_ = std::make_unique<ServerProcess>(program, std::move(arguments), std::move(options));
    ASSERT_TRUE(server_->wait_for_event("ready")) << server_->log();
    address_ = server_->addresses().at(0);
    if (address_.starts_with("[::]:")) address_ = "127.0.0.1" + address_.substr(4);
  }

  [[nodiscard]] ServerProcess& server() { return *server_; }
  [[nodiscard]] const std::string& address() const { return address_; }
  [[nodiscard]] RawClient connect(ClientOptions options = {}) {
    RawClient client(address_, options);
    EXPECT_TRUE(client.connected()) << std::generic_category().message(client.connect_error());
    return client;
  }

  /// One request on a connection of its own.
  HttpAnswer get(const std::string& target, const std::string& fields = "") {
    return connect().ask(get_request(target, fields + "Connection: close\r\n"));
  }

  /// Returns when the (only) reactor has seen all that was sent before.
  void settle() {
    if (!settler_.connected()) settler_ = connect();
    ASSERT_EQ(settler_.ask(get_request("/plaintext")).status, 200);
  }

  void begin_stop(int signal = SIGTERM) {
    settler_.close();
    server().signal(signal);
    ASSERT_TRUE(server().wait_for_event("drain_started")) << server().log();
  }

  /// begin_stop(), until every reactor is in it: the listener is closed.
  void begin_stop_for_good() {
    begin_stop();
    // A connection that comes while the gate closes waits for a second: not worth it.
    if (!address_.starts_with("unix:")) {
      ASSERT_TRUE(server().wait_for_event("gate_closed")) << server().log();
    }
    while (RawClient(address_).connected()) {
    }
  }

  /// The exit code of a stop, -1 when it takes for ever. A clean stop must have counted every connection
  /// once.
  int stop(int signal = SIGTERM) {
    settler_.close();
    server().signal(signal);
    return wait_exit();
  }

  int wait_exit() {
    int code = server().wait_exit().value_or(-1);
    if (code == 0 && ::access(report_path().c_str(), R_OK) == 0) expect_counted_once(report());
    return code;
  }

  [[nodiscard]] std::string report_path() const {
    return testing::TempDir() + "lastcall-report-" + std::to_string(::getpid()) + ".json";
  }

  [[nodiscard]] Json report() const {
    std::ifstream file(report_path());
    Json parsed = Json::parse(file, nullptr, false);
    EXPECT_FALSE(parsed.is_discarded());
    return parsed;
  }

  static uint64_t total(const Json& report, const char* counter) {
    uint64_t sum = 0;
    for (const Json& reactor : report.at("reactors")) sum += reactor.at(counter).get<uint64_t>();
    return sum;
  }

  static void expect_counted_once(const Json& report) {
    EXPECT_EQ(total(report, "accepted"), total(report, "idle_closed") + total(report, "completed") +
                                             total(report, "handed_over") + total(report, "aborted"))
        << report.dump(2);
  }

  std::unique_ptr<ServerProcess> server_;

 private:
  std::string address_;
  RawClient settler_;
};

/// A program that is expected to end by itself.
struct Finished {
  int exit_code = -1;
  std::string output;
  std::string errors;
};

inline Finished run_to_end(Arguments arguments, ProcessOptions options = {}) {
  ServerProcess process(lastcall_binary(), std::move(arguments), std::move(options));
  Finished finished;
  finished.exit_code = process.wait_exit(20s).value_or(-1);
  finished.output = process.standard_output();
  finished.errors = process.log();
  return finished;
}

}  // namespace lastcall::e2e

#define LASTCALL_ON_BOTH_BACKENDS(suite)                                    \
  INSTANTIATE_TEST_SUITE_P(Io, suite, testing::Values("epoll", "io_uring"), \
                           [](const auto& made) { return std::string(made.param); })
