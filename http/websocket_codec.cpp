#include <wslay/wslay.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include <lastcall/core/check.hpp>
#include <lastcall/http/websocket_codec.hpp>

// Frames by wslay's frame layer: header, lengths (shortest form, top bit clear), masking, control frames
// whole and short. Not by its event layer (1.1.1), which allocates what a header merely announces, lets a
// close payload of one byte through, skips two bytes of each received piece of a close frame in the search
// for UTF-8, refuses the codes 1012 to 1014, and answers a broken frame with a close that has no code.
namespace lastcall {
namespace {

using Event = WebSocketCodec::Event;
using Opcode = WebSocketCodec::Opcode;

constexpr size_t kFirstMessageBytes =
    4096;  // reserved at most when a frame is announced; it grows as bytes come

bool is_control(Opcode opcode) noexcept {
  return opcode >= Opcode::close;
}

bool is_known(uint8_t opcode) noexcept {
  return opcode <= 2 || (opcode >= 8 && opcode <= 10);
}

std::string_view payload_of(const wslay_frame_iocb& frame) noexcept {
  return {reinterpret_cast<const char*>(frame.data), frame.data_length};
}

}  // namespace

bool is_close_code(uint16_t code) noexcept {
  if (code >= 3000) return code <= 4999;
  return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014);
}

/// Code to fail with, 0 for none, and the rule.
struct WebSocketCodec::Judgement {
  uint16_t code = 0;
  const char* rule = "";
  explicit operator bool() const noexcept { return code != 0; }
};

WebSocketCodec::WebSocketCodec(size_t max_message_bytes)
    : context_(nullptr, &wslay_frame_context_free), max_message_bytes_(max_message_bytes) {
  wslay_frame_callbacks callbacks{};
  callbacks.recv_callback = [](uint8_t* to, size_t size, int, void* self) -> ssize_t {
    std::string_view& input = static_cast<WebSocketCodec*>(self)->input_;
    const size_t taken = std::min(size, input.size());
    if (taken == 0) return -1;
    std::memcpy(to, input.data(), taken);
    input.remove_prefix(taken);
    return static_cast<ssize_t>(taken);
  };
  callbacks.send_callback = [](const uint8_t* data, size_t size, int, void* self) -> ssize_t {
    static_cast<WebSocketCodec*>(self)->output_->append(reinterpret_cast<const char*>(data), size);
    return static_cast<ssize_t>(size);
  };
  wslay_frame_context* context = nullptr;
  if (wslay_frame_context_init(&context, &callbacks, this) != 0) throw std::bad_alloc();
  context_.reset(context);
}

WebSocketCodec::~WebSocketCodec() = default;

std::optional<Event> WebSocketCodec::next() {
  while (!ended_) {
    wslay_frame_iocb frame{};
    const ssize_t got = wslay_frame_recv(context_.get(), &frame);
    if (got == WSLAY_ERR_WANT_READ) return std::nullopt;
    if (got < 0) return fail(websocket_code::kProtocolError, "a length or a control frame is malformed");
    if (!in_frame_) {
      if (const Judgement judgement = begin_frame(frame)) return fail(judgement.code, judgement.rule);
    }
    if (const Judgement judgement = take(payload_of(frame))) return fail(judgement.code, judgement.rule);
    if (frame_left_ != 0) continue;
    in_frame_ = false;
    if (is_control(frame_)) return end_control();
    if (final_) return end_message();
  }
  return std::nullopt;
}

/// RFC 6455 5.1, 5.2, 5.4, less what wslay has refused. `inside`: between the fragments of a message.
WebSocketCodec::Judgement WebSocketCodec::judge_header(const wslay_frame_iocb& frame, bool inside) {
  using namespace websocket_code;
  if (frame.rsv != 0) return {kProtocolError, "a reserved bit is set"};
  if (!is_known(frame.opcode)) return {kProtocolError, "the opcode is reserved"};
  if (frame.mask == 0) return {kProtocolError, "the frame is not masked"};
  const auto opcode = static_cast<Opcode>(frame.opcode);
  if (!is_control(opcode) && inside != (opcode == Opcode::continuation))
    return {kProtocolError, inside ? "a message begins inside another" : "nothing is there to be continued"};
  return {};
}

