#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>

#include <lastcall/http/chars.hpp>

#include "tests/http/framing_support.hpp"

// The passes that take 16 bytes at a time end where one that looks at each byte would.
namespace lastcall::testing {
namespace {

template <class Check>
void with_each_byte_at_each_place(Check&& check) {
  for (const size_t size : {0u, 1u, 15u, 16u, 17u, 31u, 32u, 33u, 50u}) {
    for (size_t place = 0; place < std::max<size_t>(size, 1); ++place) {
      for (int byte = 0; byte < 256; ++byte) {
        std::string text(size, 'x');
        if (size != 0) text[place] = static_cast<char>(byte);
        const ExactBytes bytes(text);  // a look beyond them is seen by the sanitizer
        ASSERT_NO_FATAL_FAILURE(check(bytes.view()));
      }
    }
  }
}

size_t scalar(std::string_view text, uint8_t classes) {
  return static_cast<size_t>(chars::skip(text.data(), text.data() + text.size(), classes) - text.data());
}

TEST(Chars, TokenEndsWhereItsCharactersDo) {
  with_each_byte_at_each_place([](std::string_view text) {
    const char* const end = chars::skip_token(text.data(), text.data() + text.size());
    ASSERT_EQ(static_cast<size_t>(end - text.data()), scalar(text, chars::kToken)) << text;
  });
}

TEST(Chars, ValueEndsWhereItsCharactersDo) {
  with_each_byte_at_each_place([](std::string_view text) {
    const char* const end = chars::skip_value(text.data(), text.data() + text.size());
    ASSERT_EQ(static_cast<size_t>(end - text.data()), scalar(text, chars::kValue)) << text;
  });
}

TEST(Chars, TokenOfRareCharactersIsPassed) {
  const ExactBytes bytes(std::string(40, '_') + "0aZ!#$%&'*+.^`|~-" + std::string(40, '9') + ":");
  const std::string_view text = bytes.view();
  EXPECT_EQ(chars::skip_token(text.data(), text.data() + text.size()), text.data() + text.size() - 1);
}

// It may stop early, but never pass what is not of a path and of a target.
TEST(Chars, PlainPathIsAllPath) {
  with_each_byte_at_each_place([](std::string_view text) {
    const char* const end = chars::skip_plain_path(text.data(), text.data() + text.size());
    const auto passed = static_cast<size_t>(end - text.data());
    ASSERT_LE(passed, scalar(text, chars::kPath)) << text;
    ASSERT_LE(passed, scalar(text, chars::kTarget)) << text;
  });
}

#ifdef __SSE2__
TEST(Chars, PlainPathPassesAUsualOne) {
  const ExactBytes bytes("/users/42/Orders.json HTTP/1.1\r\nHost: a\r\n\r\n");
  const std::string_view text = bytes.view();
  const char* const end = chars::skip_plain_path(text.data(), text.data() + text.size());
  EXPECT_EQ(static_cast<size_t>(end - text.data()), text.find(' '));
}
#endif

}  // namespace
}  // namespace lastcall::testing
