#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <vector>

#include <lastcall/core/log.hpp>
#include <lastcall/core/log_format.hpp>

namespace lastcall {
namespace {

using testing::HasSubstr;

constexpr Duration kWall = std::chrono::seconds(1795232887) + 123ms;  // 2026-11-21T03:48:07.123Z

std::string text_line(std::vector<LogField> fields) {
  return format_log_line(LogFormat::text, kWall, LogLevel::info, "e", fields);
}

std::string json_line(std::vector<LogField> fields) {
  return format_log_line(LogFormat::json, kWall, LogLevel::warning, "e", fields);
}

constexpr std::string_view kPrefix = "2026-11-21T03:48:07.123Z info event=e";

TEST(LogFormat, TextIsTimeLevelEventAndFields) {
  std::vector<LogField> fields{
      {"reason", "SIGTERM"}, {"deadline", Duration(25s)}, {"active", 41}, {"ok", true}};
  EXPECT_EQ(
      format_log_line(LogFormat::text, kWall, LogLevel::info, "drain_started", fields),
      "2026-11-21T03:48:07.123Z info event=drain_started reason=SIGTERM deadline=25s active=41 ok=true");
}

TEST(LogFormat, TextQuotesWhatWouldBreakTheLine) {
  struct Case {
    std::string value, written;
  };
  std::vector<Case> cases{{"plain/path?x", "plain/path?x"},
                          {"", R"("")"},
                          {"two words", R"("two words")"},
                          {"a=b", R"("a=b")"},
                          {"say \"hi\"", R"("say \"hi\"")"},
                          {"back\\slash", R"("back\\slash")"},
                          {"a\nevent=forged", R"("a\nevent=forged")"},
                          {"a\r\tb", R"("a\r\tb")"},
                          {"\x1b[31m", R"("\u001b[31m")"},
                          {"\x7f", R"("\u007f")"},
                          {std::string("a\0b", 3), R"("a\u0000b")"},
                          {"\xc2\x9b", R"("\u009b")"},
                          {"\xc3\xbc", R"("\u00fc")"},
                          {"\xff", R"("\ufffd")"}};
  for (const Case& c : cases) {
    EXPECT_EQ(text_line({{"k", c.value}}), std::string(kPrefix) + " k=" + c.written);
  }
}

TEST(LogFormat, EveryByteStaysOnOnePrintableLine) {
  for (int byte = 0; byte < 256; ++byte) {
    std::string value(1, static_cast<char>(byte));
    for (const std::string& line : {text_line({{"k", value}}), json_line({{"k", value}})}) {
      for (char c : line) EXPECT_TRUE(c >= ' ' && c < '\x7f') << "byte " << byte << " in " << line;
    }
    EXPECT_TRUE(nlohmann::json::accept(json_line({{"k", value}}))) << "byte " << byte;
  }
}

TEST(LogFormat, JsonIsOneObjectWithTypes) {
  EXPECT_EQ(json_line({{"text", "41"}, {"count", uint64_t{41}}, {"below", -7}, {"yes", true}, {"no", false}}),
            R"({"time":"2026-11-21T03:48:07.123Z","level":"warning","event":"e",)"
            R"("text":"41","count":41,"below":-7,"yes":true,"no":false})");
}

TEST(LogFormat, JsonKeepsLargeIntegers) {
  auto parsed = nlohmann::json::parse(json_line({{"u", UINT64_MAX}, {"i", INT64_MIN}}));
  EXPECT_EQ(parsed["u"].get<uint64_t>(), UINT64_MAX);
  EXPECT_EQ(parsed["i"].get<int64_t>(), INT64_MIN);
}

TEST(LogFormat, JsonSurvivesInvalidUtf8AndGivesValidTextBack) {
  auto parsed = nlohmann::json::parse(
      json_line({{"bad", "a\xff\xc3(b"}, {"good", "gr\xc3\xbc\xc3\x9f \xf0\x9f\x9b\x91\n"}}));
  EXPECT_EQ(parsed["bad"], "a\xef\xbf\xbd\xef\xbf\xbd(b");
  EXPECT_EQ(parsed["good"], "gr\xc3\xbc\xc3\x9f \xf0\x9f\x9b\x91\n");
}

TEST(LogFormat, AFieldCannotReplaceTheEvent) {
  auto parsed = nlohmann::json::parse(json_line({{"event", "forged"}, {"level", "debug"}}));
  EXPECT_EQ(parsed["event"], "e");
  EXPECT_EQ(parsed["level"], "warning");
}

TEST(LogFormat, TimesBeforeAndAtTheEpoch) {
  EXPECT_THAT(format_log_line(LogFormat::text, 0s, LogLevel::info, "e", {}),
              HasSubstr("1970-01-01T00:00:00.000Z"));
  EXPECT_THAT(format_log_line(LogFormat::text, -1ms, LogLevel::info, "e", {}),
              HasSubstr("1969-12-31T23:59:59.999Z"));
}

TEST(LogFormat, Durations) {
  EXPECT_EQ(format_duration(25s), "25s");
  EXPECT_EQ(format_duration(2min), "120s");
  EXPECT_EQ(format_duration(1500ms), "1.500s");
  EXPECT_EQ(format_duration(1007ms + 999us), "1.007s");
  EXPECT_EQ(format_duration(40ms), "40ms");
  EXPECT_EQ(format_duration(250us), "250us");
  EXPECT_EQ(format_duration(0s), "0s");
  EXPECT_EQ(format_duration(999ns), "0s");
  EXPECT_EQ(format_duration(-1500ms), "-1.500s");
  EXPECT_EQ(format_duration(Duration::min()), "-9223372036.854s");
}

TEST(Log, ParsesLevels) {
  for (LogLevel level :
       {LogLevel::debug, LogLevel::info, LogLevel::warning, LogLevel::error, LogLevel::off}) {
    EXPECT_EQ(parse_log_level(to_string(level)).value(), level);
  }
  auto wrong = parse_log_level("loud");
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().message, "unknown log level \"loud\": choose debug, info, warning, error or off");
  EXPECT_FALSE(parse_log_level("INFO"));
  EXPECT_FALSE(parse_log_level(""));
}

TEST(Log, ParsesFormats) {
  EXPECT_EQ(parse_log_format("text").value(), LogFormat::text);
  EXPECT_EQ(parse_log_format("json").value(), LogFormat::json);
  auto wrong = parse_log_format("xml");
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().message, "unknown log format \"xml\": choose text or json");
}

class LogOutput : public testing::Test {
 protected:
  ~LogOutput() override { log_configure(LogFormat::text, LogLevel::info); }

