#include "bench/works.hpp"

#include <nlohmann/json.hpp>

#include <lastcall/http/task.hpp>

#include "bench/requests.hpp"

namespace lastcall::bench {
namespace {

using Text = std::string_view;

constexpr Text kHello = "Hello, World!";

Task<> echo(Request& asked, Response& response) {
  if (auto type = asked.header("Content-Type")) response.header("Content-Type", *type);
  if (auto length = asked.content_length()) response.content_length(*length);
  for (;;) {
    Text piece = co_await asked.read();
    if (piece.empty() || !co_await response.write(piece)) co_return;
  }
}

void json(const Request&, Response& response) {
  response.json(nlohmann::json{{"message", kHello}}.dump());
}

}  // namespace

std::span<const Work> works() {
  const std::string plaintext(kWrk);
  static const Work all[] = {
      {.name = "plaintext", .request = plaintext, .body = kHello},
      {.name = "alone", .request = plaintext, .body = kHello, .connections = 1},
      {.name = "pipelined", .request = plaintext, .body = kHello, .requests = 16},
      {.name = "browser", .request = browser_request("/plaintext"), .body = kHello},
      {.name = "query", .request = browser_request("/plaintext?page=2&sort=newest"), .body = kHello},
      {.name = "json", .request = request("GET /json"), .body = R"({"message":"Hello, World!"})"},
      {.name = "parameter", .request = request("GET /users/1234"), .body = "1234"},
      {.name = "form", .request = form_request("/form"), .body = kForm},
      {.name = "echo", .request = form_request("/echo"), .body = kForm},
      {.name = "churn",
       .request = request("GET /plaintext", "Connection: close\r\n"),
       .body = kHello,
       .connections = 16,
       .fresh = true},
      {.name = "clock", .request = plaintext, .body = kHello, .step = 5s},
  };
  return all;
}

void add_routes(const std::function<void(Method, Text, Handler)>& add) {
  const auto nothing = [](const Request&, Response&) {};
  for (const char* pattern : {"/", "/anything", "/anything/{path...}", "/sleep", "/block", "/spin", "/bytes",
                              "/stream", "/events", "/ws", "/throw"})
    add(Method::get, pattern, nothing);
  for (const char* pattern : {"/upload", "/background", "/shutdown"}) add(Method::post, pattern, nothing);
  add(Method::get, "/plaintext", [](const Request&, Response& response) { response.text(kHello); });
  add(Method::get, "/json", json);
  add(Method::get, "/users/{id}",
      [](const Request& asked, Response& response) { response.text(*asked.param("id")); });
  add(Method::post, "/form", [](const Request& asked, Response& response) { response.text(asked.body()); });
  add(Method::post, "/echo", echo);
}

}  // namespace lastcall::bench