WebSocketCodec::Judgement WebSocketCodec::begin_frame(const wslay_frame_iocb& frame) {
  if (const Judgement judgement = judge_header(frame, in_message_)) return judgement;
  in_frame_ = true;
  frame_ = static_cast<Opcode>(frame.opcode);
  frame_left_ = frame.payload_length;
  if (is_control(frame_)) return {};
  final_ = frame.fin != 0;
  if (frame_ != Opcode::continuation) message_opcode_ = frame_;
  in_message_ = true;
  if (frame_left_ > max_message_bytes_ - message_.size())
    return {websocket_code::kTooBig, "the message is too large"};
  if (message_.empty()) message_.reserve(std::min<size_t>(frame_left_, kFirstMessageBytes));
  return {};
}

WebSocketCodec::Judgement WebSocketCodec::take(std::string_view bytes) {
  frame_left_ -= bytes.size();
  if (is_control(frame_)) {
    control_.append(bytes);
    return {};
  }
  message_.append(bytes);
  if (message_opcode_ != Opcode::text) return {};
  // As early as it shows, not when the message is whole: who sends it may send much more.
  if (!utf8_.feed(bytes)) return {websocket_code::kInvalidPayload, "the text is not UTF-8"};
  if (final_ && frame_left_ == 0 && !utf8_.complete())
    return {websocket_code::kInvalidPayload, "the text ends inside a character"};
  return {};
}

Event WebSocketCodec::end_message() {
  in_message_ = false;
  const bool text = message_opcode_ == Opcode::text;
  return {.kind = text ? Event::Kind::text : Event::Kind::binary, .payload = std::exchange(message_, {})};
}

Event WebSocketCodec::end_control() {
  if (frame_ == Opcode::close) return read_close();
  const auto kind = frame_ == Opcode::ping ? Event::Kind::ping : Event::Kind::pong;
  return {.kind = kind, .payload = std::exchange(control_, {})};
}

/// RFC 6455 5.5.1.
Event WebSocketCodec::read_close() {
  ended_ = true;
  const std::string payload = std::exchange(control_, {});
  if (payload.empty()) return {.kind = Event::Kind::close, .code = websocket_code::kNone, .payload = {}};
  if (payload.size() == 1) return fail(websocket_code::kProtocolError, "a close code is two bytes long");
  const auto code =
      static_cast<uint16_t>(static_cast<uint8_t>(payload[0]) << 8 | static_cast<uint8_t>(payload[1]));
  if (!is_close_code(code)) return fail(websocket_code::kProtocolError, "a close code that nobody may send");
  if (!is_utf8(std::string_view(payload).substr(2)))
    return fail(websocket_code::kInvalidPayload, "the reason of a close is not UTF-8");
  return {.kind = Event::Kind::close, .code = code, .payload = payload.substr(2)};
}

Event WebSocketCodec::fail(uint16_t code, std::string_view what) {
  ended_ = true;
  input_ = {};
  std::string().swap(message_);  // nobody will see it; an assignment would keep its memory
  std::string().swap(control_);
  return {.kind = Event::Kind::failed, .code = code, .payload = std::string(what)};
}

void WebSocketCodec::write(Opcode opcode, std::string_view payload, std::string& out) {
  LASTCALL_CHECK(!is_control(opcode) || payload.size() <= kMaxControlBytes);
  wslay_frame_iocb frame{};
  frame.fin = 1;
  frame.opcode = static_cast<uint8_t>(opcode);
  frame.payload_length = payload.size();
  frame.data = reinterpret_cast<const uint8_t*>(payload.data());
  frame.data_length = payload.size();
  output_ = &out;
  const ssize_t sent = wslay_frame_send(context_.get(), &frame);
  LASTCALL_CHECK(sent == static_cast<ssize_t>(payload.size()));  // the callback takes all
  output_ = nullptr;
}

void WebSocketCodec::write_close(uint16_t code, std::string_view reason, std::string& out) {
  LASTCALL_CHECK(reason.size() <= kMaxCloseReasonBytes);
  std::string payload;
  if (code != websocket_code::kNone) {
    payload = {static_cast<char>(code >> 8), static_cast<char>(code & 0xff)};
    payload += reason;
  }
  write(Opcode::close, payload, out);
}

}  // namespace lastcall
