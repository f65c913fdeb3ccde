// What Autobahn's test suite asks of a server, as bytes: each case whole, byte by byte, and torn at every
// place. The story must be the same.

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <lastcall/http/utf8.hpp>
#include <lastcall/http/websocket_codec.hpp>

#include "tests/http/framing_support.hpp"
#include "tests/support/websocket_frames.hpp"

namespace lastcall::testing {
namespace {

using namespace lastcall::test;
using namespace std::string_literals;
using Event = WebSocketCodec::Event;
using Story = std::vector<std::string>;

constexpr size_t kLimit = 1000;  // of a message in these tests

std::string told(const Event& event) {
  switch (event.kind) {
    case Event::Kind::text: return "text " + event.payload;
    case Event::Kind::binary: return "binary " + event.payload;
    case Event::Kind::ping: return "ping " + event.payload;
    case Event::Kind::pong: return "pong " + event.payload;
    case Event::Kind::close: return "close " + std::to_string(event.code) + " " + event.payload;
    case Event::Kind::failed: return "failed " + std::to_string(event.code);
  }
  return "?";
}

void read(WebSocketCodec& codec, std::string_view bytes, Story& story) {
  const ExactBytes lent(bytes);
  codec.feed(lent.view());
  while (auto event = codec.next()) story.push_back(told(*event));
}

Story read_whole(std::string_view wire) {
  WebSocketCodec codec(kLimit);
  Story story;
  read(codec, wire, story);
  return story;
}

void expect_story(const std::string& name, std::string_view wire, const Story& expected) {
  SCOPED_TRACE(name);
  EXPECT_EQ(read_whole(wire), expected);
  WebSocketCodec bytewise(kLimit);
  Story story;
  for (size_t at = 0; at < wire.size(); ++at) read(bytewise, wire.substr(at, 1), story);
  EXPECT_EQ(story, expected) << "byte by byte";
  for (size_t at = 1; at < wire.size(); ++at) {
    WebSocketCodec torn(kLimit);
    story.clear();
    read(torn, wire.substr(0, at), story);
    read(torn, wire.substr(at), story);
    ASSERT_EQ(story, expected) << "torn at " << at;
  }
}

struct Case {
  std::string name;
  std::string wire;
  Story expected;
};

void expect_stories(const std::vector<Case>& cases) {
  for (const Case& one : cases) expect_story(one.name, one.wire, one.expected);
}

std::string part(uint8_t opcode, std::string_view payload) {
  return client_frame(opcode, payload, {.final = false});
}

TEST(WebSocketCodec, Messages) {
  const std::string long_text(126, 'x'), all(kLimit, 'y');
  std::string bytes;
  for (int byte = 0; byte < 256; ++byte) bytes.push_back(static_cast<char>(byte));
  expect_stories({
      {"empty text", client_frame(kText, ""), {"text "}},
      {"text", client_frame(kText, "Hello"), {"text Hello"}},
      {"125 bytes", client_frame(kText, long_text.substr(1)), {"text " + long_text.substr(1)}},
      {"126 bytes", client_frame(kText, long_text), {"text " + long_text}},
      {"binary of every byte", client_frame(kBinary, bytes), {"binary " + bytes}},
      {"as large as may be", client_frame(kBinary, all), {"binary " + all}},
      {"two", client_frame(kText, "a") + client_frame(kBinary, "b"), {"text a", "binary b"}},
      {"text of four lengths of characters",
       client_frame(kText, "$\u00a3\u20ac\U00024b62"),
       {"text $\u00a3\u20ac\U00024b62"}},
  });
}

TEST(WebSocketCodec, LargeMessagesComeInManyPieces) {
  const std::string large(70'000, 'z');
  WebSocketCodec codec(large.size());
  Story story;
  const std::string wire = client_frame(kBinary, large) + client_frame(kText, "next");
  for (size_t at = 0; at < wire.size(); at += 999) read(codec, std::string_view(wire).substr(at, 999), story);
  EXPECT_EQ(story, (Story{"binary " + large, "text next"}));
}

TEST(WebSocketCodec, Fragmentation) {
  expect_stories({
      {"two fragments", part(kText, "Hel") + client_frame(kContinuation, "lo"), {"text Hello"}},
      {"binary", part(kBinary, "\xff") + client_frame(kContinuation, "\xfe"), {"binary \xff\xfe"}},
      {"empty ones", part(kText, "") + part(kContinuation, "") + client_frame(kContinuation, ""), {"text "}},
      {"empty end", part(kText, "a") + client_frame(kContinuation, ""), {"text a"}},
      {"control between",
       part(kText, "a") + client_frame(kPing, "p") + part(kContinuation, "b") + client_frame(kPong, "q") +
           client_frame(kContinuation, "c"),
       {"ping p", "pong q", "text abc"}},
      {"close between",
       part(kText, "a") + client_close(1000) + client_frame(kContinuation, "b"),
       {"close 1000 "}},
      {"continues nothing", client_frame(kContinuation, "a"), {"failed 1002"}},
      {"continues nothing, not the last", part(kContinuation, "a"), {"failed 1002"}},
      {"continues what is whole",
       client_frame(kText, "a") + client_frame(kContinuation, "b"),
       {"text a", "failed 1002"}},
      {"text inside text", part(kText, "a") + client_frame(kText, "b"), {"failed 1002"}},
      {"binary inside text", part(kText, "a") + client_frame(kBinary, "b"), {"failed 1002"}},
      {"text behind an empty fragment", part(kText, "") + client_frame(kText, "b"), {"failed 1002"}},
  });
}

TEST(WebSocketCodec, Control) {
  const std::string most(125, 'p');
  expect_stories({
      {"ping", client_frame(kPing, ""), {"ping "}},
      {"ping of bytes", client_frame(kPing, "\x00\xff\xfe"s), {"ping \x00\xff\xfe"s}},
      {"ping of 125", client_frame(kPing, most), {"ping " + most}},
      {"ping of 126", client_frame(kPing, most + "p"), {"failed 1002"}},
      {"ping of 126 announced", client_frame(kPing, most, {.announced = 126}), {"failed 1002"}},
      {"ping with a long length", client_frame(kPing, "p", {.length_bytes = 2}), {"failed 1002"}},
      {"pong unasked", client_frame(kPong, "x"), {"pong x"}},
      {"ping fragmented", part(kPing, "a"), {"failed 1002"}},
      {"pong fragmented", part(kPong, "a"), {"failed 1002"}},
      {"close fragmented", part(kClose, ""), {"failed 1002"}},
      {"ten pings",
       [] {
         std::string wire;
         for (int i = 0; i < 10; ++i) wire += client_frame(kPing, "p");
         return wire;
       }(),
       Story(10, "ping p")},
  });
}

TEST(WebSocketCodec, Headers) {
  std::vector<Case> cases{
      {"unmasked", client_frame(kText, "a", {.masked = false}), {"failed 1002"}},
      {"unmasked, empty", client_frame(kText, "", {.masked = false}), {"failed 1002"}},
      {"unmasked ping", client_frame(kPing, "", {.masked = false}), {"failed 1002"}},
      {"unmasked behind a message",
       client_frame(kText, "a") + client_frame(kText, "b", {.masked = false}),
       {"text a", "failed 1002"}},
      {"length on two bytes, not needed", client_frame(kText, "a", {.length_bytes = 2}), {"failed 1002"}},
      {"… 125", client_frame(kText, std::string(125, 'x'), {.length_bytes = 2}), {"failed 1002"}},
      {"length on eight bytes, not needed", client_frame(kText, "a", {.length_bytes = 8}), {"failed 1002"}},
      {"… 65535", client_frame(kText, "a", {.length_bytes = 8, .announced = 65535}), {"failed 1002"}},
      {"top bit of the length", client_frame(kText, "a", {.announced = uint64_t{1} << 63}), {"failed 1002"}},
      {"all bits of the length", client_frame(kText, "a", {.announced = ~uint64_t{0}}), {"failed 1002"}},
  };
  for (uint8_t reserved = 1; reserved < 8; ++reserved) {
    const std::string name = "reserved bits " + std::to_string(reserved);
    cases.push_back({name, client_frame(kText, "a", {.reserved = reserved}), {"failed 1002"}});
    cases.push_back({name + " of a ping", client_frame(kPing, "", {.reserved = reserved}), {"failed 1002"}});
    cases.push_back({name + " of a continuation",
                     part(kText, "a") + client_frame(kContinuation, "b", {.reserved = reserved}),
                     {"failed 1002"}});
  }
  for (const uint8_t opcode : std::initializer_list<uint8_t>{3, 4, 5, 6, 7, 11, 12, 13, 14, 15}) {
    const std::string name = "opcode " + std::to_string(opcode);
    cases.push_back({name, client_frame(opcode, "a"), {"failed 1002"}});
    cases.push_back({name + ", empty", client_frame(opcode, ""), {"failed 1002"}});
    cases.push_back(
        {name + " between fragments", part(kText, "a") + client_frame(opcode, ""), {"failed 1002"}});
  }
  expect_stories(cases);
}

TEST(WebSocketCodec, Utf8) {
  std::vector<Case> cases{
      {"a character over two fragments",
       part(kText, "\xce") + client_frame(kContinuation, "\xba"),
       {"text \u03ba"}},
      {"… of four bytes over five",
       part(kText, "\xf0") + part(kContinuation, "\x9f") + part(kContinuation, "") +
           part(kContinuation, "\x98") + client_frame(kContinuation, "\x80"),
       {"text \U0001f600"}},
      {"a ping inside a character",
       part(kText, "\xce") + client_frame(kPing, "\xff") + client_frame(kContinuation, "\xba"),
       {"ping \xff", "text \u03ba"}},
      {"ends inside a character", client_frame(kText, "a\xce"), {"failed 1007"}},
      {"ends inside a character, last fragment empty",
       part(kText, "\xce") + client_frame(kContinuation, ""),
       {"failed 1007"}},
      {"the next message begins anew",
       client_frame(kText, "\u00e9") + client_frame(kText, "\xa9"),
       {"text \u00e9", "failed 1007"}},
      {"binary may be anything", client_frame(kBinary, "\xff\xc0"), {"binary \xff\xc0"}},
      // As soon as it shows: nothing is waited for behind it.
      {"at the first bad byte", client_frame(kText, "abc\xff", {.announced = 900}), {"failed 1007"}},
      {"in the first fragment", part(kText, "\xed\xa0"), {"failed 1007"}},
      {"behind a ping",
       part(kText, "\xf4") + client_frame(kPing, "") + part(kContinuation, "\x90"),
       {"ping ", "failed 1007"}},
  };
  for (const char* good : {"\x7f", "\u0080", "\u07ff", "\u0800", "\uffff", "\ud7ff", "\ue000", "\U00010000",
                           "\U0010ffff", "\ufffe", "\ufdd0"})
    cases.push_back({"good", client_frame(kText, good), {"text "s + good}});
  for (const char* bad : {"\x80",
                          "\xbf",
                          "\xc0\x80",
                          "\xc1\xbf",
                          "\xe0\x80\x80",
                          "\xe0\x9f\xbf",
                          "\xed\xa0\x80",
                          "\xed\xbf\xbf",
                          "\xf0\x80\x80\x80",
                          "\xf0\x8f\xbf\xbf",
                          "\xf4\x90\x80\x80",
                          "\xf5\x80\x80\x80",
                          "\xf8\x88\x80\x80\x80",
                          "\xfe",
                          "\xff",
                          "\xe2\x28\xa1",
                          "\xe2\x82\x28",
                          "\xf0\x28\x8c\xbc",
                          "\xce\xce",
                          "12345678\xff",
                          "1234567\x80",
                          "\xed\xa0\x80\xed\xb0\x80"})
    cases.push_back({"bad", client_frame(kText, bad), {"failed 1007"}});
  expect_stories(cases);
}

TEST(WebSocketCodec, Close) {
  const std::string reason(123, 'r');
  std::vector<Case> cases{
      {"without a code", client_frame(kClose, ""), {"close 1005 "}},
      {"one byte", client_frame(kClose, "\x03"), {"failed 1002"}},
      {"one byte that a code could begin with", client_frame(kClose, "\x0f"), {"failed 1002"}},
      {"with a reason", client_close(1000, "bye \u20ac"), {"close 1000 bye \u20ac"}},
      {"the longest reason", client_close(1000, reason), {"close 1000 " + reason}},
      {"a reason too long", client_close(1000, reason + "r"), {"failed 1002"}},
      {"a reason that is not UTF-8",
       client_close(1000, "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80"),
       {"failed 1007"}},
      {"a reason that ends inside a character", client_close(1000, "\xce"), {"failed 1007"}},
      {"what follows is not read", client_close(1000) + client_frame(kText, "\xff"), {"close 1000 "}},
      {"a second one", client_close(1000) + client_close(1001), {"close 1000 "}},
      {"behind a failure nothing is read", client_frame(3, "") + client_frame(kText, "a"), {"failed 1002"}},
  };
  for (const uint16_t code : std::initializer_list<uint16_t>{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010,
                                                             1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999})
    cases.push_back({"code", client_close(code), {"close " + std::to_string(code) + " "}});
  for (const uint16_t code : std::initializer_list<uint16_t>{0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100,
                                                             2000, 2999, 5000, 65535})
    cases.push_back({"code " + std::to_string(code), client_close(code), {"failed 1002"}});
  expect_stories(cases);
}

TEST(WebSocketCodec, Limits) {
  const std::string most(kLimit, 'x');
  const std::string half(kLimit / 2, 'x');
  expect_stories({
      {"one byte more", client_frame(kBinary, most + "x"), {"failed 1009"}},
      {"at its announcement", client_frame(kBinary, "x", {.announced = kLimit + 1}), {"failed 1009"}},
      {"the largest there is", client_frame(kBinary, "x", {.announced = ~uint64_t{0} >> 1}), {"failed 1009"}},
      {"fragments, at the limit", part(kText, half) + client_frame(kContinuation, half), {"text " + most}},
      {"fragments, one more",
       part(kText, half) + part(kContinuation, half) + client_frame(kContinuation, "x"),
       {"failed 1009"}},
      {"each message for itself",
       client_frame(kText, most) + client_frame(kText, most),
       {"text " + most, "text " + most}},
      {"control frames do not count",
       part(kText, most) + client_frame(kPing, "p") + client_frame(kContinuation, ""),
       {"ping p", "text " + most}},
  });
}

TEST(WebSocketCodec, AnnouncedIsNotAllocated) {
  constexpr size_t kLarge = size_t{1} << 40;
  WebSocketCodec codec(kLarge);
  Story story;
  read(codec, client_frame(kBinary, std::string(100, 'x'), {.announced = kLarge}), story);
  EXPECT_TRUE(story.empty());
  EXPECT_LE(codec.held(), 4096u);
}

TEST(WebSocketCodec, MemoryGoesWithTheMessage) {
  WebSocketCodec codec(100'000);
  Story story;
  read(codec, client_frame(kBinary, std::string(100'000, 'x')), story);
  EXPECT_LT(codec.held(), 100u);
  story.clear();
  read(codec, part(kText, std::string(50'000, 'x')) + client_frame(3, ""), story);
  EXPECT_EQ(story, Story{"failed 1002"});
  EXPECT_LT(codec.held(), 100u);
}

TEST(WebSocketCodec, Writes) {
  WebSocketCodec codec(kLimit);
  for (const size_t size : {0u, 1u, 125u, 126u, 65'535u, 65'536u, 200'000u}) {
    std::string out = "before";
    const std::string payload(size, 'p');
    codec.write(WebSocketCodec::Opcode::binary, payload, out);
    out.erase(0, 6);
    const auto frame = take_frame(out);
    ASSERT_TRUE(frame) << size;
    EXPECT_TRUE(*frame == (ServerFrame{.opcode = kBinary, .final = true, .payload = payload})) << size;
    EXPECT_TRUE(out.empty());
  }
  std::string out;
  codec.write(WebSocketCodec::Opcode::text, "Hello", out);
  EXPECT_EQ(out, "\x81\x05Hello") << "RFC 6455 5.7";
  out.clear();
  codec.write_close(1001, "bye", out);
  EXPECT_EQ(out,
            "\x88\x05\x03\xe9"
            "bye");
  out.clear();
  codec.write_close(websocket_code::kNone, "", out);
  EXPECT_EQ(out, "\x88\x00"s);
}

TEST(WebSocketCodec, WritesWhileItReads) {
  WebSocketCodec codec(kLimit);
  const std::string wire = client_frame(kText, "Hello");
  Story story;
  read(codec, wire.substr(0, 7), story);
  std::string out;
  codec.write(WebSocketCodec::Opcode::pong, "p", out);
  EXPECT_EQ(out, "\x8a\x01p");
  read(codec, wire.substr(7), story);
  EXPECT_EQ(story, Story{"text Hello"});
}

TEST(Utf8Check, SaysWhatTheTableOfTheRfcSaysOfEachPairOfBytes) {
  for (int first = 0; first < 256; ++first) {
    for (int second = 0; second < 256; ++second) {
      const char bytes[] = {static_cast<char>(first), static_cast<char>(second)};
      Utf8Check check;
      const bool ascii = first < 0x80 && second < 0x80;
      const bool starts = first < 0x80 && second >= 0xc2 && second <= 0xf4;
      const int low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
      const int high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
      const bool goes_on = first >= 0xc2 && first <= 0xf4 && second >= low && second <= high;
      ASSERT_EQ(check.feed({bytes, 2}), ascii || starts || goes_on) << first << " " << second;
      if (ascii || goes_on) {
        ASSERT_EQ(check.complete(), ascii || first < 0xe0) << first << " " << second;
      }
    }
  }
}

}  // namespace
}  // namespace lastcall::testing
