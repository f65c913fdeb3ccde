#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <utility>

#include <lastcall/core/error.hpp>
#include <lastcall/http/layers.hpp>

namespace lastcall {

/// What the routes of one group have in common. Handlers refer to it: it lives as long as they do.
class GroupScope {
 public:
  GroupScope() = default;
  GroupScope(const GroupScope& parent, std::string_view prefix, const RouteOptions& defaults);
  GroupScope(const GroupScope&) = delete;
  GroupScope& operator=(const GroupScope&) = delete;

  [[nodiscard]] GroupScope& add_group(std::string_view prefix, const RouteOptions& defaults);
  void add(Before function) { before_.push_back(std::move(function)); }
  void add(After function) { after_.push_back(std::move(function)); }
  void add(Around function) { around_.push_back(std::move(function)); }

  /// The whole pattern of a route of this group, or what is wrong with it.
  [[nodiscard]] Result<std::string> pattern(std::string_view tail) const;
  [[nodiscard]] RouteOptions options(const RouteOptions& own) const { return own.or_else(defaults_); }
  /// The handler in all that is registered by now, here and in the groups around this one.
  [[nodiscard]] Handler wrap(Handler handler) const;

 private:
  void collect(Layers& layers) const;

  const GroupScope* parent_ = nullptr;
  std::string prefix_;  // with those of the groups around it
  bool good_prefix_ = true;
  RouteOptions defaults_;
  std::deque<Before> before_;  // referred to by handlers
  std::deque<After> after_;
  std::deque<Around> around_;
  std::deque<GroupScope> groups_;
};

}  // namespace lastcall
