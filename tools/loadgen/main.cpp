#include <sys/signalfd.h>

#include <csignal>
#include <iostream>

#include <lastcall/core/fd.hpp>
#include <lastcall/core/rlimit.hpp>

#include "load.hpp"
#include "options.hpp"
#include "report.hpp"

int main(int argc, char** argv) {
  using namespace lastcall;
  auto parsed = load::parse_options(argc, argv);
  if (int* code = std::get_if<int>(&parsed)) return *code;
  const auto& options = std::get<load::LoadOptions>(parsed);

  constexpr uint64_t kOtherDescriptors = 64;
  if (uint64_t limit = raise_descriptor_limit();
      limit < options.clients() + options.threads + kOtherDescriptors) {
    std::cerr << "lastcall-load: --keep-alive and --fresh: " << options.clients()
              << " connections, and this process may have " << limit << " descriptors (ulimit -n)\n";
    return 2;
  }
  // Ctrl-C ends the load early, and what was seen until then is told.
  sigset_t ends;
  ::sigemptyset(&ends);
  ::sigaddset(&ends, SIGINT);
  ::sigaddset(&ends, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &ends, nullptr);
  Fd interrupt(::signalfd(-1, &ends, SFD_CLOEXEC));

  load::Summary summary = load::run_load(options, interrupt.get());
  std::cout << (options.json ? load::describe_json(options, summary) : load::describe(options, summary));
  if (!options.samples.empty() && !load::write_samples(options.samples, summary.tally)) {
    std::cerr << "lastcall-load: --samples: cannot write " << options.samples << "\n";
    return 2;
  }
  if (summary.tally.answers() == 0) std::cerr << "lastcall-load: nothing was answered\n";
  return load::exit_code(options, summary);
}
