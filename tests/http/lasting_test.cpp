#include <gtest/gtest.h>

#include <string>
#include <vector>

#include <lastcall/core/log.hpp>
#include <lastcall/core/probe.hpp>
#include <lastcall/http/server.hpp>

#include "tests/support/raw_client.hpp"

// Bytes that are sent from where they are: in their place among those that are copied.
namespace lastcall::testing {
namespace {

constexpr size_t kManySends = (5 << 20) + 1;

class LastingBytes : public ::testing::TestWithParam<IoChoice> {
 protected:
  void SetUp() override {
    log_configure(LogFormat::text, LogLevel::off);
    if (GetParam() != IoChoice::io_uring) return;
    if (Result<void> probed = probe_uring(); !probed) GTEST_SKIP() << probed.error().message;
  }

  static std::string patterned(size_t size) {
    std::string bytes(size, '\0');
    for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>('a' + (i * 7 + i / 251) % 26);
    return bytes;
  }

  void start() {
    server_.get("/sized", [this](Request&, Response& response) -> Task<> {
      response.content_length(lasting_.size() + 2);
      if (!co_await response.write("(")) co_return;
      if (!co_await response.write_lasting(lasting_)) co_return;
      static_cast<void>(co_await response.write(")"));
    });
    server_.get("/chunked", [this](Request&, Response& response) -> Task<> {
      if (!co_await response.write("(")) co_return;
      if (!co_await response.write_lasting(lasting_)) co_return;
      static_cast<void>(co_await response.write(")"));
    });
    Result<std::vector<std::string>> addresses = server_.start();
    ASSERT_TRUE(addresses) << addresses.error().message;
    address_ = addresses->at(0);
  }

  [[nodiscard]] static ServerOptions options() {
    ServerOptions options;
    options.listen = {"127.0.0.1:0"};
    options.reactors = 1;
    options.io = GetParam();
    return options;
  }

  std::string lasting_ = patterned(kManySends);
  Server server_{options()};
  std::string address_;
};
INSTANTIATE_TEST_SUITE_P(Io, LastingBytes, ::testing::Values(IoChoice::epoll, IoChoice::io_uring),
                         [](const auto& io) { return io.param == IoChoice::epoll ? "epoll" : "io_uring"; });

TEST_P(LastingBytes, KeepTheirPlace) {
  start();
  RawClient client(address_);  // that has asked for three answers at once
  ASSERT_TRUE(client.connected());
  for (const char* path : {"/sized", "/chunked", "/sized"})
    client.send(std::string("GET ") + path + " HTTP/1.1\r\nHost: a\r\n\r\n");
  const std::string expected = "(" + lasting_ + ")";
  for (const bool chunked : {false, true, false}) {
    const HttpAnswer answer = client.read_answer();
    EXPECT_TRUE(answer.complete);
    EXPECT_EQ(answer.chunked, chunked);
    EXPECT_TRUE(answer.body == expected);
  }
}

TEST_P(LastingBytes, AreNotSentForHead) {
  start();
  RawClient client(address_);
  ASSERT_TRUE(client.send("HEAD /sized HTTP/1.1\r\nHost: a\r\n\r\n"));
  const HttpAnswer answer = client.read_answer(true);
  EXPECT_EQ(answer.header("Content-Length"), std::to_string(kManySends + 2));
  EXPECT_TRUE(client.ask("GET /sized HTTP/1.1\r\nHost: a\r\n\r\n").complete);
}

TEST_P(LastingBytes, AClientThatLeavesEndsTheirSending) {
  start();
  RawClient client(address_, {.receive_buffer_bytes = 16 * 1024});
  ASSERT_TRUE(client.send("GET /sized HTTP/1.1\r\nHost: a\r\n\r\n"));
  ASSERT_FALSE(client.read_some(1000).empty());
  client.reset();
  RawClient next(address_);
  EXPECT_TRUE(next.ask("GET /sized HTTP/1.1\r\nHost: a\r\n\r\n").complete);
}

}  // namespace
}  // namespace lastcall::testing
