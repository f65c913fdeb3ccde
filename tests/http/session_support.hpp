#pragma once

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "tests/support/answers.hpp"
#include "tests/support/session_routes.hpp"

namespace lastcall::test {

/// A session with the routes of session_routes.hpp, and the answers as a client reads them.
class SessionTest : public ::testing::Test {
 protected:
  SessionTest() { add_routes(host); }

  /// The answers to `bytes`; a failure when what was sent is no sequence of answers.
  std::vector<Answer> answers(std::string_view bytes, const std::vector<std::string>& methods = {}) {
    return read(host.ask(bytes), methods);
  }
  /// The one answer to `bytes`; status 0 when it is not one whole answer.
  Answer answer(std::string_view bytes, std::string_view method = "GET") {
    return parse_answer(host.ask(bytes), method);
  }
  static std::vector<Answer> read(std::string_view stream, const std::vector<std::string>& methods = {}) {
    auto parsed = parse_answers(stream, methods);
    EXPECT_TRUE(parsed.has_value()) << "not a sequence of answers: " << stream;
    return parsed.value_or(std::vector<Answer>{});
  }

  SessionHost host;
};

}  // namespace lastcall::test
