#include "tests/support/websocket_frames.hpp"

#include <lastcall/core/check.hpp>

namespace lastcall::test {
namespace {

constexpr uint8_t kMask[4] = {0x37, 0xfa, 0x21, 0x3d};  // RFC 6455 5.7

void append_number(std::string& out, uint64_t number, int bytes) {
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8)
    out.push_back(static_cast<char>(number >> shift & 0xff));
}

uint64_t read_number(std::string_view bytes) {
  uint64_t number = 0;
  for (const char byte : bytes) number = number << 8 | static_cast<uint8_t>(byte);
  return number;
}

}  // namespace

std::string client_frame(uint8_t opcode, std::string_view payload, const FrameForm& form) {
  const uint64_t size = form.announced.value_or(payload.size());
  const int length_bytes = form.length_bytes != 0 ? form.length_bytes : size < 126 ? 1 : size < 65536 ? 2 : 8;
  std::string out;
  out.push_back(static_cast<char>((form.final ? 0x80 : 0) | form.reserved << 4 | opcode));
  const uint64_t first = length_bytes == 1 ? size : length_bytes == 2 ? 126 : 127;
  out.push_back(static_cast<char>((form.masked ? 0x80u : 0u) | first));
  if (length_bytes > 1) append_number(out, size, length_bytes);
  if (!form.masked) return out.append(payload);
  for (const uint8_t byte : kMask) out.push_back(static_cast<char>(byte));
  for (size_t i = 0; i < payload.size(); ++i)
    out.push_back(static_cast<char>(static_cast<uint8_t>(payload[i]) ^ kMask[i % 4]));
  return out;
}

std::string client_close(uint16_t code, std::string_view reason) {
  std::string payload;
  append_number(payload, code, 2);
  payload += reason;
  return client_frame(kClose, payload);
}

uint16_t ServerFrame::close_code() const {
  return payload.empty() ? uint16_t{1005} : static_cast<uint16_t>(read_number(payload.substr(0, 2)));
}

std::optional<ServerFrame> take_frame(std::string& bytes) {
  if (bytes.size() < 2) return std::nullopt;
  const auto first = static_cast<uint8_t>(bytes[0]), second = static_cast<uint8_t>(bytes[1]);
  LASTCALL_CHECK((first & 0x70) == 0 && (second & 0x80) == 0);
  uint64_t size = second;
  const size_t extra = second == 126 ? 2 : second == 127 ? 8 : 0;
  if (bytes.size() < 2 + extra) return std::nullopt;
  if (extra != 0) {
    size = read_number(std::string_view(bytes).substr(2, extra));
    LASTCALL_CHECK(size >= (extra == 2 ? 126u : 65536u));
  }
  if (bytes.size() - 2 - extra < size) return std::nullopt;
  ServerFrame frame{.opcode = static_cast<uint8_t>(first & 0xf),
                    .final = (first & 0x80) != 0,
                    .payload = bytes.substr(2 + extra, size)};
  bytes.erase(0, 2 + extra + size);
  return frame;
}

std::vector<ServerFrame> take_frames(std::string& bytes) {
  std::vector<ServerFrame> frames;
  while (auto frame = take_frame(bytes)) frames.push_back(std::move(*frame));
  return frames;
}

std::string handshake_request(std::string_view target, std::string_view fields) {
  std::string request = "GET ";
  request.append(target).append(" HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n");
  request.append("Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ").append(kSampleKey).append("\r\n");
  return request.append(fields).append("\r\n");
}

}  // namespace lastcall::test
