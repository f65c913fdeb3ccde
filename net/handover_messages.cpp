#include <nlohmann/json.hpp>

#include <optional>

#include <lastcall/net/handover.hpp>

namespace lastcall {
namespace {

using Json = nlohmann::json;

std::unexpected<Error> malformed(const char* what) {
  return std::unexpected(Error{std::string("hand-over: malformed ") + what, EPROTO});
}

std::string text_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// A whole number up to `most`, or nothing.
std::optional<uint32_t> number_in(const Json& object, const char* name, uint64_t most) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_number_unsigned()) return std::nullopt;
  const auto value = found->get<uint64_t>();
  if (value > most) return std::nullopt;
  return static_cast<uint32_t>(value);
}

std::optional<std::string> text_in(const Json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_string()) return std::nullopt;
  return found->get<std::string>();
}

Json parse(std::string_view json) {
  return Json::parse(json, nullptr, false);
}

}  // namespace

std::string to_json(const HandoverHello& hello) {
  return text_of({{"version", hello.version}, {"lastcall", hello.lastcall}, {"listeners", hello.listeners}});
}

Result<HandoverHello> parse_handover_hello(std::string_view json) {
  const Json object = parse(json);
  if (!object.is_object()) return malformed("hello");
  const auto version = number_in(object, "version", INT32_MAX);
  if (!version) return malformed("hello");
  // Of another version nothing else is known.
  HandoverHello hello{.version = static_cast<int>(*version), .lastcall = {}, .listeners = 0};
  if (hello.version != HandoverChannel::kVersion) return hello;
  const auto lastcall = text_in(object, "lastcall");
  const auto listeners = number_in(object, "listeners", HandoverChannel::kMaxListeners + 1);
  if (!lastcall || !listeners) return malformed("hello");
  hello.lastcall = *lastcall;
  hello.listeners = *listeners;
  return hello;
}

std::string to_json(const HandoverListener& listener) {
  return text_of({{"address", listener.address},
                  {"admin", listener.admin},
                  {"tier", listener.tier},
                  {"note", listener.gate_note},
                  {"sockets", listener.sockets}});
}

Result<HandoverListener> parse_handover_listener(std::string_view json) {
  const Json object = parse(json);
  if (!object.is_object()) return malformed("listener");
  auto address = text_in(object, "address");
  auto tier = text_in(object, "tier");
  auto note = text_in(object, "note");
  const auto sockets = number_in(object, "sockets", HandoverChannel::kMaxSockets);
  const auto admin = object.find("admin");
  if (!address || !tier || !note || !sockets || *sockets == 0 || admin == object.end() ||
      !admin->is_boolean())
    return malformed("listener");
  return HandoverListener{.address = std::move(*address),
                          .admin = admin->get<bool>(),
                          .tier = std::move(*tier),
                          .gate_note = std::move(*note),
                          .sockets = *sockets};
}

std::string taken_to_json(std::span<const uint32_t> taken) {
  Json array = Json::array();
  for (const uint32_t one : taken) array.push_back(one);
  return text_of({{"taken", array}});
}

Result<std::vector<uint32_t>> parse_taken(std::string_view json, uint32_t offered) {
  const Json object = parse(json);
  if (!object.is_object()) return malformed("ready");
  const auto found = object.find("taken");
  if (found == object.end() || !found->is_array() || found->size() > offered) return malformed("ready");
  std::vector<uint32_t> taken;
  for (const Json& one : *found) {
    if (!one.is_number_unsigned() || one.get<uint64_t>() >= offered) return malformed("ready");
    taken.push_back(one.get<uint32_t>());
  }
  return taken;
}

}  // namespace lastcall
