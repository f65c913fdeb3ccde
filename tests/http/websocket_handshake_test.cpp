#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include <lastcall/http/sha1.hpp>
#include <lastcall/http/websocket_handshake.hpp>

namespace lastcall::testing {
namespace {

constexpr std::string_view kKey = "dGhlIHNhbXBsZSBub25jZQ==";

std::string hex(std::string_view bytes) {
  std::string text;
  for (const uint8_t byte : sha1(bytes)) {
    text.push_back("0123456789abcdef"[byte >> 4]);
    text.push_back("0123456789abcdef"[byte & 0xf]);
  }
  return text;
}

// RFC 3174 7.3 and FIPS 180; lengths around the end of a block.
TEST(Sha1, Vectors) {
  EXPECT_EQ(hex(""), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
  EXPECT_EQ(hex("abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
  EXPECT_EQ(hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
  std::string repeated;
  for (int i = 0; i < 80; ++i) repeated += "01234567";
  EXPECT_EQ(hex(repeated), "dea356a2cddd90c7a7ecedc5ebb563934f460452");
  EXPECT_EQ(hex(std::string(1'000'000, 'a')), "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
  EXPECT_EQ(hex(std::string(55, 'a')), "c1c8bbdc22796e28c0e15163d20899b65621d65a");
  EXPECT_EQ(hex(std::string(64, 'a')), "0098ba824b5c16427bd7a1122a5a442a25ec644d");
}

TEST(Base64, Vectors) {  // RFC 4648 10
  EXPECT_EQ(base64(""), "");
  EXPECT_EQ(base64("f"), "Zg==");
  EXPECT_EQ(base64("fo"), "Zm8=");
  EXPECT_EQ(base64("foo"), "Zm9v");
  EXPECT_EQ(base64("foobar"), "Zm9vYmFy");
  EXPECT_EQ(base64("\xfb\xff\xfe"), "+//+");
}

TEST(WebSocketHandshake, AcceptIsThatOfTheRfc) {
  EXPECT_EQ(websocket_accept(kKey), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

class Handshake : public ::testing::Test {
 protected:
  WebSocketHandshake judge(const WebSocketRules& rules = {}) {
    return judge_handshake(method_, version_minor_, fields_, rules);
  }
  /// Of the good request with `name` set to `value` (an empty one: left out).
  uint16_t status_with(std::string_view name, std::string_view value) {
    const std::vector<Field> good = fields_;
    std::erase_if(fields_, [&](const Field& field) { return field.name == name; });
    if (!value.empty()) fields_.push_back({name, value});
    const uint16_t status = judge().status;
    fields_ = good;
    return status;
  }
  uint16_t status_with_also(std::string_view name, std::string_view value) {
    fields_.push_back({name, value});
    const uint16_t status = judge().status;
    fields_.pop_back();
    return status;
  }

  Method method_ = Method::get;
  int version_minor_ = 1;
  std::vector<Field> fields_{{"Host", "example.org"},
                             {"Upgrade", "websocket"},
                             {"Connection", "Upgrade"},
                             {"Sec-WebSocket-Key", kKey},
                             {"Sec-WebSocket-Version", "13"}};
};

TEST_F(Handshake, Good) {
  const WebSocketHandshake verdict = judge();
  EXPECT_TRUE(verdict.accepted());
  EXPECT_EQ(verdict.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  EXPECT_EQ(verdict.subprotocol, "");
}

TEST_F(Handshake, MethodAndVersionOfHttp) {
  method_ = Method::post;
  EXPECT_EQ(judge().status, 400);
  method_ = Method::get;
  version_minor_ = 0;
  EXPECT_EQ(judge().status, 400);
}

TEST_F(Handshake, TokensInAnyCaseAndPlace) {
  EXPECT_EQ(status_with("Connection", "keep-alive, UPGRADE"), 101);
  EXPECT_EQ(status_with("Connection", "keep-alive"), 426);
  EXPECT_EQ(status_with("Connection", "upgraded"), 426);
  EXPECT_EQ(status_with("Connection", ""), 426);
  EXPECT_EQ(status_with("Upgrade", "WebSocket"), 101);
  EXPECT_EQ(status_with("Upgrade", "h2c , websocket"), 101);
  EXPECT_EQ(status_with("Upgrade", "websocket2"), 426);
  EXPECT_EQ(status_with("Upgrade", ""), 426);
  EXPECT_EQ(status_with_also("Connection", "keep-alive"), 101);
}

TEST_F(Handshake, VersionOfTheProtocol) {
  EXPECT_EQ(status_with("Sec-WebSocket-Version", "8"), 426);
  EXPECT_EQ(status_with("Sec-WebSocket-Version", "13, 8"), 426);
  EXPECT_EQ(status_with("Sec-WebSocket-Version", ""), 426);
  EXPECT_EQ(status_with_also("Sec-WebSocket-Version", "13"), 426);
}

TEST_F(Handshake, Key) {
  for (const char* bad :
       {"", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZQ=", "dGhlIHNhbXBsZSBub25jZQ===",
        "dGhlIHNhbXBsZSBub25jZQAA==", "dGhlIHNhbXBsZSBub25j==", "dGhlIHNhbXBsZSBub25jZ*==",
        "dGhlIHNhbXBsZSBub25jZQA=", "dGhlIHNhbXBsZSBub2-jZQ==", "========================"})
    EXPECT_EQ(status_with("Sec-WebSocket-Key", bad), 400) << bad;
  EXPECT_EQ(status_with("Sec-WebSocket-Key", "AAAAAAAA+/AAAAAAAAAAAA=="), 101);
  EXPECT_EQ(status_with_also("Sec-WebSocket-Key", kKey), 400);
}

TEST_F(Handshake, NoBody) {
  EXPECT_EQ(status_with_also("Content-Length", "5"), 400);
  EXPECT_EQ(status_with_also("Content-Length", "0"), 101);
  EXPECT_EQ(status_with_also("Transfer-Encoding", "chunked"), 400);
}

TEST_F(Handshake, Origin) {
  const std::vector<std::string> allowed{"https://example.org", "https://example.net:8443"};
  const WebSocketRules rules{.allowed_origins = allowed, .subprotocols = {}};
  EXPECT_TRUE(judge(rules).accepted()) << "no browser";
  for (const auto& [origin, status] :
       std::vector<std::pair<std::string_view, int>>{{"https://example.org", 101},
                                                     {"https://EXAMPLE.org", 101},
                                                     {"https://example.net:8443", 101},
                                                     {"https://example.net", 403},
                                                     {"http://example.org", 403},
                                                     {"https://example.org.evil.net", 403},
                                                     {"https://example.or", 403},
                                                     {"null", 403},
                                                     {"", 403}}) {
    fields_.push_back({"Origin", origin});
    EXPECT_EQ(judge(rules).status, status) << origin;
    EXPECT_EQ(judge().status, 101) << origin;
    fields_.pop_back();
  }
  fields_.push_back({"Origin", "https://example.org"});
  fields_.push_back({"Origin", "https://evil.net"});
  EXPECT_EQ(judge(rules).status, 400);
}

TEST_F(Handshake, Subprotocols) {
  const std::vector<std::string> known{"chat.v2", "chat.v1"};
  const WebSocketRules rules{.allowed_origins = {}, .subprotocols = known};
  EXPECT_EQ(judge(rules).subprotocol, "");
  fields_.push_back({"Sec-WebSocket-Protocol", "soap, chat.v1"});
  EXPECT_EQ(judge(rules).subprotocol, "chat.v1");
  EXPECT_EQ(judge().subprotocol, "");
  fields_.push_back({"Sec-WebSocket-Protocol", "chat.v2"});
  EXPECT_EQ(judge(rules).subprotocol, "chat.v2") << "the server's favourite";
  fields_.pop_back();
  EXPECT_EQ(status_with_also("Sec-WebSocket-Protocol", "chat.v1"), 400) << "twice";
  EXPECT_EQ(status_with_also("Sec-WebSocket-Protocol", "a b"), 400);
  EXPECT_EQ(status_with_also("Sec-WebSocket-Protocol", ",,x,"), 101);
}

TEST_F(Handshake, OffersNoMoreSubprotocolsThanTheLimit) {
  std::string offer = "p0";
  for (size_t i = 1; i < kMaxOfferedSubprotocols; ++i) offer += ",p" + std::to_string(i);
  EXPECT_EQ(status_with_also("Sec-WebSocket-Protocol", offer), 101);
  EXPECT_EQ(status_with_also("Sec-WebSocket-Protocol", offer + ",more"), 400);
}

}  // namespace
}  // namespace lastcall::testing
