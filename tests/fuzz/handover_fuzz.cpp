// What a process says that hands over: nothing of it is trusted.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include <lastcall/net/handover.hpp>

using namespace lastcall;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto hello = parse_handover_hello(text)) {
    if (hello->listeners > HandoverChannel::kMaxListeners + 1) std::abort();
  }
  if (const auto listener = parse_handover_listener(text)) {
    if (listener->sockets == 0 || listener->sockets > HandoverChannel::kMaxSockets) std::abort();
    const auto again = parse_handover_listener(to_json(*listener));  // but for bytes that are not UTF-8
    if (!again || again->sockets != listener->sockets || again->admin != listener->admin) std::abort();
  }
  constexpr uint32_t kOffered = 5;
  if (const auto taken = parse_taken(text, kOffered)) {
    if (taken->size() > kOffered) std::abort();
    for (const uint32_t one : *taken) {
      if (one >= kOffered) std::abort();
    }
  }
  return 0;
}
