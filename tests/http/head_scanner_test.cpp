#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "tests/http/framing_support.hpp"

// What the strict pass refuses before llhttp sees it. verdict() tries each head whole and cut every way.
namespace lastcall::testing {
namespace {

const std::string kGet = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

std::string first_line(std::string_view line) {
  return std::string(line) + "\r\nHost: a\r\n\r\n";
}

TEST(HeadScanner, FindsTheEndAndNothingBehindIt) {
  const auto scanned = scan(kGet + "GET /next HTTP/1.1\r\n");
  ASSERT_EQ(scanned.result.outcome, ScanOutcome::complete);
  EXPECT_EQ(scanned.result.length, kGet.size());
}

TEST(HeadScanner, EveryCutGivesTheSameEnd) {
  const std::string text =
      "\r\nPUT /a?b HTTP/1.1\r\nHost: a\r\nX-Long: " + std::string(50, 'v') + "\r\nEmpty:\r\n\r\n";
  for (size_t cut = 0; cut < text.size(); ++cut) {
    HeadScanner scanner;
    const ExactBytes part(text.substr(0, cut));
    ASSERT_EQ(scanner.scan(part.view(), {}).outcome, ScanOutcome::incomplete) << cut;
    const ExactBytes all(text + "behind");
    const auto result = scanner.scan(all.view(), {});
    ASSERT_EQ(result.outcome, ScanOutcome::complete) << cut;
    EXPECT_EQ(result.length, text.size()) << cut;
  }
}

TEST(HeadScanner, StartedFromTheFirstByteOfTheRequestLine) {
  HeadScanner scanner;
  EXPECT_FALSE(scanner.started());
  for (const char* text : {"", "\r", "\r\n"}) {
    ASSERT_EQ(scanner.scan(text, {}).outcome, ScanOutcome::incomplete);
    EXPECT_FALSE(scanner.started());
  }
  ASSERT_EQ(scanner.scan("\r\nG", {}).outcome, ScanOutcome::incomplete);
  EXPECT_TRUE(scanner.started());
  scanner.reset();
  EXPECT_FALSE(scanner.started());
  EXPECT_EQ(scanner.scan(kGet, {}).outcome, ScanOutcome::complete);
}

TEST(HeadScanner, BadByteIsRefusedAtOnce) {
  const auto needed = [](std::string_view text) {
    const auto scanned = scan(text, {}, 1);
    EXPECT_EQ(scanned.result.outcome, ScanOutcome::refused) << text;
    return scanned.needed;
  };
  EXPECT_EQ(needed("\x16\x03\x01 TLS"), 1u);
  EXPECT_EQ(needed("GET  / HTTP/1.1\r\n"), 5u);
  EXPECT_EQ(needed("GET /#x HTTP/1.1\r\n"), 6u);
  EXPECT_EQ(needed("GET / HTTX/1.1\r\n"), 10u);
  EXPECT_EQ(needed("GET / HTTP/1.1\r\nX Y: 1\r\n"), 18u);
  EXPECT_EQ(needed("GET / HTTP/1.1\r\nX: \0 1\r\n"s), 20u);
  EXPECT_EQ(needed("QUERY /"), 6u);
}

TEST(HeadScanner, LeadingEmptyLines) {
  std::string lines;
  for (uint32_t i = 0; i < kMaxLeadingEmptyLines; ++i) lines += "\r\n";
  EXPECT_EQ(verdict(lines + kGet), 0);
  EXPECT_EQ(scan(lines + kGet).result.length, lines.size() + kGet.size());
  EXPECT_EQ(verdict(lines + "\r\n" + kGet), 400);
  EXPECT_EQ(verdict("\n" + kGet), 400);
  EXPECT_EQ(verdict("\r" + kGet), 400);
  EXPECT_EQ(verdict("\r\r\n" + kGet), 400);
  EXPECT_EQ(verdict(" \r\n" + kGet), 400);
}

TEST(HeadScanner, MethodIsAToken) {
  EXPECT_EQ(verdict(first_line(" GET / HTTP/1.1")), 400);
  EXPECT_EQ(verdict(first_line("GE:T / HTTP/1.1")), 400);
  EXPECT_EQ(verdict(first_line("GET\t/ HTTP/1.1")), 400);
  EXPECT_EQ(verdict(first_line("GET")), 400);
  EXPECT_EQ(verdict(first_line("G\xc3\x89T / HTTP/1.1")), 400);
}

TEST(HeadScanner, UnknownMethodIsNotImplemented) {
  for (const char* method : {"QUERY", "get", "Get", "GETX", "GE", "SOURCE", "DESCRIBE", "ANNOUNCE", "SETUP",
                             "PLAY", "PAUSE", "TEARDOWN", "GET_PARAMETER", "SET_PARAMETER", "REDIRECT",
                             "RECORD", "FLUSH", "!#$%&'*+-.^_`|~", "AVERYLONGMETHODTOKEN"}) {
    EXPECT_EQ(verdict(first_line(std::string(method) + " / HTTP/1.1")), 501) << method;
  }
  EXPECT_EQ(verdict("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 501);
  EXPECT_EQ(verdict("DESCRIBE rtsp://a/b RTSP/1.0\r\n\r\n"), 501);
}

TEST(HeadScanner, LongMethodIsNotWaitedFor) {
  EXPECT_EQ(scan("UNSUBSCRIBES", {}, 1).result.refusal.status, 501);
  EXPECT_EQ(scan("UNSUBSCRIBE", {}, 1).result.outcome, ScanOutcome::incomplete);
  EXPECT_EQ(verdict("UNSUBSCRIBE / HTTP/1.1\r\nHost: a\r\n\r\n"), 0);
  EXPECT_EQ(verdict("UNSUBSCRIBEX\x01"), 501);
  EXPECT_EQ(verdict("UNSUBSCRIBE\x01"), 400);
}

TEST(HeadScanner, ExactlyTwoSingleSpaces) {
  for (const char* line :
       {"GET  / HTTP/1.1", "GET /  HTTP/1.1", "GET / HTTP/1.1 ", "GET / HTTP/1.1\t", "GET /\tHTTP/1.1",
        "GET / x HTTP/1.1", "GET  HTTP/1.1", "GET ", "GET / ", "GET /\x0cx HTTP/1.1", "GET /\x0b HTTP/1.1"}) {
    EXPECT_EQ(verdict(first_line(line)), 400) << line;
  }
}

TEST(HeadScanner, TargetHasOnlyCharactersOfAUri) {
  for (int c = 0; c < 256; ++c) {
    const std::string text = first_line("GET /?a" + std::string(1, static_cast<char>(c)) + "b HTTP/1.1");
    const bool allowed =
        std::string_view("-._~!$&'()*+,;=:@/?[]").find(static_cast<char>(c)) != std::string_view::npos ||
        (c < 0x80 && std::isalnum(c) != 0);
    EXPECT_EQ(verdict(text), allowed && c != 0 ? 0 : 400) << c;
  }
}

TEST(HeadScanner, Versions) {
  for (const char* version : {"HTTP/1.0", "HTTP/1.1", "HTTP/1.2", "HTTP/1.9"}) {
    EXPECT_EQ(verdict(first_line("GET / "s + version)), 0) << version;
  }
  for (const char* version : {"HTTP/0.9", "HTTP/2.0", "HTTP/3.0", "HTTP/9.9", "HTTP/0.0", "HTTP/2.1"}) {
    EXPECT_EQ(verdict(first_line("GET / "s + version)), 505) << version;
  }
  for (const char* version :
       {"HTTP/1", "HTTP/1.", "HTTP/11", "HTTP/1.10", "HTTP/1.1x", "http/1.1", "HTTP/1,1", "HTTP /1.1",
        "RTSP/1.0", "ICE/1.0", "HTTP/x.1", "HTTP/1.x", "HTTP/01.1", "HTTPS/1.1", "HTTP", "1.1"}) {
    EXPECT_EQ(verdict(first_line("GET / "s + version)), 400) << version;
  }
}

TEST(HeadScanner, OldestVersionHasNone) {
  EXPECT_EQ(verdict("GET /\r\n"), 505);
  EXPECT_EQ(verdict("GET /\r\n\r\n"), 505);
  EXPECT_EQ(verdict("GET /\r\nHost: a\r\n\r\n"), 505);
  EXPECT_EQ(verdict("GET /\n"), 400);
  EXPECT_EQ(verdict("GET /\rx"), 400);
  EXPECT_EQ(verdict("GET \r\n"), 400);
}

TEST(HeadScanner, EveryLineFeedHasItsReturn) {
  EXPECT_EQ(verdict("GET / HTTP/1.1\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(verdict("GET / HTTP/1.1\r\nHost: a\n\r\n"), 400);
  EXPECT_EQ(verdict("GET / HTTP/1.1\r\nHost: a\r\n\n"), 400);
  EXPECT_EQ(verdict("GET / HTTP/1.1\r\nHost: a\r\n\n\r"), 400);
  EXPECT_EQ(verdict("GET / HTTP/1.1\r\nHost: a\r\nX\n: 1\r\n\r\n"), 400);
}

TEST(HeadScanner, EveryReturnHasItsLineFeed) {
  EXPECT_EQ(verdict("GET / HTTP/1.1\r\nHost: a\r\n\rQGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(verdict("GET / HTTP/1.1\r\nHost: a\r\n\r\r\n"), 400);
  EXPECT_EQ(verdict("GET / HTTP/1.1\rHost: a\r\n\r\n"), 400);
  EXPECT_EQ(verdict("GET / HTTP/1.1\r\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(verdict(with_lines("X:\rZContent-Length: 5\r\n")), 400);
  EXPECT_EQ(verdict(with_lines("X:\r\rContent-Length: 5\r\n")), 400);
  EXPECT_EQ(verdict(with_lines("X:\rZTransfer-Encoding: chunked\r\n")), 400);
  EXPECT_EQ(verdict(with_lines("X: a\rb\r\n")), 400);
  EXPECT_EQ(verdict(with_lines("X: a\r\r\n")), 400);
}

TEST(HeadScanner, NoFoldedLines) {
  for (const char* lines : {"X: 1\r\n 2\r\n", "X: 1\r\n\t2\r\n", "Transfer-Encoding:\r\n chunked\r\n",
                            "Content-Length:\r\n 5\r\n", "Connection: close\r\n x\r\n", "X: 1\r\n \r\n",
                            "X: 1\r\n\t\r\n", "X: 1\r\n Content-Length: 5\r\n"}) {
    EXPECT_EQ(verdict(with_lines(lines)), 400) << lines;
  }
  EXPECT_EQ(verdict("GET / HTTP/1.1\r\nHost:\r\n a\r\n\r\n"), 400);
  EXPECT_EQ(verdict("GET / HTTP/1.1\r\n Host: a\r\n\r\n"), 400);
}

TEST(HeadScanner, FieldNameIsAToken) {
  for (const char* lines :
       {": 1\r\n", ":\r\n", "X : 1\r\n", "X\t: 1\r\n", "X Y: 1\r\n", "X\r\n", "X", "(X): 1\r\n",
        "X\"Y: 1\r\n", "X\xc3\xa9: 1\r\n", "X\x7f: 1\r\n", "Content-Length : 5\r\n",
        "Transfer-Encoding : chunked\r\n", "X[1]: 1\r\n", "X;Y: 1\r\n"}) {
    EXPECT_EQ(verdict(with_lines(lines)), 400) << lines;
  }
  EXPECT_EQ(verdict(with_lines("!#$%&'*+-.^_`|~09azAZ: 1\r\n")), 0);
}

TEST(HeadScanner, FieldValueHasNoControls) {
  for (int c = 0; c < 256; ++c) {
    // Long enough for both the wide steps and the last bytes of the scan.
    for (const size_t position : {0u, 1u, 17u, 40u, 79u}) {
      std::string value(80, 'v');
      value[position] = static_cast<char>(c);
      const bool allowed = c == '\t' || (c >= 0x20 && c != 0x7f);
      const auto scanned = scan(with_lines("X: " + value + "\r\n"));
      EXPECT_EQ(scanned.result.refusal.status, allowed ? 0 : 400) << c << " at " << position;
    }
  }
}

TEST(HeadScanner, HeaderBytesAtTheLimitAndBeyond) {
  Limits limits;
  limits.max_header_bytes = 200;
  const std::string bare = with_lines("X: \r\n");
  const std::string exact = with_lines("X: " + std::string(200 - bare.size(), 'v') + "\r\n");
  ASSERT_EQ(exact.size(), 200u);
  EXPECT_EQ(verdict(exact, limits), 0);
  EXPECT_EQ(verdict(exact + "behind", limits), 0);
  const std::string over = with_lines("X: " + std::string(201 - bare.size(), 'v') + "\r\n");
  EXPECT_EQ(verdict(over, limits), 431);
  EXPECT_EQ(scan(over, limits, 1).needed, 200u) << "refused before the end has come";
  EXPECT_EQ(verdict(over.substr(0, 200) + "\x01", limits), 431);
  limits.max_header_bytes = 201;
  EXPECT_EQ(verdict(over, limits), 0);
}

TEST(HeadScanner, LongRequestLineIsALongTarget) {
  Limits limits;
  limits.max_header_bytes = 100;
  EXPECT_EQ(verdict("GET /" + std::string(95, 'a'), limits), 414);
  EXPECT_EQ(verdict("GET /" + std::string(94, 'a'), limits), -1);
  EXPECT_EQ(verdict("GET /" + std::string(90, 'a') + " HTTP/1.1\r\nHost: a\r\n\r\n", limits), 414);
}

TEST(HeadScanner, TargetAtTheLimitAndBeyond) {
  Limits limits;
  limits.max_target_bytes = 60;
  EXPECT_EQ(verdict(first_line("GET /" + std::string(59, 'a') + " HTTP/1.1"), limits), 0);
  EXPECT_EQ(verdict(first_line("GET /" + std::string(60, 'a') + " HTTP/1.1"), limits), 414);
  EXPECT_EQ(scan("GET /" + std::string(90, 'a'), limits, 1).needed, 4u + 61);
  EXPECT_EQ(verdict("GET /" + std::string(60, 'a') + "\x01", limits), 414);
  EXPECT_EQ(verdict("GET /" + std::string(59, 'a') + "\x01", limits), 400);
}

TEST(HeadScanner, FieldsAtTheLimitAndBeyond) {
  Limits limits;
  limits.max_fields = 3;
  EXPECT_EQ(verdict(with_lines("A: 1\r\nB: 2\r\n"), limits), 0);
  EXPECT_EQ(verdict(with_lines("A: 1\r\nB: 2\r\nC: 3\r\n"), limits), 431);
  EXPECT_EQ(scan("GET / HTTP/1.1\r\nA:\r\nB:\r\nC:\r\nD", limits, 1).result.refusal.status, 431);
}

TEST(HeadScanner, DefaultLimitsTakeAFullHead) {
  const Limits limits;
  std::string lines;
  for (uint32_t i = 1; i < limits.max_fields; ++i) lines += "Field-" + std::to_string(i) + ": value\r\n";
  EXPECT_EQ(scan(with_lines(lines)).result.outcome, ScanOutcome::complete);
  EXPECT_EQ(parse(with_lines(lines)).head.fields.size(), limits.max_fields);
  EXPECT_EQ(scan(with_lines(lines + "One: more\r\n")).result.refusal.status, 431);
  EXPECT_EQ(scan(first_line("GET /" + std::string(limits.max_target_bytes, 'a') + " HTTP/1.1"))
                .result.refusal.status,
            414);
}

}  // namespace
}  // namespace lastcall::testing
