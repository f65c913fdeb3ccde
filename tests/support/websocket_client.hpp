#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "tests/support/raw_client.hpp"
#include "tests/support/websocket_frames.hpp"

namespace lastcall::test {

/// The client's end of a WebSocket over a real connection: blocking, with RawClient's patience.
class WebSocketClient {
 public:
  /// Connects and opens. Check opened().
  WebSocketClient(const std::string& address, std::string_view target, std::string_view fields = "",
                  ClientOptions options = {});

  /// The server took the handshake, with the right Sec-WebSocket-Accept.
  [[nodiscard]] bool opened() const noexcept { return opened_; }
  [[nodiscard]] const HttpAnswer& answer() const noexcept { return answer_; }
  [[nodiscard]] RawClient& raw() noexcept { return client_; }

  bool send_text(std::string_view data) { return client_.send(client_frame(kText, data)); }
  bool send_binary(std::string_view data) { return client_.send(client_frame(kBinary, data)); }
  bool send_close(uint16_t code) { return client_.send(client_close(code)); }
  /// The next frame; nullopt at the end of the stream.
  [[nodiscard]] std::optional<ServerFrame> receive();
  /// Answers a close frame that has come, and reads to the server's end.
  [[nodiscard]] StreamEnd finish(uint16_t code);

 private:
  RawClient client_;
  HttpAnswer answer_;
  std::string pending_;
  bool opened_ = false;
};

}  // namespace lastcall::test
