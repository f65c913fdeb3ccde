#include <iostream>

#include "demo.hpp"
#include "options.hpp"
#include "version.hpp"

int main(int argc, char** argv) {
  using namespace lastcall;
  auto parsed = tool::parse_options(argc, argv);
  if (int* exit_code = std::get_if<int>(&parsed)) return *exit_code;
  auto& options = std::get<tool::Options>(parsed);
  if (options.version) {
    std::cout << tool::describe_version(options.json) << "\n";
    return 0;
  }
  log_configure(options.log_format, options.log_level);
  Server server(std::move(options.server));
  tool::add_demo_routes(server);
  return server.run();
}
