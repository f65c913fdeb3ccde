// Messages of a WebSocket: a client's frames, which are masked, into messages, and ours into frames.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <string>
#include <string_view>

#include <lastcall/http/utf8.hpp>
#include <lastcall/http/websocket_codec.hpp>

#include "bench/rate.hpp"

namespace {

using namespace lastcall;

/// One whole text frame, masked as a client's (RFC 6455 5.2).
std::string client_frame(const std::string& payload) {
  constexpr std::string_view kMask = "\x37\xfa\x21\x3d";
  std::string frame = "\x81";
  const size_t size = payload.size();
  if (size < 126) {
    frame += static_cast<char>(0x80 | size);
  } else {
    frame += static_cast<char>(0x80 | 126);
    frame += static_cast<char>(size >> 8);
    frame += static_cast<char>(size & 255);
  }
  frame += kMask;
  for (size_t i = 0; i < size; ++i) frame += static_cast<char>(payload[i] ^ kMask[i % 4]);
  return frame;
}

void read(benchmark::State& state) {
  const std::string message(static_cast<size_t>(state.range(0)), 'x');
  const std::string frame = client_frame(message);
  WebSocketCodec codec(1 << 20);
  for (auto _ : state) {
    codec.feed(frame);
    const auto event = codec.next();
    if (!event || event->payload.size() != message.size()) return state.SkipWithError("no message");
    if (codec.next()) return state.SkipWithError("more than one");
  }
  bench::set_rate(state, 1, static_cast<size_t>(state.range(0)));
}
BENCHMARK(read)->Arg(16)->Arg(1000)->Arg(60'000);

void write(benchmark::State& state) {
  const std::string message(static_cast<size_t>(state.range(0)), 'x');
  WebSocketCodec codec(1 << 20);
  std::string out;
  for (auto _ : state) {
    out.clear();
    codec.write(WebSocketCodec::Opcode::text, message, out);
    benchmark::DoNotOptimize(out.data());
  }
  if (out.size() < message.size()) return state.SkipWithError("nothing written");
  bench::set_rate(state, 1, static_cast<size_t>(state.range(0)));
}
BENCHMARK(write)->Arg(16)->Arg(1000)->Arg(60'000);

void utf8(benchmark::State& state, std::string_view letter) {
  std::string text;
  while (text.size() < 1000) text += letter;
  for (auto _ : state) {
    if (!is_utf8(text)) return state.SkipWithError("not UTF-8");
  }
  bench::set_rate(state, 1, text.size());
}
BENCHMARK_CAPTURE(utf8, ascii, "a");
BENCHMARK_CAPTURE(utf8, three_bytes, "\xe2\x82\xac");

}  // namespace

BENCHMARK_MAIN();