  static std::string logged(LogLevel level) {
    testing::internal::CaptureStderr();
    log_event(level, "hello", {{"n", 1}});
    return testing::internal::GetCapturedStderr();
  }
};

TEST_F(LogOutput, WritesOneLineToStandardError) {
  std::string line = logged(LogLevel::info);
  EXPECT_THAT(line, testing::EndsWith("Z info event=hello n=1\n"));
  EXPECT_EQ(std::ranges::count(line, '\n'), 1);
}

TEST_F(LogOutput, PercentAndBracesAreNotPatterns) {
  testing::internal::CaptureStderr();
  log_event(LogLevel::info, "hello", {{"v", "{}%v%s{0}"}});
  EXPECT_THAT(testing::internal::GetCapturedStderr(), testing::EndsWith("v={}%v%s{0}\n"));
}

TEST_F(LogOutput, WritesJson) {
  log_configure(LogFormat::json, LogLevel::debug);
  auto parsed = nlohmann::json::parse(logged(LogLevel::debug));
  EXPECT_EQ(parsed["event"], "hello");
  EXPECT_EQ(parsed["n"], 1);
}

TEST_F(LogOutput, BelowTheLevelIsSilent) {
  log_configure(LogFormat::text, LogLevel::warning);
  EXPECT_FALSE(log_enabled(LogLevel::info));
  EXPECT_TRUE(log_enabled(LogLevel::warning));
  EXPECT_EQ(logged(LogLevel::info), "");
  EXPECT_NE(logged(LogLevel::error), "");
}

TEST_F(LogOutput, OffIsSilentEvenForOff) {
  log_configure(LogFormat::text, LogLevel::off);
  EXPECT_EQ(logged(LogLevel::error), "");
  EXPECT_EQ(logged(LogLevel::off), "");
}

}  // namespace
}  // namespace lastcall
