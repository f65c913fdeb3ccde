#pragma once

#include <poll.h>
#include <sys/socket.h>

#include <chrono>
#include <thread>

#include "tests/e2e/fixture.hpp"

namespace lastcall::e2e {

using Clock = std::chrono::steady_clock;

/// A server with an admin listener, as whoever watches over it sees it.
class Admin : public EndToEnd {
 protected:
  /// How long the process may be there after it should be gone; this machine may be busy.
  static inline const Duration kLate = kSanitized ? 3s : 500ms;

  void TearDown() override {
    EndToEnd::TearDown();
    ::unlink(socket_path().c_str());
  }

  void start(Arguments arguments = {}, ProcessOptions options = {}) {
    add_default(arguments, "--admin", "127.0.0.1:0");
    EndToEnd::start(std::move(arguments), std::move(options));
    const std::string line = server().wait_for_event("admin_listening").value_or("");
    admin_ = log_field(line, "address");
  }

  [[nodiscard]] const std::string& admin() const { return admin_; }
  [[nodiscard]] static std::string socket_path() {
    return testing::TempDir() + "lastcall-admin-" + std::to_string(::getpid()) + ".sock";
  }
  [[nodiscard]] RawClient watch(ClientOptions options = {}) const {
    RawClient client(admin_, options);
    EXPECT_TRUE(client.connected()) << std::generic_category().message(client.connect_error());
    return client;
  }
  [[nodiscard]] HttpAnswer look(const std::string& target) const {
    return watch().ask(get_request(target, "Connection: close\r\n"));
  }
  [[nodiscard]] Json status() const {
    const HttpAnswer answer = look("/status");
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.header("Content-Type"), "application/json");
    Json parsed = Json::parse(answer.body, nullptr, false);
    EXPECT_FALSE(parsed.is_discarded()) << answer.body;
    return parsed;
  }
  /// Of the only reactor, as soon as they are as expected, or else what they are after some seconds: it
  /// counts at the end of a turn, so whoever has an answer may see them as they were before it.
  [[nodiscard]] Json await_counters(const Json& expected) const {
    Json told;
    for (const Clock::time_point limit = Clock::now() + 5s; told != expected && Clock::now() < limit;) {
      const Json reactor = status().at("reactors").at(0);
      for (const auto& [name, value] : expected.items()) told[name] = reactor.at(name);
      if (told != expected) std::this_thread::sleep_for(5ms);
    }
    return told;
  }
  [[nodiscard]] std::string phase() const { return status().at("phase"); }
  [[nodiscard]] int64_t loop_lag_us() const { return status().at("reactors").at(0).at("loop_lag_us"); }

  /// Keeps the only reactor busy from the time this returns; the client is the one that does.
  RawClient hog_the_reactor(int ms) {
    RawClient client = connect();
    const Duration before = server().cpu_time();
    client.send(get_request("/spin?ms=" + std::to_string(ms)));
    while (server().cpu_time() - before < 30ms) EXPECT_FALSE(client.readable(5ms));
    return client;
  }

  /// A client with far more answers on their way than it and the kernel take.
  [[nodiscard]] RawClient watch_without_reading() const {
    RawClient client = watch({.receive_buffer_bytes = 4096});
    const std::string request = get_request("/status");
    pollfd room{.fd = client.fd(), .events = POLLOUT, .revents = 0};
    while (::poll(&room, 1, 200) == 1) {
      if (::send(client.fd(), request.data(), request.size(), MSG_DONTWAIT | MSG_NOSIGNAL) < 0) break;
    }
    return client;
  }

 private:
  std::string admin_;
};

}  // namespace lastcall::e2e
