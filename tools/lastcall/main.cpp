#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <iostream>

#include "demo.hpp"
#include "options.hpp"
#include "reload.hpp"
#include "version.hpp"

namespace {

/// A standard stream that was closed would become the first socket, and the log would go there.
void open_standard_streams() {
  int fd = 0;
  do fd = ::open("/dev/null", O_RDWR);
  while (fd >= 0 && fd <= STDERR_FILENO);
  if (fd >= 0) ::close(fd);
}

/// They would end a process that is not there yet to take them; so they wait until it is.
void hold_early_signals() {
  sigset_t early;
  ::sigemptyset(&early);
  for (const int number : {SIGHUP, SIGUSR1, SIGUSR2}) ::sigaddset(&early, number);
  ::pthread_sigmask(SIG_BLOCK, &early, nullptr);
}

}  // namespace

int main(int argc, char** argv) {
  using namespace lastcall;
  hold_early_signals();
  open_standard_streams();
  auto parsed = tool::parse_options(argc, argv);
  if (int* exit_code = std::get_if<int>(&parsed)) return *exit_code;
  auto& options = std::get<tool::Options>(parsed);
  if (options.version) {
    std::cout << tool::describe_version(options.json) << "\n";
    return 0;
  }
  if (options.admin_command.kind != tool::AdminCommand::Kind::none)
    return tool::run_admin_command(options.admin_command, options.server.admin);
  log_configure(options.log_format, options.log_level);
  Server server(options.server);
  tool::add_demo_routes(server, options.allow_remote_shutdown);
  tool::reload_with_hup(server, options, [argc, argv] { return tool::read_options_again(argc, argv); });
  return server.run();
}
