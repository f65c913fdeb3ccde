#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lastcall::test {

/// Opcodes of RFC 6455 5.2.
inline constexpr uint8_t kContinuation = 0, kText = 1, kBinary = 2, kClose = 8, kPing = 9, kPong = 10;

/// How a client's frame differs from a proper one.
struct FrameForm {
  bool final = true;
  uint8_t reserved = 0;  ///< RSV1 is 4, RSV2 2, RSV3 1
  bool masked = true;
  int length_bytes = 0;                 ///< 1, 2 or 8; 0: the shortest
  std::optional<uint64_t> announced{};  ///< in place of the payload's size
};

/// A client's frame, written by hand: shares nothing with what it tests.
[[nodiscard]] std::string client_frame(uint8_t opcode, std::string_view payload, const FrameForm& form = {});
/// Its close frame.
[[nodiscard]] std::string client_close(uint16_t code, std::string_view reason = "");

/// A frame of the server's.
struct ServerFrame {
  uint8_t opcode = 0;
  bool final = false;
  std::string payload;

  /// Of a close frame; 1005 when it has none.
  [[nodiscard]] uint16_t close_code() const;
  friend bool operator==(const ServerFrame&, const ServerFrame&) = default;
};

/// Takes the first whole frame off `bytes`; nullopt while there is none. Fails the test (LASTCALL_CHECK) for
/// a frame that no server may send: masked, reserved bits, a length that is not the shortest.
[[nodiscard]] std::optional<ServerFrame> take_frame(std::string& bytes);
/// All of them; what is left of `bytes` is a part of one.
[[nodiscard]] std::vector<ServerFrame> take_frames(std::string& bytes);

/// The request that opens a WebSocket, with the key of RFC 6455 1.3; `fields` end in CRLF each.
[[nodiscard]] std::string handshake_request(std::string_view target, std::string_view fields = "");
inline constexpr std::string_view kSampleKey = "dGhlIHNhbXBsZSBub25jZQ==";
inline constexpr std::string_view kSampleAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

}  // namespace lastcall::test
