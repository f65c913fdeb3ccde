#include "tests/support/session_routes.hpp"

#include <stdexcept>
#include <string>

#include <lastcall/http/stream.hpp>

namespace lastcall::test {
namespace {

size_t number(const Request& request, std::string_view name) {
  return std::stoul(request.query_param(name).value_or("0"));
}

void describe(const Request& request, Response& response) {
  std::string text(request.method_name());
  text.append(" ").append(request.path()).append("\n");
  for (const Field& field : request.headers())
    text.append(field.name).append("=").append(field.value).append("\n");
  text.append(request.body()).append("\n");
  for (const Field& field : request.trailers())
    text.append(field.name).append("=").append(field.value).append("\n");
  response.text(text);
}

Task<> echo(Request& request, Response& response) {
  if (auto length = request.content_length()) response.content_length(*length);
  for (;;) {
    std::string_view piece = co_await request.read();
    if (piece.empty() || !co_await response.write(piece)) co_return;
  }
}

Task<> count(Request& request, Response& response) {
  size_t bytes = 0;
  for (;;) {
    std::string_view piece = co_await request.read();
    if (piece.empty()) break;
    bytes += piece.size();
  }
  response.text(std::to_string(bytes));
}

Task<> sleep(Request& request, Response& response) {
  bool whole = co_await sleep_for(std::chrono::milliseconds(number(request, "ms")));
  response.text(whole ? "slept" : "cut short");
}

Task<> stream(Request& request, Response& response) {
  for (size_t left = number(request, "n"); left > 0; --left) {
    if (!co_await response.write("piece\n")) co_return;
    if (left > 1) co_await sleep_for(std::chrono::milliseconds(number(request, "ms")));
  }
}

Task<> ignore(Request&, Response& response) {
  response.text("ignored");
  co_return;
}

Task<> throw_later(Request&, Response& response) {
  static_cast<void>(co_await response.write("something"));
  throw std::runtime_error("after the head");
}

Task<> hijack(Request& request, Response& response) {
  Stream& own = response.hijack();
  if (number(request, "leave") != 0) own.leave_at_stop();
  for (;;) {
    std::string_view piece = co_await own.read();
    if (piece.empty() || !co_await own.write(piece)) co_return;
  }
}

Task<> detach(Request& request, Response& response) {
  Stream& own = response.hijack();
  static_cast<void>(co_await own.write(std::string(number(request, "n"), 'x')));
  std::optional<HijackedConnection> taken = co_await own.detach();
  if (taken) co_await sleep_for(std::chrono::milliseconds(number(request, "ms")));
}

}  // namespace

void add_routes(const AddRoute& add) {
  add(Method::get, "/plaintext", [](const Request&, Response& response) { response.text("Hello, World!"); },
      {});
  add(Method::get, "/users/{id}",
      [](const Request& request, Response& response) { response.text(*request.param("id")); }, {});
  add(Method::get, "/big",
      [](const Request& request, Response& response) {
        response.text(std::string(number(request, "n"), 'x'));
      },
      {});
  add(Method::post, "/describe", describe, {});
  add(Method::post, "/echo", echo, {.max_body_bytes = 64 << 20});
  add(Method::post, "/count", count, {});
  add(Method::post, "/ignore", ignore, {.max_body_bytes = 64 << 20});
  add(Method::get, "/sleep", sleep, {});
  add(Method::get, "/stream", stream, {});
  add(Method::get, "/throw", [](const Request&, Response&) { throw std::runtime_error("on purpose"); }, {});
  add(Method::get, "/throw-later", throw_later, {});
  add(Method::get, "/hijack", hijack, {});
  add(Method::get, "/detach", detach, {});
}

void add_routes(SessionHost& host) {
  add_routes([&host](Method method, std::string_view pattern, Handler handler, RouteOptions options) {
    host.on(method, pattern, std::move(handler), options);
  });
}

std::string get(std::string_view target, std::string_view fields, std::string_view version) {
  std::string text("GET ");
  text.append(target)
      .append(" HTTP/")
      .append(version)
      .append("\r\nHost: a\r\n")
      .append(fields)
      .append("\r\n");
  return text;
}

std::string post(std::string_view target, std::string_view body, std::string_view fields) {
  std::string text("POST ");
  text.append(target).append(" HTTP/1.1\r\nHost: a\r\nContent-Length: ").append(std::to_string(body.size()));
  return text.append("\r\n").append(fields).append("\r\n").append(body);
}

std::string post_chunked(std::string_view target, size_t pieces, std::string_view trailers) {
  std::string text("POST ");
  text.append(target).append(" HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
  for (size_t i = 0; i < pieces; ++i) text.append("5\r\nhello\r\n");
  return text.append("0\r\n").append(trailers).append("\r\n");
}

}  // namespace lastcall::test
