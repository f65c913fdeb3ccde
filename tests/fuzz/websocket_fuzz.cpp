// A client's frames, whole and as the fuzzer cuts them. Both must tell the same story, hold no more than the
// limit, and what the codec takes for text must be UTF-8.

#include <string>

#include <lastcall/core/check.hpp>
#include <lastcall/http/utf8.hpp>
#include <lastcall/http/websocket_codec.hpp>

#include "tests/fuzz/split.hpp"
#include "tests/support/websocket_frames.hpp"

namespace {

using namespace lastcall;
using Event = WebSocketCodec::Event;

constexpr size_t kGrowth = 2;       // a string's, past what it holds
constexpr size_t kReserved = 4096;  // at the announcement of a message

void check(const Event& event, size_t limit) {
  LASTCALL_CHECK(event.payload.size() <= std::max<size_t>(limit, kMaxControlBytes));
  switch (event.kind) {
    case Event::Kind::text: LASTCALL_CHECK(is_utf8(event.payload)); break;
    case Event::Kind::close:
      LASTCALL_CHECK(event.code == websocket_code::kNone || is_close_code(event.code));
      LASTCALL_CHECK(is_utf8(event.payload) && event.payload.size() <= kMaxCloseReasonBytes);
      break;
    case Event::Kind::failed: LASTCALL_CHECK(is_close_code(event.code)); break;
    default: break;
  }
}

/// What the server would answer, read back.
void answer(WebSocketCodec& codec, const Event& event) {
  std::string out;
  if (event.kind == Event::Kind::ping) codec.write(WebSocketCodec::Opcode::pong, event.payload, out);
  if (event.kind == Event::Kind::text) codec.write(WebSocketCodec::Opcode::text, event.payload, out);
  if (event.kind == Event::Kind::close) codec.write_close(event.code, event.payload, out);
  if (out.empty()) return;
  const auto frame = test::take_frame(out);
  LASTCALL_CHECK(frame && frame->final && out.empty());
  LASTCALL_CHECK(event.kind == Event::Kind::close || frame->payload == event.payload);
}

std::string story_of(std::string_view wire, size_t limit, fuzz::Cuts cuts) {
  std::string story;
  WebSocketCodec codec(limit);
  while (!wire.empty()) {
    const size_t size = cuts.next(wire.size());
    const fuzz::ExactBytes bytes(wire.substr(0, size));
    wire.remove_prefix(size);
    codec.feed(bytes.view());
    while (const auto event = codec.next()) {
      check(*event, event->kind == Event::Kind::failed ? kReserved : limit);
      answer(codec, *event);
      story += static_cast<char>('0' + static_cast<int>(event->kind));
      story += std::to_string(event->code) + event->payload + "\n";
    }
    LASTCALL_CHECK(codec.held() <= std::max(kReserved, kGrowth * limit));
  }
  story += codec.ended() ? "ended" : "open";
  return story;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const fuzz::Input input(data, size);
  const size_t limit = (input.options & 1) != 0 ? 8 : 64 * 1024;
  const std::string whole = story_of(input.wire, limit, fuzz::Cuts(std::string_view("\0", 1)));
  LASTCALL_CHECK(whole == story_of(input.wire, limit, fuzz::Cuts(input.plan)));
  return 0;
}
