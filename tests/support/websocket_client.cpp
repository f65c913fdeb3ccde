#include "tests/support/websocket_client.hpp"

namespace lastcall::test {
namespace {
constexpr size_t kReadBytes = 64 * 1024;
}

WebSocketClient::WebSocketClient(const std::string& address, std::string_view target, std::string_view fields,
                                 ClientOptions options)
    : client_(address, options) {
  if (!client_.connected() || !client_.send(handshake_request(target, fields))) return;
  answer_ = client_.read_answer();
  opened_ = answer_.status == 101 && answer_.header("Sec-WebSocket-Accept") == kSampleAccept;
}

std::optional<ServerFrame> WebSocketClient::receive() {
  for (;;) {
    if (auto frame = take_frame(pending_)) return frame;
    const std::string more = client_.read_some(kReadBytes);
    if (more.empty()) return std::nullopt;
    pending_ += more;
  }
}

StreamEnd WebSocketClient::finish(uint16_t code) {
  send_close(code);
  return client_.read_end();
}

}  // namespace lastcall::test
