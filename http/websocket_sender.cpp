#include <utility>

#include <lastcall/http/exchange.hpp>
#include <lastcall/http/websocket_connection.hpp>

namespace lastcall {

bool WebSocketMail::send(const std::shared_ptr<WebSocketMail>& mail, WebSocketMessage message) {
  const std::lock_guard lock(mail->mutex);
  if (mail->connection == nullptr || mail->overflown || cost(message) > mail->max_bytes) return false;
  const bool fits = cost(message) <= mail->max_bytes - mail->bytes;
  if (fits) {
    mail->bytes += cost(message);
    mail->messages.push_back(std::move(message));
  } else {
    mail->overflown = true;
  }
  if (!std::exchange(mail->posted, true)) {
    // Inside the lock: while `connection` is there, so is its reactor.
    mail->posted = mail->reactor->post([mail] { deliver(*mail); });
    if (!mail->posted) return false;
  }
  return fits;
}

void WebSocketMail::deliver(WebSocketMail& mail) {
  std::vector<WebSocketMessage> messages;
  WebSocketConnection* connection = nullptr;
  bool overflown = false;
  {
    const std::lock_guard lock(mail.mutex);
    messages.swap(mail.messages);
    mail.bytes = 0;
    mail.posted = false;
    connection = mail.connection;
    overflown = mail.overflown;
  }
  // Outside the lock, and safe: only this thread takes the connection away.
  if (connection != nullptr) connection->deliver(std::move(messages), overflown);
}

WebSocket::Sender WebSocketConnection::sender() {
  if (!mail_) {
    mail_ = std::make_shared<WebSocketMail>();
    mail_->max_bytes = max_queued_bytes_;
    mail_->reactor = &loop().mailbox;
    mail_->connection = open() ? this : nullptr;
  }
  return WebSocket::Sender(mail_);
}

/// No sender takes anything any more; what they took and the reactor has not seen.
std::vector<WebSocketMessage> WebSocketConnection::detach_senders() noexcept {
  if (!mail_) return {};
  const std::lock_guard lock(mail_->mutex);
  mail_->connection = nullptr;
  mail_->bytes = 0;
  return std::exchange(mail_->messages, {});
}

/// False at the first that would be past the limit.
bool WebSocketConnection::write_mail(const std::vector<WebSocketMessage>& messages) {
  using enum WebSocketCodec::Opcode;
  for (const WebSocketMessage& message : messages) {
    if (queued() + message.data.size() > max_queued_bytes_) return false;
    codec_.write(message.kind == WebSocketMessage::Kind::text ? text : binary, message.data, outbox_);
    flush();
  }
  return true;
}

void WebSocketConnection::deliver(std::vector<WebSocketMessage> messages, bool overflown) {
  if (!write_mail(messages) || overflown) close(websocket_code::kPolicy, "too slow");
}

}  // namespace lastcall
