#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "tests/support/session_host.hpp"

namespace lastcall::test {

/// What the session tests ask for:
///   GET /plaintext        "Hello, World!"
///   GET /users/{id}       the parameter
///   GET /big?n=N          N bytes at once
///   POST /describe        synchronous: the request as understood, with body and trailers
///   POST /echo            coroutine: the body, streamed back
///   POST /count           coroutine: how many bytes came
///   POST /ignore          coroutine: answers without reading the body
///   GET /sleep?ms=N       coroutine: "slept" after N ms, or "cut short"
///   GET /stream?n=N&ms=M  coroutine: N pieces, M ms apart
///   GET /throw            throws; GET /throw-later: after a first write
///   GET /detach?n=N&ms=M  leaves HTTP with N bytes, takes the descriptor and holds it for M ms
///   GET /hijack           leaves HTTP and says back what comes; ?leave=1: opts out of the stop's patience
using AddRoute = std::function<void(Method, std::string_view, Handler, RouteOptions)>;
void add_routes(const AddRoute& add);
void add_routes(SessionHost& host);

/// A request without a body. `fields`: complete lines.
[[nodiscard]] std::string get(std::string_view target, std::string_view fields = "",
                              std::string_view version = "1.1");
[[nodiscard]] std::string post(std::string_view target, std::string_view body, std::string_view fields = "");
/// `pieces` of 5 bytes each, then the trailers.
[[nodiscard]] std::string post_chunked(std::string_view target, size_t pieces,
                                       std::string_view trailers = "");

}  // namespace lastcall::test
