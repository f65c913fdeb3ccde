#include <optional>
#include <utility>

#include <lastcall/http/group.hpp>
#include <lastcall/http/group_scope.hpp>
#include <lastcall/http/server.hpp>

namespace lastcall {

GroupScope::GroupScope(const GroupScope& parent, std::string_view prefix, const RouteOptions& defaults)
    : parent_(&parent),
      prefix_(parent.prefix_ + std::string(prefix)),
      good_prefix_(parent.good_prefix_ &&
                   (prefix.empty() || (prefix.starts_with('/') && !prefix.ends_with('/')))),
      defaults_(defaults.or_else(parent.defaults_)) {}

GroupScope& GroupScope::add_group(std::string_view prefix, const RouteOptions& defaults) {
  return groups_.emplace_back(*this, prefix, defaults);
}

Result<std::string> GroupScope::pattern(std::string_view tail) const {
  if (!good_prefix_)
    return error("group '" + prefix_ + "': a prefix begins with '/', and does not end with it");
  if (parent_ != nullptr && !tail.empty() && !tail.starts_with('/'))
    return error("route '" + std::string(tail) + "' of group '" + prefix_ + "': must begin with '/'");
  return prefix_ + std::string(tail);
}

Handler GroupScope::wrap(Handler handler) const {
  auto layers = std::make_unique<Layers>(std::move(handler));
  collect(*layers);
  return Layers::compose(std::move(layers));
}

void GroupScope::collect(Layers& layers) const {
  if (parent_ != nullptr) parent_->collect(layers);
  for (const Before& function : before_) layers.add(function);
  for (const After& function : after_) layers.add(function);
  for (const Around& function : around_) layers.add(function);
}

Group Group::group(std::string_view prefix, const RouteOptions& defaults) {
  return {*server_, scope_->add_group(prefix, defaults)};
}

Group& Group::before(Before function) {
  scope_->add(std::move(function));
  return *this;
}

Group& Group::after(After function) {
  scope_->add(std::move(function));
  return *this;
}

Group& Group::around(Around function) {
  scope_->add(std::move(function));
  return *this;
}

Group& Group::route(Method method, std::string_view pattern, Handler handler, const RouteOptions& options) {
  server_->add(*scope_, method, pattern, std::move(handler), options);
  return *this;
}

Group& Group::any(std::string_view pattern, Handler handler, const RouteOptions& options) {
  server_->add(*scope_, std::nullopt, pattern, std::move(handler), options);
  return *this;
}

Group& Group::get(std::string_view pattern, Handler handler, const RouteOptions& options) {
  return route(Method::get, pattern, std::move(handler), options);
}
Group& Group::post(std::string_view pattern, Handler handler, const RouteOptions& options) {
  return route(Method::post, pattern, std::move(handler), options);
}
Group& Group::put(std::string_view pattern, Handler handler, const RouteOptions& options) {
  return route(Method::put, pattern, std::move(handler), options);
}
Group& Group::del(std::string_view pattern, Handler handler, const RouteOptions& options) {
  return route(Method::delete_, pattern, std::move(handler), options);
}
Group& Group::patch(std::string_view pattern, Handler handler, const RouteOptions& options) {
  return route(Method::patch, pattern, std::move(handler), options);
}

}  // namespace lastcall
