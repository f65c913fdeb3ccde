#include <chrono>

#include "tests/e2e/fixture.hpp"

namespace lastcall::e2e {
namespace {

using testing::AnyOf;
using testing::HasSubstr;

class Routes : public EndToEnd {};
LASTCALL_ON_BOTH_BACKENDS(Routes);

/// "GET, HEAD" as a sorted list.
std::vector<std::string> methods_of(const HttpAnswer& answer) {
  std::vector<std::string> methods;
  std::istringstream list(answer.header("Allow"));
  for (std::string one; std::getline(list, one, ',');) {
    one.erase(0, one.find_first_not_of(' '));
    methods.push_back(one);
  }
  std::ranges::sort(methods);
  return methods;
}

TEST_P(Routes, FrontPageListsTheRoutes) {
  start();
  HttpAnswer page = get("/");
  EXPECT_EQ(page.status, 200);
  EXPECT_TRUE(page.complete);
  EXPECT_EQ(page.header("Content-Type"), "text/html; charset=utf-8");
  for (const char* route : {"/plaintext", "/json", "/anything", "/users/{id}", "/sleep", "/block", "/spin",
                            "/bytes", "/stream", "/echo", "/upload", "/throw"}) {
    EXPECT_THAT(page.body, HasSubstr(route));
  }
}

TEST_P(Routes, PlaintextHasTheFieldsOfABenchmark) {
  start();
  HttpAnswer answer = get("/plaintext");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.version, "HTTP/1.1");
  EXPECT_EQ(answer.body, "Hello, World!");
  EXPECT_EQ(answer.header("Content-Type"), "text/plain");
  EXPECT_EQ(answer.header("Content-Length"), "13");
  EXPECT_EQ(answer.header("Server"), "lastcall");
  EXPECT_EQ(answer.count("Date"), 1u);
}

TEST_P(Routes, JsonHoldsWhateverAParameterHolds) {
  start();
  const std::pair<const char*, const char*> cases[] = {
      {"42", R"({"id":"42"})"},
      {"a~b!c", R"({"id":"a~b!c"})"},
      {"a%20b", R"({"id":"a b"})"},
      {"%22", R"({"id":"\""})"},
      {"a%5Cb", R"({"id":"a\\b"})"},
      {"%0A%01%7F", "{\"id\":\"\\n\\u0001\x7f\"}"},
      {"%C3%A9", "{\"id\":\"\xc3\xa9\"}"},
      {"%FF", "{\"id\":\"\xef\xbf\xbd\"}"},  // no UTF-8: the replacement character
  };
  for (const auto& [id, body] : cases) EXPECT_EQ(get("/users/" + std::string(id)).body, body) << id;
}

TEST_P(Routes, DateIsAnImfFixdateOfNow) {
  start();
  std::string date = get("/plaintext").header("Date");
  std::tm fields{};
  const char* rest = ::strptime(date.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &fields);  // RFC 9110 5.6.7
  ASSERT_NE(rest, nullptr) << date;
  EXPECT_EQ(*rest, '\0') << date;
  EXPECT_EQ(date.size(), 29u);
  EXPECT_NEAR(static_cast<double>(::timegm(&fields)), static_cast<double>(std::time(nullptr)), 5.0);
}

TEST_P(Routes, JsonIsJson) {
  start();
  HttpAnswer answer = get("/json");
  EXPECT_EQ(answer.header("Content-Type"), "application/json");
  EXPECT_EQ(Json::parse(answer.body), Json({{"message", "Hello, World!"}}));
  EXPECT_EQ(answer.count("Date"), 1u);
  EXPECT_EQ(answer.header("Server"), "lastcall");
}

TEST_P(Routes, UsersGivesTheDecodedParameter) {
  start();
  EXPECT_EQ(Json::parse(get("/users/42").body).at("id"), "42");
  EXPECT_EQ(Json::parse(get("/users/a%20b").body).at("id"), "a b");
  EXPECT_EQ(Json::parse(get("/users/%C3%A9t%C3%A9").body).at("id"), "\u00e9t\u00e9");
  EXPECT_EQ(Json::parse(get("/users/a%2Fb").body).at("id"), "a/b");
  EXPECT_EQ(get("/users/%FF").status, 200);  // not UTF-8, and still an answer
  EXPECT_EQ(get("/users").status, 404);
  EXPECT_EQ(get("/users/1/2").status, 404);
}

TEST_P(Routes, HeadAnswersLikeGetWithoutTheBody) {
  start();
  RawClient client = connect();
  for (const char* target :
       {"/", "/plaintext", "/json", "/users/7", "/sleep?ms=1", "/block?ms=1", "/spin?ms=1", "/bytes?n=100000",
        "/stream?n=3", "/throw", "/bytes?n=x", "/nope"}) {
    SCOPED_TRACE(target);
    HttpAnswer full = client.ask(get_request(target));
    HttpAnswer head = client.ask("HEAD " + std::string(target) + " HTTP/1.1\r\nHost: test\r\n\r\n");
    ASSERT_TRUE(full.complete);
    EXPECT_EQ(head.status, full.status);
    for (const char* name : {"Content-Length", "Content-Type", "Transfer-Encoding", "Connection"}) {
      EXPECT_EQ(head.header(name), full.header(name)) << name;
    }
  }
  // Not a byte of a body lies between these answers: the next one is where it should be.
  EXPECT_EQ(client.ask(get_request("/plaintext")).body, "Hello, World!");
}

