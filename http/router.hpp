#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <lastcall/core/error.hpp>
#include <lastcall/http/limits.hpp>
#include <lastcall/http/method.hpp>

namespace lastcall {

/// Parameters of a matched route, in the order of the pattern. Fixed size, no allocation.
struct RouteParams {
  struct Param {
    std::string_view name;   ///< lives as long as the router
    std::string_view value;  ///< percent-decoded; into the path, or into the scratch given to match()
  };
  uint32_t size = 0;
  Param params[kMaxRouteParams];

  /// nullptr when the pattern has no such parameter.
  [[nodiscard]] const std::string_view* find(std::string_view name) const noexcept;
};

inline constexpr uint32_t kMaxRouteSegments =
    64;  ///< segments of one route pattern; bounds the depth of match()

/// Maps method and path to a route number. Patterns: "/users/{id}/posts", "/files/{path...}" (trailing
/// wildcard: the rest of the path, may be empty, slashes inside), "/static". More specific wins at each
/// segment: literal, then {param}, then wildcard, with backtracking, also past a match that lacks the method.
/// A {param} takes one segment that is not empty. Literals stand for decoded text: "/a b" matches "/a%20b",
/// and "/100%" matches "/100%25". A trailing slash is significant. Built before serving, then read by all
/// reactors at once; match() does not allocate.
class Router {
 public:
  enum class Outcome : uint8_t { found, not_found, method_not_allowed };
  struct Match {
    Outcome outcome = Outcome::not_found;
    uint32_t route = 0;  ///< found: as given to add()
    /// method_not_allowed and automatic OPTIONS: what some pattern that matches the path allows, a bit per
    /// Method, with the automatic HEAD and OPTIONS. Else 0.
    uint64_t allowed = 0;
    bool automatic_head = false;     ///< found: HEAD answered by the GET route
    bool automatic_options = false;  ///< OPTIONS with no route of its own: answer 204 with Allow
  };

  Router();
  Router(Router&&) noexcept;
  Router& operator=(Router&&) noexcept;
  ~Router();

  /// Registers a pattern for one method, or for any method. Errors name the pattern and what is wrong: not
  /// starting with
  /// '/', empty or repeated parameter name, a parameter that is not a whole segment, wildcard not last, more
  /// than kMaxRouteParams or kMaxRouteSegments, the same method twice, the same position under two parameter
  /// names. A failed add leaves the router as it was. A route for one method goes before one for any method,
  /// in any order of adding.
  [[nodiscard]] Result<void> add(Method method, std::string_view pattern, uint32_t route);
  [[nodiscard]] Result<void> add_any(std::string_view pattern, uint32_t route);

  /// `path`: as in the request target, still percent-encoded (valid encoding is the parser's business).
  /// Segments are split before decoding, so %2F stays inside its segment. `scratch` takes decoded text and
  /// must have capacity for path.size() bytes more; it is appended to, never reallocated when it has it.
  /// Visits each node of the tree at most once, so the cost is bounded by the registered routes, whatever the
  /// path.
  [[nodiscard]] Match match(Method method, std::string_view path, RouteParams& params,
                            std::string& scratch) const noexcept;

 private:
  struct Node;
  struct Endpoint;
  class Walk;
  class ExactPaths;

  [[nodiscard]] Match match_by_walking(Method method, std::string_view path, RouteParams& params,
                                       std::string& scratch, const Endpoint* exact) const noexcept;
  Result<void> insert(std::string_view pattern, std::optional<Method> method, uint32_t route);

  std::unique_ptr<Node> root_;
  std::unique_ptr<ExactPaths> exact_;
};

/// "GET, HEAD, OPTIONS" for the Allow field, in the order of the enum.
[[nodiscard]] std::string format_allow(uint64_t methods);

/// Appends `text` with %XX decoded; text must be validly encoded.
void percent_decode(std::string_view text, std::string& out);

}  // namespace lastcall
