#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <vector>

#include <lastcall/net/listener.hpp>
#include <lastcall/net/tcp_table.hpp>

namespace lastcall {
namespace {

namespace fs = std::filesystem;

bool holds_any(const fs::path& process, const std::vector<std::string>& sockets) {
  std::error_code failed;
  for (fs::directory_iterator entry(process / "fd", failed), end; !failed && entry != end;
       entry.increment(failed)) {
    std::error_code gone;
    auto target = fs::read_symlink(entry->path(), gone);
    if (!gone && std::ranges::find(sockets, target.native()) != sockets.end()) return true;
  }
  return false;
}

}  // namespace

std::string describe_process(int pid) {
  std::string name;
  std::ifstream comm("/proc/" + std::to_string(pid) + "/comm");
  std::getline(comm, name);
  return "pid " + std::to_string(pid) + (name.empty() ? "" : " (" + name + ")");
}

std::string find_port_holder(uint16_t port) {
  std::vector<std::string> sockets;
  for (const TcpRow& row : read_tcp_table(port).value_or(std::vector<TcpRow>())) {
    if (row.state == TcpRow::listening) sockets.push_back("socket:[" + std::to_string(row.inode) + "]");
  }
  if (sockets.empty()) return {};
  std::error_code failed;
  for (fs::directory_iterator entry("/proc", failed), end; !failed && entry != end; entry.increment(failed)) {
    std::string name = entry->path().filename();
    int pid = 0;
    auto [stop, wrong] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (wrong != std::errc() || stop != name.data() + name.size()) continue;
    if (holds_any(entry->path(), sockets)) return describe_process(pid);
  }
  return {};
}

}  // namespace lastcall
