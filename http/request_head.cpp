#include <cstddef>

#include <lastcall/http/chars.hpp>
#include <lastcall/http/request_head.hpp>

namespace lastcall {
namespace {

void rebase_view(std::string_view& view, uintptr_t from, size_t length, const char* to) noexcept {
  // As numbers: the old bytes may be gone already. Views elsewhere (empty ones, a literal path) stay.
  const uintptr_t offset = reinterpret_cast<uintptr_t>(view.data()) - from;
  if (offset <= length && view.size() <= length - offset) view = {to + offset, view.size()};
}

}  // namespace

bool equal_ignoring_case(std::string_view left, std::string_view right) noexcept {
  if (left.size() != right.size()) return false;
  for (size_t i = 0; i < left.size(); ++i) {
    if (left[i] != right[i] && chars::to_lower(left[i]) != chars::to_lower(right[i])) return false;
  }
  return true;
}

const std::string_view* RequestHead::find(std::string_view name) const noexcept {
  for (const Field& field : fields) {
    if (equal_ignoring_case(field.name, name)) return &field.value;
  }
  return nullptr;
}

void RequestHead::rebase(const char* from, size_t length, const char* to) noexcept {
  const auto start = reinterpret_cast<uintptr_t>(from);
  for (std::string_view* view : {&target, &path, &query, &host}) rebase_view(*view, start, length, to);
  for (Field& field : fields) {
    rebase_view(field.name, start, length, to);
    rebase_view(field.value, start, length, to);
  }
}

void RequestHead::clear() noexcept {
  fields.clear();
  method = Method::get;
  version_minor = 1;
  form = Form::origin;
  target = path = query = host = {};
  chunked = has_length = expect_continue = upgrade = false;
  content_length = 0;
  keep_alive = true;
}

}  // namespace lastcall
