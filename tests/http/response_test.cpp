// What a handler may put into an answer.

#include <stdexcept>

#include "tests/http/session_support.hpp"

namespace lastcall::test {
namespace {

/// A handler's hands on a Response, and what a client would see of it.
class ResponseTest : public ::testing::Test {
 protected:
  template <class F>
  std::string answer(F fill) {
    SessionHost host;
    host.on(Method::get, "/", [&fill](const Request&, Response& response) { fill(response); });
    return host.ask(get("/"));
  }

  /// Whether the handler got std::invalid_argument, and the answer shows nothing of the attempt.
  template <class F>
  bool refused(F fill) {
    bool thrown = false;
    std::string stream = answer([&](Response& response) {
      try {
        fill(response);
      } catch (const std::invalid_argument&) {
        thrown = true;
      }
    });
    return thrown && stream == answer([](Response&) {});
  }
};

TEST_F(ResponseTest, EmptyIs200WithoutABody) {
  EXPECT_TRUE(answer([](Response&) {}).ends_with("GMT\r\nContent-Length: 0\r\n\r\n"));
}

TEST_F(ResponseTest, FieldsComeInOrderAsWritten) {
  EXPECT_NE(answer([](Response& r) {
              r.header("X-b", "1").header("x-A", "").header("X-b", "2");
            }).find("\r\nX-b: 1\r\nx-A: \r\nX-b: 2\r\n"),
            std::string::npos);
}

TEST_F(ResponseTest, ValuesThatWouldSplitTheHeadAreRefused) {
  for (char c : std::string_view("\r\n\0\x01\x08\x0b\x0c\x1b\x1f\x7f", 10)) {
    for (std::string value : {std::string(1, c), "a" + std::string(1, c), "a" + std::string(1, c) + "b"}) {
      EXPECT_TRUE(refused([&](Response& r) { r.header("X", value); })) << static_cast<int>(c);
    }
  }
  EXPECT_TRUE(refused([](Response& r) { r.header("X", "a\r\nSet-Cookie: b=c"); }));
  EXPECT_TRUE(refused([](Response& r) { r.header("X", "a\r\n\r\n<script>"); }));
}

TEST_F(ResponseTest, ValuesMayHaveTabsBlanksAndObsText) {
  EXPECT_NE(answer([](Response& r) { r.header("X", "a\tb c\xc3\xa9"); }).find("X: a\tb c\xc3\xa9\r\n"),
            std::string::npos);
}

TEST_F(ResponseTest, ContentTypeIsNoWayAround) {
  for (std::string_view type : {"text/plain\r\nX: y", "a\nb", "\x7f"}) {
    bool thrown = false;
    std::string stream = answer([&](Response& r) {
      try {
        r.body("x", type);
      } catch (const std::invalid_argument&) {
        thrown = true;
      }
    });
    EXPECT_TRUE(thrown);
    EXPECT_EQ(stream.find("Content-Type"), std::string::npos);
  }
}

TEST_F(ResponseTest, NamesMustBeTokens) {
  for (std::string_view name : {"", " ", "a b", "a:", ":a", "a\r\nb", "a\n", "a(", "\"a\"", "a\x7f",
                                "\xc3\xa9", "a/b", "a=b", "a,b"}) {
    EXPECT_TRUE(refused([&](Response& r) { r.header(name, "x"); })) << name;
  }
  EXPECT_TRUE(refused([](Response& r) { r.header(std::string_view("a\0b", 3), "x"); }));
}

TEST_F(ResponseTest, FramingIsTheServers) {
  for (std::string_view name : {"Content-Length", "content-length", "Transfer-Encoding", "TRANSFER-ENCODING",
                                "Connection", "connection"}) {
    EXPECT_TRUE(refused([&](Response& r) { r.header(name, "1"); })) << name;
  }
}

TEST_F(ResponseTest, StatusIs200To599) {
  for (int code : {0, 99, 100, 101, 199, 600, 999, 65535}) {
    EXPECT_TRUE(refused([&](Response& r) { r.status(static_cast<uint16_t>(code)); })) << code;
  }
  EXPECT_TRUE(answer([](Response& r) { r.status(200); }).starts_with("HTTP/1.1 200 OK\r\n"));
  EXPECT_TRUE(answer([](Response& r) { r.status(599); }).starts_with("HTTP/1.1 599 "));
}

TEST_F(ResponseTest, DateAndServerReplaceTheServersOwn) {
  Answer got = parse_answer(answer([](Response& r) { r.header("date", "x").header("SERVER", "y"); }));
  EXPECT_EQ(got.count("Date") + got.count("Server"), 0u);
  EXPECT_EQ(got.field("date"), "x");
  EXPECT_EQ(got.field("SERVER"), "y");
}

TEST_F(ResponseTest, OneContentType) {
  Answer got = parse_answer(answer([](Response& r) { r.header("content-type", "a/b").text("x"); }));
  EXPECT_EQ(got.count("Content-Type"), 0u);
  EXPECT_EQ(got.field("content-type"), "a/b");
  got = parse_answer(answer([](Response& r) {
    r.text("x");
    r.text("y");
  }));
  EXPECT_EQ(got.count("Content-Type"), 1u);
  EXPECT_EQ(got.body, "y");
  got = parse_answer(answer([](Response& r) {
    r.text("x");
    r.header("Content-Type", "a/b");
  }));
  EXPECT_EQ(got.count("Content-Type"), 1u);
  EXPECT_EQ(got.field("Content-Type"), "a/b");
}

TEST_F(ResponseTest, TheTypeIsThatOfTheLastBodyAndIsCopied) {
  Answer got = parse_answer(answer([](Response& r) {
    r.text("x");
    std::string type = "application/vnd.of-a-long-name+json";
    r.body("{}", type);
    type.assign(type.size(), '#');
  }));
  EXPECT_EQ(got.count("Content-Type"), 1u);
  EXPECT_EQ(got.field("Content-Type"), "application/vnd.of-a-long-name+json");
  got = parse_answer(answer([](Response& r) {
    r.text("x");
    r.body("y", "");
  }));
  EXPECT_EQ(got.count("Content-Type"), 0u);
}

TEST_F(ResponseTest, NoContentHasNoBodyAndNoLength) {
  for (int code : {204, 304}) {
    std::string stream =
        answer([&](Response& r) { r.status(static_cast<uint16_t>(code)).text("not to be sent"); });
    EXPECT_TRUE(stream.ends_with("Content-Type: text/plain\r\n\r\n")) << stream;
  }
}

TEST_F(ResponseTest, HandlerMayCloseTheConnection) {
  SessionHost host;
  host.on(Method::get, "/", [](const Request&, Response& response) { response.close_connection(); });
  EXPECT_TRUE(parse_answer(host.ask(get("/"))).closes());
  EXPECT_FALSE(host.open_still());
}

TEST_F(ResponseTest, NothingOfAFailedAnswerIsLeft) {
  std::string stream = answer([](Response& r) {
    r.status(201).header("X-Secret", "1").close_connection().text("secret");
    throw std::runtime_error("on purpose");
  });
  EXPECT_EQ(parse_answer(stream).status, 500);
  EXPECT_EQ(stream.find("ecret"), std::string::npos);
}

}  // namespace
}  // namespace lastcall::test
