#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

#include <lastcall/net/listener.hpp>

namespace lastcall {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kListenState = "0A";  // TCP_LISTEN in include/net/tcp_states.h

/// Adds "socket:[INODE]" of each listener on `port` in a table like /proc/net/tcp (proc(5)).
void collect_listeners(const char* table, uint16_t port, std::vector<std::string>& sockets) {
  std::ifstream file(table);
  std::string line;
  std::getline(file, line);  // the heading
  while (std::getline(file, line)) {
    std::istringstream fields(line);
    std::string slot, local, remote, state, queues, timer, retransmits, uid, timeout, inode;
    fields >> slot >> local >> remote >> state >> queues >> timer >> retransmits >> uid >> timeout >> inode;
    if (state != kListenState) continue;
    std::string digits = local.substr(local.rfind(':') + 1);
    if (std::strtoul(digits.c_str(), nullptr, 16) == port) sockets.push_back("socket:[" + inode + "]");
  }
}

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
  collect_listeners("/proc/net/tcp", port, sockets);
  collect_listeners("/proc/net/tcp6", port, sockets);
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
