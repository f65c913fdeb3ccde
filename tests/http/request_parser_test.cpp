#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "tests/http/framing_support.hpp"
#include "tests/support/allocation_counter.hpp"

// What the server itself must judge in a head that is well-formed. verdict() tries each head whole and cut
// every way.
namespace lastcall::testing {
namespace {

using Form = RequestHead::Form;

int target_verdict(std::string_view target, std::string_view method = "GET") {
  return verdict(std::string(method) + " " + std::string(target) + " HTTP/1.1\r\nHost: a\r\n\r\n");
}
Parsed parse_target(std::string_view target, std::string_view method = "GET") {
  return parse(std::string(method) + " " + std::string(target) + " HTTP/1.1\r\nHost: a\r\n\r\n");
}
int host_verdict(std::string_view host) {
  return verdict("GET / HTTP/1.1\r\nHost: " + std::string(host) + "\r\n\r\n");
}

RequestHead accept(std::string_view text) {
  static Parsed parsed;  // keeps the bytes that the views point into
  parsed = parse(text);
  EXPECT_TRUE(parsed.complete);
  EXPECT_EQ(parsed.refusal.status, 0) << parsed.refusal.what << " in " << text;
  return parsed.head;
}

TEST(RequestParser, OrdinaryRequest) {
  const RequestHead head =
      accept("GET /plaintext?x=1 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nX-Empty:\r\nx-Two:\t a  b \t\r\n\r\n");
  EXPECT_EQ(head.method, Method::get);
  EXPECT_EQ(head.version_minor, 1);
  EXPECT_EQ(head.form, Form::origin);
  EXPECT_EQ(head.target, "/plaintext?x=1");
  EXPECT_EQ(head.path, "/plaintext");
  EXPECT_EQ(head.query, "x=1");
  EXPECT_EQ(head.host, "127.0.0.1:8080");
  ASSERT_EQ(head.fields.size(), 3u);
  EXPECT_EQ(head.fields[1].name, "X-Empty");
  EXPECT_EQ(head.fields[1].value, "");
  EXPECT_EQ(head.fields[2].name, "x-Two");
  EXPECT_EQ(head.fields[2].value, "a  b");
  EXPECT_TRUE(head.keep_alive);
  EXPECT_FALSE(head.chunked || head.has_length || head.expect_continue || head.upgrade);
  ASSERT_NE(head.find("X-TWO"), nullptr);
  EXPECT_EQ(*head.find("X-TWO"), "a  b");
  EXPECT_EQ(head.find("X-Tw"), nullptr);
}

TEST(RequestParser, NothingSticksFromTheLastHead) {
  RequestParser parser;
  RequestHead head;
  const std::string rich =
      "POST http://b/x?q HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 7\r\n\r\n";
  ASSERT_FALSE(parser.parse(rich, {}, head));
  EXPECT_EQ(head.content_length, 7u);
  ASSERT_TRUE(parser.parse("GET / HTTP/1.1\r\nTransfer-Encoding: x\r\n\r\n", {}, head));
  ASSERT_FALSE(parser.parse("GET / HTTP/1.1\r\nHost:\r\n\r\n", {}, head));
  EXPECT_EQ(head.content_length, 0u);
  EXPECT_FALSE(head.has_length);
  EXPECT_EQ(head.query, "");
  EXPECT_EQ(head.host, "");
  EXPECT_EQ(head.form, Form::origin);
  EXPECT_EQ(head.version_minor, 1);
  EXPECT_EQ(head.fields.size(), 1u);
}

TEST(RequestParser, AValidHostVouchesForNoOther) {
  RequestParser parser;
  RequestHead head;
  std::string text;  // what the head's views point into
  const auto verdict = [&](const std::string& host) {
    text = "GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n";
    return int{parser.parse(text, Limits(), head).status};
  };
  const std::string at_most(64, 'a');  // what is remembered
  const std::string longer(65, 'a');
  for (const std::string& host : {std::string("a.example:80"), at_most, longer}) {
    const std::string kept = host.substr(0, 64);
    for (int again = 0; again < 2; ++again) {
      EXPECT_EQ(verdict(host), 0) << host;
      EXPECT_EQ(head.host, host);
      EXPECT_EQ(verdict(host.substr(0, host.size() - 1) + "@"), 400) << host;
      EXPECT_EQ(verdict("@" + host.substr(1)), 400) << host;
      EXPECT_EQ(verdict(kept + "@"), 400) << host;
    }
  }
}

TEST(RequestParser, EveryMethodGetsThrough) {
  for (uint32_t i = 0; i < kMethodCount; ++i) {
    const auto method = static_cast<Method>(i);
    if (method == Method::connect) continue;
    const RequestHead head = accept(std::string(to_string(method)) + " /x HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_EQ(head.method, method);
    EXPECT_EQ(head.path, "/x");
  }
}

TEST(RequestParser, LaterMinorVersionsCountAsTheLast) {
  const RequestHead head = accept("GET / HTTP/1.7\r\nHost: a\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(head.version_minor, 1);
  EXPECT_TRUE(head.keep_alive);
  EXPECT_TRUE(head.expect_continue);
  EXPECT_EQ(verdict("GET / HTTP/1.2\r\n\r\n"), 400) << "Host is needed as in 1.1";
}

TEST(RequestParser, OriginForm) {
  for (const char* target : {"/", "//", "/a/b", "/a;b=1,c:@!$&'()*+~_-.", "/%41%7f%C3%a9", "/?", "/?a=b?c/d",
                             "/a%2Fb", "/?a[]=1&b[c]=2", "//host/x", "/..", "/a?%00"}) {
    EXPECT_EQ(target_verdict(target),
              std::string_view(target).find("%00") == std::string_view::npos ? 0 : 400)
        << target;
  }
  for (const char* target : {"a",   "?",     "?a",   "*",  "*x",   "/%", "/%4", "/%4x",  "/%x4",   "/%%41",
                             "/?%", "/?%g1", "/%00", "/#", "/a#b", "/[", "/]",  "/a[1]", "/\"",    "/<",
                             "/>",  "/\\",   "/^",   "/`", "/{",   "/|", "/}",  "/\x80", "/?\xff", "/\x7f"}) {
    EXPECT_EQ(target_verdict(target), 400) << target;
  }
}

TEST(RequestParser, PathAndQueryAreSplitAtTheFirstQuestionMark) {
  const Parsed parsed = parse_target("/a/%62?c=d?e");
  EXPECT_EQ(parsed.head.path, "/a/%62");
  EXPECT_EQ(parsed.head.query, "c=d?e");
  EXPECT_EQ(parse_target("/?").head.query, "");
}

TEST(RequestParser, AbsoluteFormWinsOverHost) {
  const RequestHead head = accept("GET HTTP://Example.org:80/a?b HTTP/1.1\r\nHost: other\r\n\r\n");
  EXPECT_EQ(head.form, Form::absolute);
  EXPECT_EQ(head.target, "HTTP://Example.org:80/a?b");
  EXPECT_EQ(head.host, "Example.org:80");
  EXPECT_EQ(head.path, "/a");
  EXPECT_EQ(head.query, "b");
  EXPECT_EQ(accept("GET https://[::1]:443 HTTP/1.1\r\nHost: a\r\n\r\n").path, "/");
  EXPECT_EQ(accept("GET http://a?b=c HTTP/1.1\r\nHost: a\r\n\r\n").path, "/");
  EXPECT_EQ(accept("GET http://a?b=c HTTP/1.1\r\nHost: a\r\n\r\n").query, "b=c");
  EXPECT_EQ(accept("OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n").path, "*");
  EXPECT_EQ(accept("OPTIONS http://a/ HTTP/1.1\r\nHost: a\r\n\r\n").path, "/");
  EXPECT_EQ(accept("GET http://a/ HTTP/1.0\r\n\r\n").host, "a");
}

TEST(RequestParser, AbsoluteFormMustBeWhole) {
  for (const char* target :
       {"http://",      "http:///x",   "http:/a",         "http:a",        "http//a",      "ftp://a/",
        "httpx://a/",   "ws://a/",     "http://u@a/",     "http://u:p@a/", "http://@a/",   "http://?x",
        "http://:80/",  "http://a:b/", "http://a:65536/", "http://a,b/",   "http://a/%zz", "http://a%/",
        "http://[::1/", "http://::1/", "http://a/[",      "https://",      "http://a[b]/"}) {
    EXPECT_EQ(target_verdict(target), 400) << target;
  }
  EXPECT_EQ(verdict("GET http://a/ HTTP/1.1\r\n\r\n"), 400) << "Host is needed all the same";
  EXPECT_EQ(verdict("GET http://a/ HTTP/1.1\r\nHost: b c\r\n\r\n"), 400);
  EXPECT_EQ(verdict("GET http://a/ HTTP/1.1\r\nHost:\r\n\r\n"), 400);
}

TEST(RequestParser, AuthorityFormIsForConnect) {
  const RequestHead head = accept("CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n");
  EXPECT_EQ(head.method, Method::connect);
  EXPECT_EQ(head.form, Form::authority);
  EXPECT_EQ(head.host, "example.org:443");
  EXPECT_EQ(head.path, "");
  EXPECT_EQ(target_verdict("[::1]:443", "CONNECT"), 0);
  for (const char* target : {"a", "a:", ":443", "a:443/", "a:443?x", "/", "*", "http://a:443/", "u@a:443",
                             "a:x", "[::1]", "a:65536"}) {
    EXPECT_EQ(target_verdict(target, "CONNECT"), 400) << target;
  }
  EXPECT_EQ(target_verdict("a:443", "GET"), 400);
}

TEST(RequestParser, AsteriskFormIsForOptions) {
  const Parsed parsed = parse_target("*", "OPTIONS");
  EXPECT_EQ(parsed.refusal.status, 0);
  EXPECT_EQ(parsed.head.form, Form::asterisk);
  EXPECT_EQ(parsed.head.path, "*");
  EXPECT_EQ(target_verdict("*", "GET"), 400);
  EXPECT_EQ(target_verdict("*", "POST"), 400);
  EXPECT_EQ(target_verdict("*?a", "OPTIONS"), 400);
}

TEST(RequestParser, HostIsNeededOnce) {
  EXPECT_EQ(verdict("GET / HTTP/1.1\r\n\r\n"), 400);
  EXPECT_EQ(verdict("GET / HTTP/1.1\r\nX-Host: a\r\n\r\n"), 400);
  EXPECT_EQ(verdict("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), 400);
  EXPECT_EQ(verdict("GET / HTTP/1.1\r\nHost: a\r\nhOST: a\r\n\r\n"), 400);
  EXPECT_EQ(verdict("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(verdict("GET / HTTP/1.0\r\nHost: a b\r\n\r\n"), 400);
  EXPECT_EQ(verdict("GET / HTTP/1.0\r\n\r\n"), 0);
}

TEST(RequestParser, HostIsAHostAndPort) {
  for (const char* host : {"", "a", "a.", "A-b_c.example", "127.0.0.1", "127.0.0.1:8080", "[::1]", "[::1]:80",
                           "[::ffff:1.2.3.4]:65535", "a:", "a:0", "a:00080", "x%41y", "a;b=c", "  a\t"}) {
    EXPECT_EQ(host_verdict(host), 0) << host;
  }
  for (const char* host : {"a b",
                           "a\tb",
                           "u@a",
                           "u:p@a",
                           "a/b",
                           "a,b",
                           "a, b",
                           "a:b",
                           "a:80:80",
                           "a:65536",
                           "a:99999999999999999999",
                           "a:-1",
                           "a:8 0",
                           ":80",
                           "::1",
                           "[::1",
                           "::1]",
                           "[]",
                           "[::1]x",
                           "[::1]80",
                           "[g::1]",
                           "[::1%25eth0]",
                           "[1.2.3.4]",
                           "a?b",
                           "a#b",
                           "a\\b",
                           "\"a\"",
                           "a%",
                           "a%4",
                           "a%00",
                           "http://a",
                           "a\x80",
                           "<a>",
                           "[1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc]"}) {
    EXPECT_EQ(host_verdict(host), 400) << host;
  }
}

TEST(RequestParser, ContentLength) {
  EXPECT_EQ(accept(with_lines("Content-Length: 5\r\n")).content_length, 5u);
  EXPECT_TRUE(accept(with_lines("content-LENGTH:0\r\n")).has_length);
  EXPECT_EQ(accept(with_lines("Content-Length: 0005\r\n")).content_length, 5u);
  EXPECT_EQ(accept(with_lines("Content-Length: 9223372036854775807\r\n")).content_length,
            uint64_t{INT64_MAX});
  for (const char* value :
       {"", "-1", "+1", "5, 5", "5,5", "5 5", "0x5", "5.0", "5;", "five", "9223372036854775808",
        "18446744073709551616", "99999999999999999999999", "\"5\"", "5,"}) {
    EXPECT_EQ(verdict(with_lines("Content-Length: "s + value + "\r\n")), 400) << value;
  }
  EXPECT_EQ(verdict(with_lines("Content-Length: 5\r\nContent-Length: 5\r\n")), 400);
  EXPECT_EQ(verdict(with_lines("Content-Length: 5\r\nContent-Length: 6\r\n")), 400);
  EXPECT_EQ(verdict(with_lines("Content-Length: 5\r\nContent-Length:\r\n")), 400);
}

// llhttp before 9.4 refuses the first two, and no llhttp sees `chunked` with a tab.
TEST(RequestParser, TabIsBlankToo) {
  EXPECT_EQ(accept(with_lines("Content-Length:\t5\t\r\n")).content_length, 5u);
  EXPECT_EQ(accept(with_lines("Content-Length: \t5 \t \r\nX:\t\r\n")).content_length, 5u);
  EXPECT_TRUE(accept(with_lines("Transfer-Encoding:\tchunked\t\r\n")).chunked);
  EXPECT_EQ(verdict(with_lines("Transfer-Encoding: chunked \t\r\n")), 0);
  EXPECT_FALSE(accept(with_lines("Connection: close\t\r\n")).keep_alive);
  EXPECT_FALSE(accept(with_lines("Connection: close\t,x\r\n")).keep_alive);
  EXPECT_TRUE(accept(with_lines("Connection: upgrade\t\r\nUpgrade: websocket\r\n")).upgrade);
  EXPECT_EQ(accept(with_lines("X: a\tb\r\n")).fields[1].value, "a\tb");
  EXPECT_EQ(accept("GET / HTTP/1.1\r\nHost:\ta\t\r\n\r\n").host, "a");
}

TEST(RequestParser, TransferEncodingIsChunkedAlone) {
  for (const char* value : {"chunked", "Chunked", "CHUNKED", "  chunked  "}) {
    const RequestHead head = accept(with_lines("Transfer-Encoding: "s + value + "\r\n"));
    EXPECT_TRUE(head.chunked);
    EXPECT_FALSE(head.has_length);
  }
  for (const char* value :
       {"gzip, chunked", "gzip,chunked", "deflate, gzip, chunked", "x;q=1, chunked", "gzip\t,\tchunked"}) {
    EXPECT_EQ(verdict(with_lines("Transfer-Encoding: "s + value + "\r\n")), 501) << value;
  }
  for (const char* value :
       {"", " ", ",", "identity", "gzip", "chunked, gzip", "chunked,", ",chunked", "chunked, chunked",
        "chunked;a=b", "xchunked", "chunkedx", "\"chunked\"", "chunked chunked", "gzip chunked",
        "chunked, identity", "gzip, , chunked", "\"a\", chunked"}) {
    EXPECT_EQ(verdict(with_lines("Transfer-Encoding: "s + value + "\r\n")), 400) << value;
  }
}

TEST(RequestParser, TransferEncodingOnceAndAlone) {
  for (const char* lines :
       {"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding:\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding:\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: gzip, chunked\r\nContent-Length: 5\r\n"}) {
    EXPECT_EQ(verdict(with_lines(lines)), 400) << lines;
  }
  EXPECT_EQ(verdict(with_lines("Transfer-Encoding: chunked\r\n", "POST / HTTP/1.0")), 400);
  EXPECT_EQ(
      verdict(with_lines("Transfer-Encoding: chunked\r\nConnection: keep-alive\r\n", "POST / HTTP/1.0")),
      400);
}

TEST(RequestParser, ConnectionIsAListOverFields) {
  const auto keep_alive = [](std::string_view lines, std::string_view version = "1.1") {
    return accept(with_lines(lines, "GET / HTTP/" + std::string(version))).keep_alive;
  };
  EXPECT_TRUE(keep_alive(""));
  EXPECT_TRUE(keep_alive("Connection: keep-alive\r\n"));
  EXPECT_TRUE(keep_alive("Connection: closed, xclose, clos e\r\n"));
  EXPECT_FALSE(keep_alive("Connection: close\r\n"));
  EXPECT_FALSE(keep_alive("Connection: ,, CLOSE ,\r\n"));
  EXPECT_FALSE(keep_alive("Connection: keep-alive, close\r\n"));
  EXPECT_FALSE(keep_alive("Connection: close\r\nConnection: keep-alive\r\n"));
  EXPECT_FALSE(keep_alive("Connection: x\r\nConnection: y,\tclose\r\n"));
  EXPECT_FALSE(keep_alive("", "1.0"));
  EXPECT_FALSE(keep_alive("Connection: close, keep-alive\r\n", "1.0"));
  EXPECT_TRUE(keep_alive("Connection: x,Keep-Alive\r\n", "1.0"));
}

TEST(RequestParser, UpgradeNeedsBothFields) {
  EXPECT_TRUE(accept(with_lines("Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n")).upgrade);
  EXPECT_FALSE(accept(with_lines("Connection: Upgrade\r\n")).upgrade);
  EXPECT_FALSE(accept(with_lines("Upgrade: websocket\r\n")).upgrade);
  EXPECT_FALSE(accept(with_lines("Connection: upgrade\r\nUpgrade: websocket\r\n", "GET / HTTP/1.0")).upgrade);
  EXPECT_EQ(verdict(with_lines("Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n")), 0);
}

TEST(RequestParser, Expectations) {
  EXPECT_TRUE(accept(with_lines("Expect: 100-Continue\r\n")).expect_continue);
  EXPECT_FALSE(accept(with_lines("Expect: 100-continue\r\n", "POST / HTTP/1.0")).expect_continue);
  EXPECT_FALSE(accept(with_lines("Expect:\r\n")).expect_continue);
  EXPECT_EQ(verdict(with_lines("Expect: x\r\n", "POST / HTTP/1.0")), 0);
  for (const char* value : {"x", "100-continue, x", "100-continue;a", "200-ok"}) {
    EXPECT_EQ(verdict(with_lines("Expect: "s + value + "\r\n")), 417) << value;
  }
  EXPECT_EQ(verdict(with_lines("Expect: 100-continue\r\nExpect: x\r\n")), 417);
}

TEST(RequestParser, ValuesMayHoldObsText) {
  const RequestHead head = accept(with_lines("X: caf\xc3\xa9 \xff\x80\r\n"));
  EXPECT_EQ(head.fields[1].value, "caf\xc3\xa9 \xff\x80");
}

TEST(RequestParser, LeadingEmptyLinesAreLeftOut) {
  const RequestHead head = accept("\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(head.method, Method::get);
  EXPECT_EQ(head.path, "/x");
}

// A head that no scanner has seen must be refused or read, never read past its end.
TEST(RequestParser, CutHeadsAreRefused) {
  const std::string text = "POST http://a/b?c HTTP/1.1\r\nHost: a\r\nContent-Length: 5\t\r\nX:\r\n\r\n";
  RequestParser parser;
  RequestHead head;
  for (size_t cut = 0; cut < text.size(); ++cut) {
    const ExactBytes bytes(text.substr(0, cut));
    EXPECT_EQ(parser.parse(bytes.view(), {}, head).status, 400) << cut;
  }
  EXPECT_FALSE(parser.parse(text, {}, head));
}

TEST(RequestParser, BytesBehindTheHeadAreRefused) {
  RequestParser parser;
  RequestHead head;
  EXPECT_EQ(parser.parse("GET / HTTP/1.1\r\nHost: a\r\n\r\nxx", {}, head).status, 400);
}

TEST(RequestParser, MoreFieldsThanAllowed) {
  Limits limits;
  limits.max_fields = 2;
  RequestParser parser;
  RequestHead head;
  EXPECT_FALSE(parser.parse(with_lines("A: 1\r\n"), limits, head));
  EXPECT_EQ(parser.parse(with_lines("A: 1\r\nB: 1\r\n"), limits, head).status, 431);
}

TEST(RequestHead, RebaseMovesEveryView) {
  for (const char* line :
       {"GET /p?q HTTP/1.1", "GET http://h:1/p?q HTTP/1.1", "GET http://h HTTP/1.1", "OPTIONS * HTTP/1.1"}) {
    const std::string text = std::string(line) + "\r\nHost: a\r\nEmpty:\r\nX: y\r\n\r\n";
    RequestHead head;
    RequestHead expected;
    RequestParser parser;
    std::string old_bytes = text;
    ASSERT_FALSE(parser.parse(text, {}, expected));
    ASSERT_FALSE(parser.parse(old_bytes, {}, head));
    const ExactBytes new_bytes(text);
    head.rebase(old_bytes.data(), text.size(), new_bytes.view().data());
    old_bytes.assign(text.size(), '#');  // a view that stayed behind shows it
    EXPECT_EQ(head.target, expected.target);
    EXPECT_EQ(head.path, expected.path);
    EXPECT_EQ(head.query, expected.query);
    EXPECT_EQ(head.host, expected.host);
    ASSERT_EQ(head.fields.size(), expected.fields.size());
    for (size_t i = 0; i < head.fields.size(); ++i) {
      EXPECT_EQ(head.fields[i].name, expected.fields[i].name);
      EXPECT_EQ(head.fields[i].value, expected.fields[i].value);
      EXPECT_GE(head.fields[i].value.data(), new_bytes.view().data());
      EXPECT_LE(head.fields[i].value.data(), new_bytes.view().data() + text.size());
    }
  }
}

TEST(RequestParser, WarmHeadTakesNoMemory) {
  const std::string text = with_lines("A: 1\r\nB:\t2\t\r\nContent-Length: 5\r\n");
  RequestParser parser;
  RequestHead head;
  ASSERT_FALSE(parser.parse(text, {}, head));
  HeadScanner scanner;
  const test::AllocationCounter counter;
  for (int i = 0; i < 3; ++i) {
    scanner.reset();
    ASSERT_EQ(scanner.scan(text, {}).outcome, ScanOutcome::complete);
    ASSERT_FALSE(parser.parse(text, {}, head));
  }
  EXPECT_EQ(counter.count(), 0u);
}

TEST(RequestHead, ClearKeepsTheCapacity) {
  RequestHead head = accept(with_lines("A: 1\r\nContent-Length: 3\r\n"));
  const size_t capacity = head.fields.capacity();
  head.clear();
  EXPECT_EQ(head.fields.size(), 0u);
  EXPECT_EQ(head.fields.capacity(), capacity);
  EXPECT_EQ(head.content_length, 0u);
  EXPECT_FALSE(head.has_length);
  EXPECT_EQ(head.target, "");
}

TEST(RequestHead, NamesCompareWithoutCase) {
  EXPECT_TRUE(equal_ignoring_case("", ""));
  EXPECT_TRUE(equal_ignoring_case("Content-Length", "cONTENT-lENGTH"));
  EXPECT_FALSE(equal_ignoring_case("Host", "Hosts"));
  EXPECT_FALSE(equal_ignoring_case("a-b", "a\rb")) << "0x2d and 0x0d differ by the bit of case";
  EXPECT_FALSE(equal_ignoring_case("@", "`"));
  EXPECT_FALSE(equal_ignoring_case("[", "{"));
  EXPECT_FALSE(equal_ignoring_case("\xc1", "\xe1"));
}

}  // namespace
}  // namespace lastcall::testing
