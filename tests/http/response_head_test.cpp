#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include <lastcall/http/response_head.hpp>
#include <lastcall/http/status.hpp>

namespace lastcall {
namespace {

using Framing = ResponseHead::Framing;
using Persistence = ResponseHead::Persistence;

std::string date(int64_t seconds) {
  char out[kHttpDateBytes];
  write_http_date(std::chrono::seconds(seconds), out);
  return {out, sizeof out};
}

TEST(HttpDate, KnownDates) {
  EXPECT_EQ(date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
  EXPECT_EQ(date(784'111'777), "Sun, 06 Nov 1994 08:49:37 GMT");  // RFC 9110 5.6.7
  EXPECT_EQ(date(951'782'399), "Mon, 28 Feb 2000 23:59:59 GMT");
  EXPECT_EQ(date(951'782'400), "Tue, 29 Feb 2000 00:00:00 GMT");
  EXPECT_EQ(date(951'868'800), "Wed, 01 Mar 2000 00:00:00 GMT");
  EXPECT_EQ(date(1'709'164'800), "Thu, 29 Feb 2024 00:00:00 GMT");
  EXPECT_EQ(date(1'735'689'599), "Tue, 31 Dec 2024 23:59:59 GMT");
  EXPECT_EQ(date(1'740'787'200), "Sat, 01 Mar 2025 00:00:00 GMT");
  EXPECT_EQ(date(2'147'483'648), "Tue, 19 Jan 2038 03:14:08 GMT");
  EXPECT_EQ(date(4'107'542'399), "Sun, 28 Feb 2100 23:59:59 GMT");  // 2100 is no leap year
  EXPECT_EQ(date(4'107'542'400), "Mon, 01 Mar 2100 00:00:00 GMT");
}

TEST(HttpDate, EveryMonthAndWeekday) {
  for (int month = 0; month < 12; ++month) {
    std::string text = date(1'704'067'200 + month * 31 * 86'400 - month * 43'200);  // through 2024
    EXPECT_EQ(text.size(), kHttpDateBytes);
  }
  const char* days[] = {"Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"};
  for (int day = 0; day < 7; ++day) EXPECT_EQ(date(day * 86'400).substr(0, 3), days[day]);
  const char* months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  int starts[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
  for (int i = 0; i < 12; ++i) {
    EXPECT_EQ(date(starts[i] * 86'400).substr(5, 6), std::string("01 ") + months[i]);
    if (i > 0) {
      EXPECT_EQ(date(starts[i] * 86'400 - 1).substr(8, 3), months[i - 1]);
    }
  }
}

TEST(HttpDate, RoundsDown) {
  char out[kHttpDateBytes];
  write_http_date(1s - 1ns, out);
  EXPECT_EQ(std::string(out, sizeof out), "Thu, 01 Jan 1970 00:00:00 GMT");
}

std::string decimal(uint64_t value) {
  char out[20];
  return {out, write_decimal(value, out)};
}

TEST(WriteDecimal, Limits) {
  EXPECT_EQ(decimal(0), "0");
  EXPECT_EQ(decimal(9), "9");
  EXPECT_EQ(decimal(10), "10");
  EXPECT_EQ(decimal(UINT32_MAX), "4294967295");
  EXPECT_EQ(decimal(INT64_MAX), "9223372036854775807");
  EXPECT_EQ(decimal(UINT64_MAX), "18446744073709551615");
}

class ResponseHeadTest : public ::testing::Test {
 protected:
  std::string write(const ResponseHead& head) {
    Buffer out(pool);
    writer.write(head, out);
    return std::string(out.view());
  }

  BufferPool pool;
  ResponseHeadWriter writer{"lastcall"};
};

constexpr const char* kServerAndDate = "Server: lastcall\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n";

TEST_F(ResponseHeadTest, DefaultIsAnEmptyOk) {
  EXPECT_EQ(write({.fields = {}}),
            std::string("HTTP/1.1 200 OK\r\n") + kServerAndDate + "Content-Length: 0\r\n\r\n");
}

TEST_F(ResponseHeadTest, EveryFramingAndPersistence) {
  const std::pair<Framing, const char*> framings[] = {{Framing::none, ""},
                                                      {Framing::length, "Content-Length: 42\r\n"},
                                                      {Framing::chunked, "Transfer-Encoding: chunked\r\n"}};
  const std::pair<Persistence, const char*> persistences[] = {
      {Persistence::implied, ""},
      {Persistence::close, "Connection: close\r\n"},
      {Persistence::keep_alive, "Connection: keep-alive\r\n"}};
  for (auto [framing, framing_line] : framings) {
    for (auto [persistence, persistence_line] : persistences) {
      for (uint16_t status : {uint16_t{200}, uint16_t{404}}) {
        std::string line = status == 200 ? "HTTP/1.1 200 OK\r\n" : "HTTP/1.1 404 Not Found\r\n";
        EXPECT_EQ(write({.status = status,
                         .framing = framing,
                         .persistence = persistence,
                         .length = 42,
                         .fields = "A: b\r\n"}),
                  line + kServerAndDate + "A: b\r\n" + framing_line + persistence_line + "\r\n");
      }
    }
  }
}

TEST_F(ResponseHeadTest, FieldsReplaceServerAndDate) {
  for (uint16_t status : {uint16_t{200}, uint16_t{500}}) {
    std::string line =
        std::string(status == 200 ? "HTTP/1.1 200 OK" : "HTTP/1.1 500 Internal Server Error") + "\r\n";
    EXPECT_EQ(write({.status = status, .omit_date = true, .fields = "Date: x\r\n"}),
              line + "Server: lastcall\r\nDate: x\r\nContent-Length: 0\r\n\r\n");
    EXPECT_EQ(write({.status = status, .omit_server = true, .fields = "Server: x\r\n"}),
              line + "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\nServer: x\r\nContent-Length: 0\r\n\r\n");
    EXPECT_EQ(write({.status = status, .omit_date = true, .omit_server = true, .fields = ""}),
              line + "Content-Length: 0\r\n\r\n");
  }
}

TEST_F(ResponseHeadTest, LongestOfEverythingFits) {
  size_t longest = 0;
  for (uint16_t status = 200; status < 600; ++status) {
    std::string text =
        write({.status = status, .persistence = Persistence::keep_alive, .length = UINT64_MAX, .fields = {}});
    EXPECT_NE(text.find(" " + std::to_string(status) + " " + std::string(reason_phrase(status)) + "\r\n"),
              std::string::npos);
    EXPECT_TRUE(text.ends_with("Content-Length: 18446744073709551615\r\nConnection: keep-alive\r\n\r\n"));
    longest = std::max(longest, text.size());
  }
  EXPECT_LT(longest, size_t{250});
  std::string fields = "X: " + std::string(70'000, 'x') + "\r\n";
  EXPECT_NE(write({.fields = fields}).find(fields), std::string::npos);
}

TEST_F(ResponseHeadTest, DateChangesWithTheSecond) {
  writer.set_time(1s - 1ns);
  EXPECT_NE(write({.fields = {}}).find("00:00:00 GMT"), std::string::npos);
  writer.set_time(1s);
  EXPECT_NE(write({.fields = {}}).find("00:00:01 GMT"), std::string::npos);
  EXPECT_NE(write({.status = 404, .fields = {}}).find("00:00:01 GMT"), std::string::npos);
  writer.set_time(0s);  // a wall clock may be set back
  EXPECT_NE(write({.fields = {}}).find("00:00:00 GMT"), std::string::npos);
}

TEST_F(ResponseHeadTest, AppendsToWhatIsThere) {
  Buffer out(pool);
  out.append("before");
  writer.write({.fields = {}}, out);
  EXPECT_TRUE(out.view().starts_with("beforeHTTP/1.1 200 OK\r\n"));
}

std::string usual(ResponseHeadWriter& writer, std::string_view type, std::string_view body,
                  BufferPool& pool) {
  Buffer out(pool);
  out.append("before");
  writer.write_usual(body, out);
  EXPECT_TRUE(writer.is_usual(type));  // still
  return std::string(out.view());
}

TEST(ResponseHeadWriter, TheUsualAnswerIsWhatTheGeneralWayWrites) {
  BufferPool pool;
  ResponseHeadWriter writer("lastcall");
  for (const Duration wall : {Duration(784'111'777s), Duration(784'111'778s)}) {
    writer.set_time(wall);
    for (const std::string_view type : {"text/plain", "application/json", "text/plain"}) {
      for (const size_t size : {0U, 1U, 9U, 10U, 13U, 127U, 128U, 5000U}) {
        const std::string body(size, 'x');
        Buffer expected(pool);
        expected.append("before");
        writer.write({.length = size, .content_type = type}, expected);
        expected.append(body);
        ASSERT_TRUE(writer.is_usual(type));
        EXPECT_EQ(usual(writer, type, body, pool), expected.view());
      }
    }
  }
}

TEST(ResponseHeadWriter, LongNamesAndTypesAreNotUsual) {
  constexpr size_t kRoom = 128 - std::string_view("HTTP/1.1 200 OK\r\nServer: \r\n").size() -
                           std::string_view("Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n").size() -
                           std::string_view("Content-Type: \r\nContent-Length: ").size();
  const std::string type(10, 't');
  ResponseHeadWriter longest(std::string(kRoom - type.size(), 's'));
  EXPECT_TRUE(longest.is_usual(type));
  BufferPool pool;
  EXPECT_TRUE(usual(longest, type, "b", pool).ends_with("tttttttttt\r\nContent-Length: 1\r\n\r\nb"));
  ResponseHeadWriter too_long(std::string(kRoom - type.size() + 1, 's'));
  EXPECT_FALSE(too_long.is_usual(type));
  EXPECT_TRUE(too_long.is_usual(std::string_view(type).substr(1)));
}

}  // namespace
}  // namespace lastcall