// A handler that would write for hours must not do so for nobody.
TEST_P(Routes, HeadOfAnEndlessBodyIsAnsweredAtOnce) {
  start({"--reactors", "1"});
  RawClient client = connect();
  for (const char* target : {"/bytes?n=1125899906842624", "/stream?n=1000000&ms=3000"}) {
    EXPECT_EQ(client.ask("HEAD " + std::string(target) + " HTTP/1.1\r\nHost: test\r\n\r\n").status, 200)
        << target;
  }
  EXPECT_EQ(client.ask(get_request("/plaintext")).body, "Hello, World!");
}

TEST_P(Routes, OptionsNamesTheMethods) {
  start();
  RawClient client = connect();
  auto options = [&](const std::string& target) {
    return client.ask("OPTIONS " + target + " HTTP/1.1\r\nHost: test\r\n\r\n");
  };
  HttpAnswer plain = options("/plaintext");
  EXPECT_THAT(plain.status, AnyOf(200, 204));
  EXPECT_THAT(methods_of(plain), testing::ElementsAre("GET", "HEAD", "OPTIONS"));
  EXPECT_THAT(methods_of(options("/echo")), testing::ElementsAre("OPTIONS", "POST"));
  EXPECT_EQ(options("http://test").header("Allow"), options("*").header("Allow"));  // RFC 9112 3.2.4
  HttpAnswer all = options("*");
  EXPECT_THAT(all.status, AnyOf(200, 204));
  EXPECT_THAT(methods_of(all), testing::IsSupersetOf({"GET", "HEAD", "OPTIONS", "POST"}));
  EXPECT_EQ(options("/nope").status, 404);
}

TEST_P(Routes, UnknownPathIs404) {
  start();
  for (const char* target : {"/nope", "/plaintext/", "/plaintextx", "//", "/events/x"}) {
    HttpAnswer answer = get(target);
    EXPECT_EQ(answer.status, 404) << target;
    EXPECT_TRUE(answer.complete);
  }
}

TEST_P(Routes, WrongMethodIs405WithAllow) {
  start();
  RawClient client = connect();
  HttpAnswer answer = client.ask(post_request("/plaintext", "body"));
  EXPECT_EQ(answer.status, 405);
  EXPECT_THAT(methods_of(answer), testing::ElementsAre("GET", "HEAD", "OPTIONS"));
  answer = client.ask(get_request("/echo"));  // on the same connection: the body above was read past
  EXPECT_EQ(answer.status, 405);
  EXPECT_THAT(methods_of(answer), testing::ElementsAre("OPTIONS", "POST"));
  EXPECT_EQ(client.ask("DELETE /json HTTP/1.1\r\nHost: test\r\n\r\n").status, 405);
}

TEST_P(Routes, BadNumberIs400) {
  start();
  for (const char* target : {"/sleep?ms=x", "/sleep?ms=-1", "/sleep?ms=", "/block?ms=1.5",
                             "/spin?ms=99999999999", "/bytes?n=0x10", "/stream?n=1e3", "/stream?n=1&ms=no"}) {
    HttpAnswer answer = get(target);
    EXPECT_EQ(answer.status, 400) << target;
    EXPECT_THAT(answer.body, HasSubstr("whole number")) << target;
  }
}

TEST_P(Routes, ThrowIs500AndTheConnectionLivesOn) {
  start();
  RawClient client = connect();
  for (int i = 0; i < 3; ++i) {
    HttpAnswer answer = client.ask(get_request("/throw"));
    EXPECT_EQ(answer.status, 500);
    EXPECT_TRUE(answer.complete);
    EXPECT_THAT(answer.body,
                testing::Not(HasSubstr("on purpose")));  // what failed is for the log, not for the client
    EXPECT_EQ(client.ask(get_request("/plaintext")).body, "Hello, World!");
  }
  EXPECT_TRUE(server().wait_for_line("thrown on purpose"));
}

TEST_P(Routes, SleepBlockSpinSayHowLong) {
  start();
  EXPECT_EQ(get("/sleep?ms=20").body, "slept 20 ms\n");
  EXPECT_EQ(get("/sleep").body, "slept 0 ms\n");
  EXPECT_EQ(get("/block?ms=20").body, "slept 20 ms\n");
  EXPECT_EQ(get("/spin?ms=20").status, 200);
}

TEST_P(Routes, FiveHundredSleepersShareOneReactor) {
  start();
  auto began = std::chrono::steady_clock::now();
  std::vector<RawClient> clients;
  for (int i = 0; i < 500; ++i) {
    clients.push_back(connect());
    clients.back().send(get_request("/sleep?ms=300"));
  }
  for (RawClient& client : clients) EXPECT_EQ(client.read_answer().body, "slept 300 ms\n");
  auto took = std::chrono::steady_clock::now() - began;
  EXPECT_GE(took, 300ms);
  EXPECT_LT(took, 20s);  // one after the other would be 150 s
}

TEST_P(Routes, BlockBeyondTheQueueIs503WithRetryAfter) {
  start();
  std::vector<RawClient> clients;
  for (int i = 0; i < 200; ++i) {
    clients.push_back(connect());
    clients.back().send(get_request("/block?ms=100"));
  }
  int served = 0;
  int refused = 0;
  for (RawClient& client : clients) {
    HttpAnswer answer = client.read_answer();
    if (answer.status == 200) ++served;
    if (answer.status != 503) continue;
    ++refused;
    EXPECT_EQ(answer.header("Retry-After"), "1");
  }
  EXPECT_EQ(served + refused, 200);
  EXPECT_GE(served, 64);
  EXPECT_GE(refused, 1);
  EXPECT_EQ(get("/block?ms=1").status, 200);
}

}  // namespace
}  // namespace lastcall::e2e
