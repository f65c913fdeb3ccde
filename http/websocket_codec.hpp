#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <lastcall/http/utf8.hpp>

struct wslay_frame_context;
struct wslay_frame_iocb;

namespace lastcall {

/// Status codes of a close frame (RFC 6455 7.4.1) that this server sends or tells of.
namespace websocket_code {
inline constexpr uint16_t kNormal = 1000;
inline constexpr uint16_t kGoingAway = 1001;
inline constexpr uint16_t kProtocolError = 1002;
inline constexpr uint16_t kNone = 1005;      ///< never sent: the peer's close frame had no code
inline constexpr uint16_t kAbnormal = 1006;  ///< never sent: the connection ended without a close frame
inline constexpr uint16_t kInvalidPayload = 1007;
inline constexpr uint16_t kPolicy = 1008;
inline constexpr uint16_t kTooBig = 1009;
inline constexpr uint16_t kInternal = 1011;
}  // namespace websocket_code

inline constexpr size_t kMaxControlBytes = 125;      ///< payload of a control frame (RFC 6455 5.5)
inline constexpr size_t kMaxCloseReasonBytes = 123;  ///< … less the two bytes of the code

/// Whether a close frame may carry it: 1000-1003, 1007-1014 (RFC 6455 7.4 and IANA's registry), 3000-4999.
[[nodiscard]] bool is_close_code(uint16_t code) noexcept;

/// Frames of RFC 6455, a server's side, without I/O: a client's bytes into messages, ours into bytes. wslay
/// reads and writes the frames; what they may be, one after the other, is judged here. Strict: what RFC 6455
/// forbids ends the reading with the code to close with. One thread at a time.
class WebSocketCodec {
 public:
  enum class Opcode : uint8_t { continuation = 0, text = 1, binary = 2, close = 8, ping = 9, pong = 10 };

  /// Something whole that has come.
  struct Event {
    enum class Kind : uint8_t {
      text,    ///< `payload` is a message, UTF-8
      binary,  ///< `payload` is a message
      ping,    ///< to be answered with a pong of the same `payload`
      pong,
      close,   ///< the peer's close, with `code` (kNone when it has none) and the reason as `payload`
      failed,  ///< broke the rules: close with `code`; `payload` says which rule
    };
    Kind kind{};
    uint16_t code = 0;
    std::string payload;
  };

  /// `max_message_bytes`: of a message, all its fragments together; 1009 beyond.
  explicit WebSocketCodec(size_t max_message_bytes);
  ~WebSocketCodec();
  WebSocketCodec(const WebSocketCodec&) = delete;
  WebSocketCodec& operator=(const WebSocketCodec&) = delete;

  /// Bytes that have come; lent until next() has said that it needs more.
  void feed(std::string_view bytes) noexcept { input_ = bytes; }
  /// The next event in what was fed; nullopt when more is needed, and for good after `close` and `failed`.
  [[nodiscard]] std::optional<Event> next();
  /// Close or a failure was seen: nothing more is read.
  [[nodiscard]] bool ended() const noexcept { return ended_; }

  /// Appends one whole frame. A control frame's payload is at most kMaxControlBytes.
  void write(Opcode opcode, std::string_view payload, std::string& out);
  /// Appends a close frame; without a payload for kNone. `reason` is at most kMaxCloseReasonBytes.
  void write_close(uint16_t code, std::string_view reason, std::string& out);

  [[nodiscard]] size_t held() const noexcept { return message_.capacity(); }  ///< bytes, for tests

 private:
  struct Judgement;

  [[nodiscard]] static Judgement judge_header(const wslay_frame_iocb& frame, bool inside);
  [[nodiscard]] Judgement begin_frame(const wslay_frame_iocb& frame);
  [[nodiscard]] Judgement take(std::string_view bytes);
  [[nodiscard]] Event end_control();
  [[nodiscard]] Event end_message();
  [[nodiscard]] Event read_close();
  [[nodiscard]] Event fail(uint16_t code, std::string_view what);

  std::unique_ptr<wslay_frame_context, void (*)(wslay_frame_context*)> context_;
  std::string_view input_;
  std::string* output_ = nullptr;  // while write() runs
  size_t max_message_bytes_;
  std::string message_;      // the fragments of a message so far
  std::string control_;      // payload of a control frame so far
  uint64_t frame_left_ = 0;  // bytes of the frame at hand that have not come
  Utf8Check utf8_;           // of the message
  Opcode frame_{};           // at hand
  Opcode message_opcode_{};  // of its first fragment
  bool in_frame_ = false;
  bool in_message_ = false;  // a fragment came that is not the last
  bool final_ = false;       // the frame at hand is
  bool ended_ = false;
};

}  // namespace lastcall
