#include "tests/e2e/fixture.hpp"

namespace lastcall::e2e {
namespace {

class Anything : public EndToEnd {
 protected:
  Json ask(const std::string& request) {
    HttpAnswer answer = connect().ask(request);
    EXPECT_EQ(answer.status, 200) << answer.body;
    return Json::parse(answer.body, nullptr, false);
  }
};
LASTCALL_ON_BOTH_BACKENDS(Anything);

TEST_P(Anything, GivesFieldsInOrderWithTheirNamesAsSent) {
  start();
  Json seen = ask(
      "GET /anything HTTP/1.1\r\nhOsT: test:80\r\nX-One:  1 \r\nx-one: 2\r\nACCEPT: */*\r\nX-Empty:\r\n\r\n");
  EXPECT_EQ(seen.at("headers"),
            Json::parse(R"([["hOsT","test:80"],["X-One","1"],["x-one","2"],["ACCEPT","*/*"],
                                                ["X-Empty",""]])"));
  EXPECT_EQ(seen.at("method"), "GET");
  EXPECT_EQ(seen.at("version"), "HTTP/1.1");
  EXPECT_EQ(seen.at("target"), "/anything");
  EXPECT_EQ(seen.at("body_base64"), "");
  EXPECT_EQ(seen.at("trailers"), Json::array());
}

TEST_P(Anything, GivesTargetPathAndQuery) {
  start();
  Json seen = ask(get_request("/anything/a%20b/%C3%A9?x=1%202&y&z=%2F"));
  EXPECT_EQ(seen.at("target"), "/anything/a%20b/%C3%A9?x=1%202&y&z=%2F");
  EXPECT_EQ(seen.at("path"), "/anything/a b/\u00e9");
  EXPECT_EQ(seen.at("query"), "x=1%202&y&z=%2F");
}

TEST_P(Anything, TakesAnAbsoluteTarget) {
  start();
  Json seen = ask("GET http://example.com:8080/anything/x?y=1 HTTP/1.1\r\nHost: other\r\n\r\n");
  EXPECT_EQ(seen.at("target"), "http://example.com:8080/anything/x?y=1");
  EXPECT_EQ(seen.at("path"), "/anything/x");
  EXPECT_EQ(seen.at("query"), "y=1");
}

TEST_P(Anything, GivesTheBodyOfALength) {
  start();
  EXPECT_EQ(ask(post_request("/anything", "hello")).at("body_base64"), "aGVsbG8=");
  EXPECT_EQ(ask(post_request("/anything", std::string("\0\xff\r\n", 4))).at("body_base64"), "AP8NCg==");
}

TEST_P(Anything, GivesAChunkedBodyAndItsTrailers) {
  start();
  Json seen =
      ask("POST /anything HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
          "3;name=\"v\"\r\nhel\r\n2\r\nlo\r\n0\r\nX-Sum: 5\r\nx-other:  y\r\n\r\n");
  EXPECT_EQ(seen.at("body_base64"), "aGVsbG8=");
  EXPECT_EQ(seen.at("trailers"), Json::parse(R"([["X-Sum","5"],["x-other","y"]])"));
}

TEST_P(Anything, TakesEveryMethodItKnows) {
  start();
  RawClient client = connect();
  for (const char* method : {"GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"}) {
    HttpAnswer answer = client.ask(std::string(method) + " /anything HTTP/1.1\r\nHost: test\r\n\r\n");
    ASSERT_EQ(answer.status, 200) << method;
    EXPECT_EQ(Json::parse(answer.body).at("method"), method);
  }
}

TEST_P(Anything, GivesTheVersion) {
  start();
  EXPECT_EQ(ask("GET /anything HTTP/1.0\r\n\r\n").at("version"), "HTTP/1.0");
}

TEST_P(Anything, GivesThePeer) {
  start();
  RawClient client = connect();
  HttpAnswer answer = client.ask(get_request("/anything"));
  EXPECT_EQ(Json::parse(answer.body).at("peer"), client.local_address());
}

TEST_P(Anything, GivesBytesThatAreNotUtf8AsJsonAllTheSame) {
  start();
  Json seen = ask(get_request("/anything/%FF", "X-Latin: caf\xe9\r\n"));
  EXPECT_FALSE(seen.is_discarded());
}

}  // namespace
}  // namespace lastcall::e2e
