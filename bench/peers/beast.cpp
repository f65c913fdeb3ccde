// Boost.Beast as a peer: its asynchronous interface with callbacks, one thread, executors known at compile
// time. Argument: PORT.
#include <boost/asio.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

#include <array>
#include <cstdlib>
#include <memory>
#include <optional>
#include <utility>

#include "json_body.hpp"

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using Executor = asio::io_context::executor_type;
using Socket = asio::basic_stream_socket<tcp, Executor>;
using Stream = beast::basic_stream<tcp, Executor>;

namespace {

class Session : public std::enable_shared_from_this<Session> {
 public:
  explicit Session(Socket socket) : stream_(std::move(socket)) {}

  void read() {
    parser_.emplace();
    parser_->body_limit(boost::none);
    stream_.expires_after(std::chrono::seconds(75));
    http::async_read_header(stream_, buffer_, *parser_,
                            [self = shared_from_this()](beast::error_code error, size_t) {
                              if (!error) self->on_head();
                            });
  }

 private:
  void on_head() {
    bytes_ = 0;
    if (parser_->is_done()) return answer();
    buffer_.reserve(piece_.size());  // it reads no more at once than the buffer holds: 512 bytes, else
    read_body();
  }

  void read_body() {
    auto& body = parser_->get().body();
    body.data = piece_.data();
    body.size = piece_.size();
    stream_.expires_after(std::chrono::seconds(75));
    http::async_read(stream_, buffer_, *parser_,
                     [self = shared_from_this()](beast::error_code error, size_t) { self->on_body(error); });
  }

  void on_body(beast::error_code error) {
    if (error && error != http::error::need_buffer) return;
    bytes_ += piece_.size() - parser_->get().body().size;
    if (parser_->is_done()) {
      answer();
    } else {
      read_body();
    }
  }

  void answer() {
    const auto& request = parser_->get();
    const std::string_view path(request.target().data(), request.target().size());
    if (path == "/plaintext") return send("text/plain", "Hello, World!");
    if (path == "/json") return send("application/json", text_ = message_body());
    if (path.starts_with("/users/")) return send("application/json", text_ = user_body(path.substr(7)));
    if (path.starts_with("/bytes")) return send("application/octet-stream", megabyte());
    if (path == "/upload") return send("application/json", text_ = bytes_body(bytes_));
    send("text/plain", "not found", http::status::not_found);
  }

  void send(const char* type, std::string_view body, http::status status = http::status::ok) {
    const auto& request = parser_->get();
    response_.emplace(status, request.version());
    response_->set(http::field::server, "Beast");
    response_->set(http::field::content_type, type);
    response_->keep_alive(request.keep_alive());
    response_->body() = {body.data(), body.size()};
    response_->prepare_payload();
    http::async_write(stream_, *response_, [self = shared_from_this()](beast::error_code error, size_t) {
      if (error) return;
      if (self->response_->need_eof()) {
        self->stream_.socket().shutdown(tcp::socket::shutdown_send, error);
      } else {
        self->read();
      }
    });
  }

  Stream stream_;
  beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::buffer_body>> parser_;
  std::optional<http::response<http::span_body<const char>>> response_;
  std::array<char, 64 * 1024> piece_;
  std::string text_;
  unsigned long long bytes_ = 0;
};

class Listener {
 public:
  Listener(asio::io_context& context, uint16_t port) : acceptor_(context.get_executor()) {
    const tcp::endpoint endpoint(asio::ip::address_v4::loopback(), port);
    acceptor_.open(endpoint.protocol());
    acceptor_.set_option(asio::socket_base::reuse_address(true));
    acceptor_.bind(endpoint);
    acceptor_.listen(4096);
    accept();
  }

 private:
  void accept() {
    acceptor_.async_accept([this](beast::error_code error, Socket socket) {
      if (!error) {
        socket.set_option(tcp::no_delay(true), error);
        std::make_shared<Session>(std::move(socket))->read();
      }
      accept();
    });
  }

  asio::basic_socket_acceptor<tcp, Executor> acceptor_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 1;
  asio::io_context context(1);
  Listener listener(context, static_cast<uint16_t>(std::atoi(argv[1])));
  asio::signal_set stops(context, SIGTERM);
  stops.async_wait([&](beast::error_code, int) { context.stop(); });
  context.run();
}
