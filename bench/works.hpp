#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>

#include <lastcall/core/time.hpp>
#include <lastcall/http/handler.hpp>
#include <lastcall/http/method.hpp>

namespace lastcall::bench {

/// What clients send, over and over. Each round every connection writes `requests` of these at once.
struct Work {
  std::string_view name;
  std::string request{};
  std::string_view body;        ///< of each answer
  size_t connections = 64;      ///< ready in one turn of the loop, as under load
  size_t requests = 1;          ///< pipelined
  bool fresh = false;           ///< each connection is used once
  Duration step = Duration(0);  ///< by which the clock moves between two rounds
};

[[nodiscard]] std::span<const Work> works();

/// The routes of the demo, as far as a work needs them; the others only as patterns, for the router.
void add_routes(const std::function<void(Method, std::string_view, Handler)>& add);

}  // namespace lastcall::bench
