#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include <lastcall/core/check.hpp>
#include <lastcall/http/chars.hpp>
#include <lastcall/http/router.hpp>

namespace lastcall {
namespace {

struct Segment {
  enum class Kind : uint8_t { literal, param, wildcard };
  Kind kind = Kind::literal;
  std::string_view text;  // the literal, or the name
};

std::unexpected<Error> bad_pattern(std::string_view pattern, std::string_view what) {
  return error("route '" + std::string(pattern) + "': " + std::string(what));
}

Result<Segment> parse_segment(std::string_view pattern, std::string_view text) {
  if (text.find_first_of("{}") == std::string_view::npos) return Segment{Segment::Kind::literal, text};
  if (text.size() < 2 || text.front() != '{' || text.back() != '}')
    return bad_pattern(pattern, "a parameter must be a whole segment");
  Segment segment{Segment::Kind::param, text.substr(1, text.size() - 2)};
  if (segment.text.ends_with("...")) {
    segment.kind = Segment::Kind::wildcard;
    segment.text.remove_suffix(3);
  }
  if (segment.text.empty()) return bad_pattern(pattern, "empty parameter name");
  if (segment.text.find_first_of("{}") != std::string_view::npos)
    return bad_pattern(pattern, "a parameter must be a whole segment");
  return segment;
}

Result<void> check_names(std::string_view pattern, const std::vector<Segment>& segments) {
  std::vector<std::string_view> names;
  for (size_t i = 0; i < segments.size(); ++i) {
    const Segment& segment = segments[i];
    if (segment.kind == Segment::Kind::literal) continue;
    if (segment.kind == Segment::Kind::wildcard && i + 1 != segments.size())
      return bad_pattern(pattern, "the wildcard '" + std::string(segment.text) + "' must come last");
    if (std::ranges::find(names, segment.text) != names.end())
      return bad_pattern(pattern, "repeated parameter '" + std::string(segment.text) + "'");
    names.push_back(segment.text);
  }
  if (names.size() > kMaxRouteParams)
    return bad_pattern(pattern, "more than " + std::to_string(kMaxRouteParams) + " parameters");
  return {};
}

Result<std::vector<Segment>> parse_pattern(std::string_view pattern) {
  if (!pattern.starts_with('/')) return bad_pattern(pattern, "must start with '/'");
  std::vector<Segment> segments;
  for (size_t begin = 1; begin <= pattern.size();) {
    size_t end = std::min(pattern.find('/', begin), pattern.size());
    auto segment = parse_segment(pattern, pattern.substr(begin, end - begin));
    if (!segment) return std::unexpected(std::move(segment.error()));
    segments.push_back(*segment);
    begin = end + 1;
  }
  if (segments.size() > kMaxRouteSegments)
    return bad_pattern(pattern, "more than " + std::to_string(kMaxRouteSegments) + " segments");
  if (auto checked = check_names(pattern, segments); !checked) return std::unexpected(checked.error());
  return segments;
}

}  // namespace

/// The routes of one pattern.
struct Router::Endpoint {
  uint64_t methods = 0;  // with a route of their own
  std::array<uint32_t, kMethodCount> routes{};
  std::optional<uint32_t> any;

  [[nodiscard]] bool empty() const { return methods == 0 && !any; }

  [[nodiscard]] uint64_t allowed() const {
    uint64_t automatic = bit(Method::options) | ((methods & bit(Method::get)) ? bit(Method::head) : 0);
    return methods | automatic;
  }

  [[nodiscard]] std::optional<uint32_t> own(Method method) const {
    if (methods & bit(method)) return routes[static_cast<uint32_t>(method)];
    return std::nullopt;
  }
};

/// What may follow one prefix of a path. Every edge takes exactly one segment, so a node is reached in one
/// way only.
struct Router::Node {
  struct Literal {
    std::string text;
    std::unique_ptr<Node> next;
  };
  std::vector<Literal> literals;  // by length, then by text: most comparisons are of two numbers
  std::string param_name;
  std::unique_ptr<Node> param;
  std::string wildcard_name;
  Endpoint wildcard;
  Endpoint endpoint;  // the path ends here

  [[nodiscard]] static bool before(std::string_view left, std::string_view right) noexcept {
    return left.size() != right.size() ? left.size() < right.size() : left < right;
  }

  [[nodiscard]] const Node* find(std::string_view text) const {
    auto found = std::ranges::lower_bound(literals, text, before, &Literal::text);
    return found != literals.end() && found->text == text ? found->next.get() : nullptr;
  }

