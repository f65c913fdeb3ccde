#include <gtest/gtest.h>

#include <set>
#include <string>

#include <lastcall/http/method.hpp>
#include <lastcall/http/status.hpp>

namespace lastcall {
namespace {

TEST(Method, EveryMethodIsReadAsItIsWritten) {
  std::set<std::string_view> names;
  for (uint32_t i = 0; i < kMethodCount; ++i) {
    const auto method = static_cast<Method>(i);
    EXPECT_EQ(parse_method(to_string(method)), method) << to_string(method);
    names.insert(to_string(method));
  }
  EXPECT_EQ(names.size(), kMethodCount);
  EXPECT_EQ(to_string(Method::get), "GET");
  EXPECT_EQ(to_string(Method::delete_), "DELETE");
  EXPECT_EQ(to_string(Method::msearch), "M-SEARCH");
  EXPECT_EQ(to_string(Method::unsubscribe), "UNSUBSCRIBE");
}

TEST(Method, CaseAndLengthMatter) {
  for (uint32_t i = 0; i < kMethodCount; ++i) {
    const std::string name(to_string(static_cast<Method>(i)));
    std::string lower = name;
    lower.front() = static_cast<char>(lower.front() | 0x20);
    EXPECT_EQ(parse_method(lower), std::nullopt);
    EXPECT_EQ(parse_method(name + "X"), std::nullopt);
    EXPECT_EQ(parse_method(name + '\0'), std::nullopt);
    EXPECT_EQ(parse_method(name.substr(1)), std::nullopt);
  }
  EXPECT_EQ(parse_method(""), std::nullopt);
  EXPECT_EQ(parse_method("GETGETGETGETGETGET"), std::nullopt);
}

TEST(Method, OthersAreUnknown) {
  for (const char* name :
       {"QUERY", "SOURCE", "PRI", "DESCRIBE", "ANNOUNCE", "SETUP", "PLAY", "PAUSE", "TEARDOWN",
        "GET_PARAMETER", "SET_PARAMETER", "REDIRECT", "RECORD", "FLUSH", "BREW"}) {
    EXPECT_EQ(parse_method(name), std::nullopt) << name;
  }
}

TEST(Status, ReasonPhrases) {
  EXPECT_EQ(reason_phrase(100), "Continue");
  EXPECT_EQ(reason_phrase(200), "OK");
  EXPECT_EQ(reason_phrase(308), "Permanent Redirect");
  EXPECT_EQ(reason_phrase(413), "Content Too Large");
  EXPECT_EQ(reason_phrase(431), "Request Header Fields Too Large");
  EXPECT_EQ(reason_phrase(503), "Service Unavailable");
  EXPECT_EQ(reason_phrase(505), "HTTP Version Not Supported");
  for (const uint16_t code : std::initializer_list<uint16_t>{0, 299, 306, 418, 499, 599, 999})
    EXPECT_EQ(reason_phrase(code), "Unknown") << code;
}

}  // namespace
}  // namespace lastcall
