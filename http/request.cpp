#include <utility>

#include <lastcall/http/chars.hpp>
#include <lastcall/http/exchange.hpp>
#include <lastcall/http/request.hpp>
#include <lastcall/http/session.hpp>
#include <lastcall/net/peer_address.hpp>

namespace lastcall {
namespace {

/// application/x-www-form-urlencoded, as browsers send queries; an incomplete %XX is left as it is.
std::string decode_form(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+') {
      out.push_back(' ');
    } else if (text[i] == '%' && i + 2 < text.size() && chars::hex_value(text[i + 1]) >= 0 &&
               chars::hex_value(text[i + 2]) >= 0) {
      out.push_back(static_cast<char>(chars::hex_value(text[i + 1]) * 16 + chars::hex_value(text[i + 2])));
      i += 2;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

}  // namespace

Method Request::method() const noexcept {
  return exchange_.head.method;
}
std::string_view Request::method_name() const noexcept {
  return to_string(exchange_.head.method);
}
std::string_view Request::target() const noexcept {
  return exchange_.head.target;
}
std::string_view Request::query() const noexcept {
  return exchange_.head.query;
}
std::string_view Request::host() const noexcept {
  return exchange_.head.host;
}
int Request::version_minor() const noexcept {
  return exchange_.head.version_minor;
}

std::string_view Request::path() const {
  if (exchange_.head.path.find('%') == std::string_view::npos) return exchange_.head.path;
  if (exchange_.decoded_path.empty()) percent_decode(exchange_.head.path, exchange_.decoded_path);
  return exchange_.decoded_path;
}

std::optional<std::string_view> Request::header(std::string_view name) const noexcept {
  const std::string_view* value = exchange_.head.find(name);
  return value != nullptr ? std::optional(*value) : std::nullopt;
}

std::span<const Field> Request::headers() const noexcept {
  return exchange_.head.fields;
}
std::span<const Field> Request::trailers() const noexcept {
  return exchange_.decoder.complete() ? std::span<const Field>(exchange_.decoder.trailers())
                                      : std::span<const Field>();
}

std::optional<std::string_view> Request::param(std::string_view name) const noexcept {
  const std::string_view* value = exchange_.params.find(name);
  return value != nullptr ? std::optional(*value) : std::nullopt;
}

std::optional<std::string> Request::query_param(std::string_view name) const {
  std::string_view rest = exchange_.head.query;
  while (!rest.empty()) {
    size_t end = rest.find('&');
    std::string_view pair = rest.substr(0, end);
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
    size_t equals = pair.find('=');
    if (decode_form(pair.substr(0, equals)) != name) continue;
    return equals == std::string_view::npos ? std::string() : decode_form(pair.substr(equals + 1));
  }
  return std::nullopt;
}

std::string_view Request::body() const noexcept {
  return exchange_.body.view();
}

std::optional<uint64_t> Request::content_length() const noexcept {
  return exchange_.head.has_length ? std::optional(exchange_.head.content_length) : std::nullopt;
}

bool Request::aborted() const noexcept {
  return exchange_.context.cancelled();
}

std::stop_token Request::drain_token() const {
  return exchange_.environment.loop.drain.get_token();
}

std::stop_token Request::stop_token() const {
  return exchange_.context.stop_token();
}

const std::string& Request::peer() const {
  if (exchange_.peer.empty()) {
    exchange_.peer = exchange_.session != nullptr ? exchange_.session->peer() : "?";
  }
  return exchange_.peer;
}

const ClientAddress& Request::client() const {
  const std::string& other_end = peer();
  ClientAddress& client = exchange_.client;
  if (client.address.empty() && exchange_.session != nullptr) {
    client = exchange_.session->client(exchange_.head);
  } else if (client.address.empty()) {
    const PeerAddress address = parse_peer(other_end).value_or(PeerAddress{});
    client = {.address = address.host(), .port = address.port};
  }
  return client;
}

void ReadBody::give(std::string_view piece) noexcept {
  try {
    take_(*this, piece);
  } catch (...) {
    error_ = std::current_exception();
  }
}

bool ReadBody::suspend(TaskContext& context) {
  if (takes_pieces() && !context.cancelled() && !exchange_.body.empty()) {  // what came before it was asked for
    exchange_.chunk.swap(exchange_.body);
    exchange_.body.clear();
    give(exchange_.chunk.view());
    exchange_.chunk.release();
    exchange_.session->body_taken();
    if (failed()) return false;
  }
  if (context.cancelled() || exchange_.decoder.complete()) return false;
  if (!whole_ && !exchange_.body.empty()) return false;
  exchange_.reader = this;
  context.wait_for(*this);
  exchange_.session->body_wanted(exchange_);
  return true;
}

void ReadBody::resume() {
  exchange_.context.resume(coroutine_);
}

bool ReadBody::finish() {
  if (failed()) std::rethrow_exception(error_);
  return !exchange_.context.cancelled();
}

std::string_view ReadBody::await_resume() noexcept {
  if (whole_) return exchange_.context.cancelled() ? std::string_view() : exchange_.body.view();
  exchange_.chunk.clear();
  if (exchange_.context.cancelled()) return {};
  exchange_.chunk.swap(exchange_.body);
  exchange_.session->body_taken();
  return exchange_.chunk.view();
}

}  // namespace lastcall
