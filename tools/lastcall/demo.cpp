#include "demo.hpp"

#include <nlohmann/json.hpp>
#include <time.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include <lastcall/core/clock.hpp>
#include <lastcall/lastcall.hpp>

namespace lastcall::tool {
namespace {

constexpr uint64_t kMaxMs = 3'600'000;
constexpr uint64_t kMaxUploadBytes = uint64_t{10} << 30;
constexpr size_t kPieceBytes = 1 << 20;  // fewer bytes a send wake a fast client more often

constexpr std::string_view kPage = R"(<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>lastcall</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:3rem auto;padding:0 1rem;color:#222;background:#fdfdfb}
h1{font-size:1.6rem;margin-bottom:0}p{margin-top:.3rem;color:#555}
table{border-collapse:collapse;width:100%;margin-top:1.5rem}
td{border-top:1px solid #ddd;padding:.35rem .6rem .35rem 0;vertical-align:top}
code{font:14px ui-monospace,monospace;white-space:nowrap}a{color:#0b5}
</style></head><body>
<h1>lastcall</h1>
<p>Serves everyone already inside, lets no one new in, and closes on time. The routes of this demo:</p>
<table>
<tr><td><code>GET <a href="/plaintext">/plaintext</a></code></td><td>Hello, World! as text</td></tr>
<tr><td><code>GET <a href="/json">/json</a></code></td><td>the same as JSON, serialised per request</td></tr>
<tr><td><code>any <a href="/anything/here?a=1">/anything/{path...}</a></code></td><td>the request as the server understood it</td></tr>
<tr><td><code>GET <a href="/users/42">/users/{id}</a></code></td><td>a parameter, as JSON</td></tr>
<tr><td><code>GET <a href="/sleep?ms=500">/sleep?ms=N</a></code></td><td>waits N ms on a timer: thousands at once cost no thread</td></tr>
<tr><td><code>GET <a href="/block?ms=500">/block?ms=N</a></code></td><td>blocks a thread of the worker pool for N ms; 503 when its queue is full</td></tr>
<tr><td><code>GET /spin?ms=N</code></td><td>hogs its reactor for N ms: a drill</td></tr>
<tr><td><code>GET <a href="/bytes?n=1000">/bytes?n=N</a></code></td><td>N bytes with Content-Length</td></tr>
<tr><td><code>GET <a href="/stream?n=5&amp;ms=300">/stream?n=N&amp;ms=M</a></code></td><td>N chunks, M ms apart</td></tr>
<tr><td><code>GET <a href="/events">/events</a></code></td><td>server-sent events, one a second; a last <code>bye</code> when the server stops</td></tr>
<tr><td><code>GET /ws</code></td><td>WebSocket echo; close code 1001 when the server stops</td></tr>
<tr><td><code>POST /echo</code></td><td>the body, streamed back</td></tr>
<tr><td><code>POST /upload</code></td><td>counts the bytes of a body of up to 10 GiB</td></tr>
<tr><td><code>POST /background?ms=N</code></td><td>202 at once, and N ms of work in the background that the stop waits for</td></tr>
<tr><td><code>POST /shutdown</code></td><td>with <code>--allow-remote-shutdown</code>: answers, then the graceful stop begins</td></tr>
<tr><td><code>GET <a href="/throw">/throw</a></code></td><td>a handler that throws: 500, and the server lives on</td></tr>
</table>
</body></html>
)";

/// A whole number of the query, `fallback` when it is absent; nullopt when it is not a number up to `most`.
std::optional<uint64_t> query_number(const Request& request, std::string_view name, uint64_t most,
                                     uint64_t fallback) {
  std::optional<std::string> text = request.query_param(name);
  if (!text) return fallback;
  uint64_t value = 0;
  auto [end, code] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (code != std::errc() || end != text->data() + text->size() || value > most) return std::nullopt;
  return value;
}

void bad_number(Response& response, std::string_view name, uint64_t most) {
  response.status(400).text(std::string(name) + " must be a whole number up to " + std::to_string(most) +
                            "\n");
}

std::string dump(const nlohmann::json& value) {
  // Header values and targets may hold any byte; JSON may not.
  return value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

/// Needs no escapes in JSON, as nearly all.
bool is_plain(std::string_view text) {
  bool plain = true;
  for (const char c : text) plain &= (c >= ' ') & (c <= '~') & (c != '"') & (c != '\\');
  return plain;
}

/// A text in quotes, of plain ones where there is room for it.
char* write_quoted(std::string_view text, char* out) {
  *out++ = '"';
  out = std::ranges::copy(text, out).out;
  *out++ = '"';
  return out;
}

using Member = std::pair<std::string_view, std::string_view>;

/// {"name":"value",...} of texts, for which no tree of values is built first; valid until the thread's next
/// one.
std::string_view json_object(std::initializer_list<Member> members) {
  static thread_local std::string out;  // keeps its memory
  bool plain = members.size() > 0;
  size_t size = 1;
  for (const auto& [name, value] : members) {
    plain = plain && is_plain(name) && is_plain(value);
    size += name.size() + value.size() + std::string_view(R"("":"",)").size();
  }
  if (!plain) {  // escapes, and what is not ASCII, are nlohmann's
    nlohmann::ordered_json object = nlohmann::ordered_json::object();
    for (const auto& [name, value] : members) object[std::string(name)] = value;
    return out = object.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  }
  out.resize(size);
  char* end = out.data();
  char before = '{';
  for (const auto& [name, value] : members) {
    *end++ = std::exchange(before, ',');
    end = write_quoted(name, end);
    *end++ = ':';
    end = write_quoted(value, end);
  }
  *end++ = '}';
  return {out.data(), end};
}

std::string base64(std::string_view bytes) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t group = 0;
    size_t left = std::min<size_t>(3, bytes.size() - i);
    for (size_t k = 0; k < 3; ++k)
      group = group << 8 | (k < left ? static_cast<unsigned char>(bytes[i + k]) : 0u);
    for (size_t k = 0; k < 4; ++k) out.push_back(k <= left ? kDigits[group >> (18 - 6 * k) & 63] : '=');
  }
  return out;
}

nlohmann::json field_list(std::span<const Field> fields) {
  nlohmann::json list = nlohmann::json::array();
  for (const Field& field : fields) list.push_back({field.name, field.value});
  return list;
}

void anything(const Request& request, Response& response) {
  response.json(dump({{"method", request.method_name()},
                      {"target", request.target()},
                      {"path", request.path()},
                      {"query", request.query()},
                      {"version", "HTTP/1." + std::to_string(request.version_minor())},
                      {"headers", field_list(request.headers())},
                      {"trailers", field_list(request.trailers())},
                      {"body_base64", base64(request.body())},
                      {"peer", request.peer()},
                      {"client", request.client().text()}}) +
                "\n");
}

Task<> sleep(Request& request, Response& response) {
  auto ms = query_number(request, "ms", kMaxMs, 0);
  if (!ms) {
    bad_number(response, "ms", kMaxMs);
    co_return;
  }
  co_await sleep_for(std::chrono::milliseconds(*ms));
  response.text("slept " + std::to_string(*ms) + " ms\n");
}

Task<> block(Request& request, Response& response) {
  auto ms = query_number(request, "ms", kMaxMs, 0);
  if (!ms) {
    bad_number(response, "ms", kMaxMs);
    co_return;
  }
  auto done = co_await offload([ms = *ms] { std::this_thread::sleep_for(std::chrono::milliseconds(ms)); });
  if (done) {
    response.text("slept " + std::to_string(*ms) + " ms\n");
  } else {
    response.status(503)
        .header("Retry-After", "1")
        .text("503 Service Unavailable: the worker pool is full\n");
  }
}

void spin(const Request& request, Response& response) {
  auto ms = query_number(request, "ms", kMaxMs, 0);
  if (!ms) return bad_number(response, "ms", kMaxMs);
  for (Instant end = monotonic_now() + std::chrono::milliseconds(*ms); monotonic_now() < end;) {
  }
  response.text("span " + std::to_string(*ms) + " ms\n");
}

Task<> echo(Request& request, Response& response) {
  if (auto type = request.header("Content-Type")) response.header("Content-Type", *type);
  if (auto length = request.content_length()) response.content_length(*length);
  for (;;) {
    std::string_view piece = co_await request.read();
    if (piece.empty() || !co_await response.write(piece)) co_return;
  }
}

Task<> upload(Request& request, Response& response) {
  uint64_t bytes = 0;
  const bool whole = co_await request.read_each([&bytes](std::string_view piece) { bytes += piece.size(); });
  if (whole) response.json(dump({{"bytes", bytes}}));
}

Task<> bytes(Request& request, Response& response) {
  auto n = query_number(request, "n", uint64_t{1} << 50, 0);
  if (!n) {
    bad_number(response, "n", uint64_t{1} << 50);
    co_return;
  }
  static const std::string piece(kPieceBytes, 'x');
  response.header("Content-Type", "application/octet-stream").content_length(*n);
  for (uint64_t left = *n; left > 0;) {
    size_t size = std::min<uint64_t>(left, piece.size());
    if (!co_await response.write_lasting({piece.data(), size})) co_return;
    left -= size;
  }
}

Task<> stream(Request& request, Response& response) {
  auto n = query_number(request, "n", 1'000'000, 10);
  auto ms = query_number(request, "ms", kMaxMs, 0);
  if (!n || !ms) {
    bad_number(response, n ? "ms" : "n", n ? kMaxMs : 1'000'000);
    co_return;
  }
  response.header("Content-Type", "text/plain");
  for (uint64_t i = 1; i <= *n; ++i) {
    if (!co_await response.write("chunk " + std::to_string(i) + "\n")) co_return;
    if (i<*n&& * ms> 0) co_await sleep_for(std::chrono::milliseconds(*ms));
  }
}

Task<> events(Request& request, Response& response) {
  EventStream stream(response);
  const std::stop_token drain = request.drain_token();
  for (uint64_t n = 1; !drain.stop_requested(); ++n) {
    const std::string number = std::to_string(n);
    if (!co_await stream.send({.data = number, .event = "tick", .id = number})) co_return;
    co_await sleep_for(1s, drain);
  }
  static_cast<void>(co_await stream.send({.data = "the server is stopping", .event = "bye"}));
}

Task<> websocket_echo(Request& request, Response& response) {
  auto socket = WebSocket::accept(request, response);
  if (!socket) co_return;
  while (auto message = co_await socket->receive()) {
    if (!co_await socket->send(*message)) co_return;
  }
}

/// 202 at once, and work that the stop waits for.
void add_background(Server& server) {
  server.post("/background", [&server](const Request& request, Response& response) {
    auto ms = query_number(request, "ms", kMaxMs, 0);
    if (!ms) return bad_number(response, "ms", kMaxMs);
    const bool taken = server.background("demo", [ms = *ms](std::stop_token stop) -> Task<> {
      co_await sleep_for(std::chrono::milliseconds(ms), stop);
    });
    if (taken) {
      response.status(202).text("working for " + std::to_string(*ms) + " ms\n");
    } else {
      response.status(503).header("Retry-After", "1").text("503 Service Unavailable: too many tasks\n");
    }
  });
}

/// Whoever asks is answered in full: the stop waits for requests that have come.
void add_shutdown(Server& server) {
  server.post("/shutdown", [&server](const Request&, Response& response) {
    server.stop("POST /shutdown");
    response.text("stopping\n");
  });
}

}  // namespace

void add_demo_routes(Server& server, bool remote_shutdown) {
  server.get("/", [](const Request&, Response& response) { response.html(kPage); });
  server.get("/plaintext", [](const Request&, Response& response) { response.text("Hello, World!"); });
  server.get("/json", [](const Request&, Response& response) {
    response.json(json_object({{"message", "Hello, World!"}}));
  });
  server.any("/anything", anything).any("/anything/{path...}", anything);
  server.get("/users/{id}", [](const Request& request, Response& response) {
    response.json(json_object({{"id", *request.param("id")}}));
  });
  server.get("/sleep", sleep).get("/block", block).get("/spin", spin);
  server.get("/bytes", bytes).get("/stream", stream);
  server.get("/events", events).get("/ws", websocket_echo);
  server.post("/echo", echo, {.max_body_bytes = kMaxUploadBytes});
  server.post("/upload", upload, {.max_body_bytes = kMaxUploadBytes});
  add_background(server);
  if (remote_shutdown) add_shutdown(server);
  server.get("/throw", [](const Request&, Response&) { throw std::runtime_error("thrown on purpose"); });
}

}  // namespace lastcall::tool
