// From the 64 bits that the kernel gives back to the object that they name, and the objects' coming and
// going.
#include <benchmark/benchmark.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include <lastcall/core/pending_sends.hpp>
#include <lastcall/core/slot_table.hpp>
#include <lastcall/core/token.hpp>

#include "bench/rate.hpp"

namespace {

using namespace lastcall;

/// As big as a connection about is.
struct Slot {
  explicit Slot(Token own) : token_(own) {}
  [[nodiscard]] Token token() const noexcept { return token_; }
  Token token_;
  std::array<char, 400> rest{};
};

void pack_and_unpack(benchmark::State& state) {
  Token token{.slot = 300, .generation = 7, .kind = 3};
  for (auto _ : state) {
    uint64_t bits = pack(with_op(token, Op::recv));
    benchmark::DoNotOptimize(bits);
    Token back = unpack(bits);
    benchmark::DoNotOptimize(back);
  }
  bench::set_rate(state, 1);
}
BENCHMARK(pack_and_unpack);

/// Events of 64 connections among that many, in no order.
void find(benchmark::State& state) {
  const auto open = static_cast<uint32_t>(state.range(0));
  SlotTable<Slot> table(open, 258);
  std::vector<Token> tokens;
  for (uint32_t i = 0; i < open; ++i) tokens.push_back(table.acquire(3)->token());
  std::mt19937 random(1);
  std::array<Token, 64> events;
  for (Token& event : events) event = tokens[random() % open];
  for (auto _ : state) {
    for (Token event : events) benchmark::DoNotOptimize(table.find(event));
  }
  bench::set_rate(state, events.size());
}
BENCHMARK(find)->Arg(64)->Arg(10'000);

void acquire_and_release(benchmark::State& state) {
  SlotTable<Slot> table(1000);
  for (auto _ : state) {
    Slot* slot = table.acquire(3);
    benchmark::DoNotOptimize(slot);
    table.release(*slot);
  }
  bench::set_rate(state, 1);
}
BENCHMARK(acquire_and_release);

/// What a backend keeps of a send that did not end at once.
void pending_send(benchmark::State& state) {
  PendingSends sends;
  char answer[150] = {};
  const iovec segment{.iov_base = answer, .iov_len = sizeof answer};
  for (auto _ : state) {
    const uint32_t index = sends.take({.slot = 300, .generation = 1}, {&segment, 1});
    sends[index].advance(sizeof answer);
    if (!sends[index].done()) return state.SkipWithError("not done");
    sends.give(index);
  }
  bench::set_rate(state, 1);
}
BENCHMARK(pending_send);

}  // namespace

BENCHMARK_MAIN();