  Node& literal(std::string_view text) {
    auto found = std::ranges::lower_bound(literals, text, before, &Literal::text);
    if (found == literals.end() || found->text != text)
      found = literals.insert(found, Literal{std::string(text), std::make_unique<Node>()});
    return *found->next;
  }
};

/// The patterns without parameters in a hash table (open addressing, at most half full). Such a pattern is
/// what the tree finds first, if the path is spelled as it is, so most matches end here.
class Router::ExactPaths {
 public:
  void add(std::string_view path, const Endpoint* endpoint) {
    if (path.find('%') != std::string_view::npos || find(path) != nullptr) return;
    if (entries_.size() < (used_ + 1) * 2) grow();
    place({std::string(path), endpoint});
    ++used_;
  }

  [[nodiscard]] const Endpoint* find(std::string_view path) const noexcept {
    const Entry* const entries = entries_.data();
    for (size_t i = hash(path) & mask_; entries[i].endpoint != nullptr; i = (i + 1) & mask_) {
      const std::string& entry = entries[i].path;
      if (entry.size() == path.size() && chars::equal_bytes(entry.data(), path.data(), path.size())) {
        return entries[i].endpoint;
      }
    }
    return nullptr;
  }

 private:
  struct Entry {
    std::string path;
    const Endpoint* endpoint = nullptr;
  };

  static uint64_t hash(std::string_view text) noexcept {
    constexpr uint64_t kFactor = 0x9e3779b97f4a7c15;  // 2^64 / golden ratio
    uint64_t hash = text.size();
    const char* at = text.data();
    const char* const end = at + text.size();
    const auto mix = [&hash](const char* word_at, size_t bytes) {
      uint64_t word = 0;
      std::memcpy(&word, word_at, bytes);
      hash = (hash ^ word) * kFactor;
    };
    if (text.size() >= sizeof hash) {
      for (; static_cast<size_t>(end - at) > sizeof hash; at += sizeof hash) mix(at, sizeof hash);
      mix(end - sizeof hash, sizeof hash);  // the last word overlaps the one before
    } else {
      for (; at != end; ++at) mix(at, 1);
    }
    return hash ^ (hash >> 32);
  }

  void place(Entry entry) {
    size_t i = hash(entry.path) & mask_;
    while (entries_[i].endpoint != nullptr) i = (i + 1) & mask_;
    entries_[i] = std::move(entry);
  }

  void grow() {
    std::vector<Entry> old = std::exchange(entries_, std::vector<Entry>(entries_.size() * 2));
    mask_ = entries_.size() - 1;
    for (Entry& entry : old) {
      if (entry.endpoint != nullptr) place(std::move(entry));
    }
  }

  std::vector<Entry> entries_ = std::vector<Entry>(16);
  size_t mask_ = 15;
  size_t used_ = 0;
};

/// One match() on its way through the tree. Recursion is as deep as the longest pattern, not as the path.
class Router::Walk {
 public:
  Walk(Method method, std::string_view path, RouteParams& params, std::string& scratch)
      : method_(method), path_(path), params_(params), scratch_(scratch) {}

  /// `begin`: where the next segment starts; past the end of the path when there is none.
  bool visit(const Node& node, size_t begin) {
    if (begin > path_.size()) return accept(node.endpoint);
    size_t mark = scratch_.size();
    size_t end = std::min(path_.find('/', begin), path_.size());
    std::string_view segment = decode(path_.substr(begin, end - begin));
    if (const Node* next = node.find(segment); next && visit(*next, end + 1)) return true;
    if (node.param && !segment.empty()) {
      push(node.param_name, segment);
      if (visit(*node.param, end + 1)) return true;
      --params_.size;
    }
    scratch_.resize(mark);
    if (!accept(node.wildcard)) return false;
    push(node.wildcard_name, decode(path_.substr(begin)));
    return true;
  }

  /// Is the method served here? Notes what is.
  bool accept(const Endpoint& endpoint) {
    if (endpoint.empty()) return false;
    allowed_ |= endpoint.allowed();
    auto route = endpoint.own(method_);
    if (!route && method_ == Method::head) {
      route = endpoint.own(Method::get);
      match_.automatic_head = route.has_value();
    }
    if (!route) route = endpoint.any;
    if (!route) return false;
    match_.outcome = Outcome::found;
    match_.route = *route;
    return true;
  }

  [[nodiscard]] Match result() const {
    if (match_.outcome == Outcome::found || allowed_ == 0) return match_;
    Match match{.outcome = Outcome::method_not_allowed, .allowed = allowed_};
    if (method_ == Method::options) {
      match.outcome = Outcome::found;
      match.automatic_options = true;
    }
    return match;
  }

 private:
  void push(std::string_view name, std::string_view value) { params_.params[params_.size++] = {name, value}; }

