#include <stdexcept>
#include <utility>

#include <lastcall/http/utf8.hpp>
#include <lastcall/http/websocket.hpp>
#include <lastcall/http/websocket_connection.hpp>
#include <lastcall/http/websocket_handshake.hpp>

namespace lastcall {
namespace {

void check_text(WebSocketMessage::Kind kind, std::string_view data) {
  if (kind == WebSocketMessage::Kind::text && !is_utf8(data))
    throw std::invalid_argument("a text message must be UTF-8");
}

}  // namespace

WebSocket::WebSocket(std::unique_ptr<WebSocketConnection> connection) noexcept
    : connection_(std::move(connection)) {}
WebSocket::WebSocket(WebSocket&&) noexcept = default;
WebSocket& WebSocket::operator=(WebSocket&&) noexcept = default;
WebSocket::~WebSocket() = default;

std::optional<WebSocket> WebSocket::accept(Request& request, Response& response,
                                           const WebSocketOptions& options) {
  WebSocketHandshake verdict =
      judge_handshake(request.method(), request.version_minor(), request.headers(),
                      {.allowed_origins = options.allowed_origins, .subprotocols = options.subprotocols});
  if (!verdict.accepted()) {
    response.status(verdict.status).text(verdict.what);
    if (verdict.status == 426) {  // RFC 9110 7.8, 15.5.22, RFC 6455 4.4
      response.header("Upgrade", "websocket").header("Sec-WebSocket-Version", kWebSocketVersion);
      response.add_field("Connection", "Upgrade");
    }
    return std::nullopt;
  }
  response.header("Sec-WebSocket-Accept", verdict.accept);
  if (!verdict.subprotocol.empty()) response.header("Sec-WebSocket-Protocol", verdict.subprotocol);
  Stream& stream = response.switch_protocols("websocket");
  response.fields_.release();  // sent; they would be held as long as the socket
  return WebSocket(std::make_unique<WebSocketConnection>(stream, options, std::move(verdict.subprotocol)));
}

Task<> WebSocket::close(uint16_t code, std::string reason) {
  if (!is_close_code(code)) throw std::invalid_argument("a close code that nobody may send");
  if (reason.size() > kMaxCloseReasonBytes || !is_utf8(reason))
    throw std::invalid_argument("the reason of a close is UTF-8, of at most 123 bytes");
  connection_->close(code, reason);
  while (auto dropped = co_await receive()) {
  }
}

uint16_t WebSocket::close_code() const noexcept {
  return connection_->peer_code();
}
const std::string& WebSocket::close_reason() const noexcept {
  return connection_->peer_reason();
}
const std::string& WebSocket::subprotocol() const noexcept {
  return connection_->subprotocol();
}
bool WebSocket::closing() const noexcept {
  return !connection_->open();
}
WebSocket::Sender WebSocket::sender() {
  return connection_->sender();
}

bool WebSocket::Sender::send(WebSocketMessage message) const {
  check_text(message.kind, message.data);
  return WebSocketMail::send(mail_, std::move(message));
}

WebSocketWaiter::WebSocketWaiter(WebSocketConnection& connection, bool for_room) noexcept
    : connection_(connection), for_room_(for_room) {
  cancel = [](Waiter& waiter) { static_cast<WebSocketWaiter&>(waiter).resume(); };
}

void WebSocketWaiter::suspend(TaskContext& context, std::coroutine_handle<> coroutine) noexcept {
  context_ = &context;
  coroutine_ = coroutine;
  context.wait_for(*this);
  connection_.wait(*this);
}

void WebSocketWaiter::resume() {
  connection_.cancel_wait();
  context_->resume(coroutine_);
}

bool ReceiveWebSocket::await_ready() const noexcept {
  return connection_.can_receive();
}
std::optional<WebSocketMessage> ReceiveWebSocket::await_resume() {
  return connection_.take();
}

bool SendWebSocket::await_ready() {
  check_text(kind_, data_);
  taken_ = connection_.send(kind_, data_);
  return !taken_ || connection_.has_room();
}
bool SendWebSocket::await_resume() const noexcept {
  return taken_;
}

}  // namespace lastcall
