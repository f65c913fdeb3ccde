// lastcall-sim --seeds A..B [--trace] [--bug NAME] [--keep-going]: simulated stops, one a seed. Ends with 1
// at the first that breaks a promise; --keep-going names them all, a line each.

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "tests/sim/simulation.hpp"

namespace lastcall::test {
namespace {

struct Options {
  uint64_t first = 1, last = 2000;
  bool trace = false;
  bool keep_going = false;
  Bug bug = Bug::none;
};

[[noreturn]] void usage() {
  std::fprintf(stderr, "usage: tools/sim --seeds A..B [--trace] [--bug NAME] [--keep-going]\nbugs:");
  for (uint8_t i = 1; i < static_cast<uint8_t>(Bug::kCount); ++i) {
    std::fprintf(stderr, " %s", std::string(to_string(static_cast<Bug>(i))).c_str());
  }
  std::fprintf(stderr, "\n");
  std::exit(2);
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    std::string word = argv[i];
    if (word == "--trace") {
      options.trace = true;
    } else if (word == "--keep-going") {
      options.keep_going = true;
    } else if (word == "--seeds" && i + 1 < argc) {
      char* end = nullptr;
      options.first = options.last = std::strtoull(argv[++i], &end, 10);
      if (std::strncmp(end, "..", 2) == 0) options.last = std::strtoull(end + 2, &end, 10);
      if (*end != '\0' || options.last < options.first) usage();
    } else if (word == "--bug" && i + 1 < argc) {
      auto bug = parse_bug(argv[++i]);
      if (!bug) usage();
      options.bug = *bug;
    } else {
      usage();
    }
  }
  return options;
}

int run(const Options& options) {
  using Clock = std::chrono::steady_clock;
  auto began = Clock::now();
  Tally tally{};
  uint64_t lines = 0, failed = 0;
  for (uint64_t seed = options.first; seed <= options.last; ++seed) {
    auto print = [](std::string_view line) {
      std::printf("%.*s\n", static_cast<int>(line.size()), line.data());
    };
    SimulationResult result =
        options.trace ? simulate(seed, options.bug, print) : simulate(seed, options.bug);
    if (!result.ok && options.keep_going) {
      ++failed;
      std::printf("seed %llu: %s: %s\n", 1ull * seed, result.invariant.c_str(), result.detail.c_str());
    } else if (!result.ok) {
      if (options.trace) result.trace.clear();
      std::printf("%s", explain(seed, options.bug, result).c_str());
      return 1;
    }
    lines += result.trace_lines;
    for (size_t i = 0; i < tally.size(); ++i) tally[i] += result.tally[i];
  }
  double seconds = std::chrono::duration<double>(Clock::now() - began).count();
  for (size_t i = 0; i < tally.size(); ++i) {
    std::printf("%-24s %llu\n", std::string(to_string(static_cast<Seen>(i))).c_str(), 1ull * tally[i]);
  }
  std::printf("seeds %llu..%llu: %llu broke a promise; %llu lines of trace, %.1f s\n", 1ull * options.first,
              1ull * options.last, 1ull * failed, 1ull * lines, seconds);
  return failed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace lastcall::test

int main(int argc, char** argv) {
  return lastcall::test::run(lastcall::test::parse(argc, argv));
}