  std::string_view decode(std::string_view text) {
    if (text.find('%') == std::string_view::npos) return text;
    size_t start = scratch_.size();
    percent_decode(text, scratch_);
    return std::string_view(scratch_).substr(start);
  }

  Method method_;
  std::string_view path_;
  RouteParams& params_;
  std::string& scratch_;
  uint64_t allowed_ = 0;
  Match match_;
};

Router::Router() : root_(std::make_unique<Node>()), exact_(std::make_unique<ExactPaths>()) {}
Router::Router(Router&&) noexcept = default;
Router& Router::operator=(Router&&) noexcept = default;
Router::~Router() = default;

Result<void> Router::add(Method method, std::string_view pattern, uint32_t route) {
  return insert(pattern, method, route);
}

Result<void> Router::add_any(std::string_view pattern, uint32_t route) {
  return insert(pattern, std::nullopt, route);
}

Result<void> Router::insert(std::string_view pattern, std::optional<Method> method, uint32_t route) {
  auto segments = parse_pattern(pattern);
  if (!segments) return std::unexpected(std::move(segments.error()));
  // Names can only clash on nodes that exist, and those come before the first new one: a failure changes
  // nothing.
  auto claim = [&](std::string& name, std::string_view wanted, bool taken) -> Result<void> {
    if (taken && name != wanted)
      return bad_pattern(pattern,
                         "parameter '" + std::string(wanted) + "' is already called '" + name + "' here");
    name = wanted;
    return {};
  };

  Node* node = root_.get();
  Endpoint* endpoint = &node->endpoint;
  for (const Segment& segment : *segments) {
    if (segment.kind == Segment::Kind::wildcard) {
      auto claimed = claim(node->wildcard_name, segment.text, !node->wildcard.empty());
      if (!claimed) return claimed;
      endpoint = &node->wildcard;
      break;
    }
    if (segment.kind == Segment::Kind::param) {
      auto claimed = claim(node->param_name, segment.text, node->param != nullptr);
      if (!claimed) return claimed;
      if (!node->param) node->param = std::make_unique<Node>();
      node = node->param.get();
    } else {
      node = &node->literal(segment.text);
    }
    endpoint = &node->endpoint;
  }
  const bool exact = std::ranges::all_of(
      *segments, [](const Segment& segment) { return segment.kind == Segment::Kind::literal; });

  if (!method) {
    if (endpoint->any) return bad_pattern(pattern, "already has a route for any method");
    endpoint->any = route;
    if (exact) exact_->add(pattern, endpoint);
    return {};
  }
  if (endpoint->own(*method))
    return bad_pattern(pattern, "already has a route for " + std::string(to_string(*method)));
  endpoint->methods |= bit(*method);
  endpoint->routes[static_cast<uint32_t>(*method)] = route;
  if (exact) exact_->add(pattern, endpoint);
  return {};
}

Router::Match Router::match(Method method, std::string_view path, RouteParams& params,
                            std::string& scratch) const noexcept {
  params.size = 0;
  const Endpoint* const exact = exact_->find(path);
  if (exact != nullptr && (exact->methods & bit(method)) != 0) [[likely]]
    return {.outcome = Outcome::found, .route = exact->routes[static_cast<uint32_t>(method)]};
  return match_by_walking(method, path, params, scratch, exact);
}

Router::Match Router::match_by_walking(Method method, std::string_view path, RouteParams& params,
                                       std::string& scratch, const Endpoint* exact) const noexcept {
  if (!path.starts_with('/')) return {};
  Walk walk(method, path, params, scratch);
  if (exact != nullptr && walk.accept(*exact)) return walk.result();
  // Before any view points into it.
  if (scratch.capacity() - scratch.size() < path.size() && path.find('%') != std::string_view::npos)
    scratch.reserve(scratch.size() + path.size());
  walk.visit(*root_, 1);
  return walk.result();
}

const std::string_view* RouteParams::find(std::string_view name) const noexcept {
  for (uint32_t i = 0; i < size; ++i)
    if (params[i].name == name) return &params[i].value;
  return nullptr;
}

std::string format_allow(uint64_t methods) {
  std::string text;
  for (uint32_t i = 0; i < kMethodCount; ++i) {
    if ((methods & (uint64_t{1} << i)) == 0) continue;
    if (!text.empty()) text += ", ";
    text += to_string(static_cast<Method>(i));
  }
  return text;
}

void percent_decode(std::string_view text, std::string& out) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    LASTCALL_CHECK(i + 2 < text.size());
    out += static_cast<char>(chars::hex_value(text[i + 1]) * 16 + chars::hex_value(text[i + 2]));
    i += 2;
  }
}

}  // namespace lastcall
