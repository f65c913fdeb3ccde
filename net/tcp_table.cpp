#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>

#include <lastcall/core/fd.hpp>
#include <lastcall/net/socket.hpp>
#include <lastcall/net/tcp_table.hpp>

namespace lastcall {
namespace {

constexpr size_t kReadBytes = 16 * 1024;

Result<std::string> read_file(const char* path) {
  const Fd file(::open(path, O_RDONLY | O_CLOEXEC));
  if (!file) return system_error(std::string("open ") + path, errno);
  std::string text;
  char piece[kReadBytes];
  for (;;) {
    const ssize_t got = ::read(file.get(), piece, sizeof piece);
    if (got == 0) return text;
    if (got > 0) text.append(piece, static_cast<size_t>(got));
    if (got < 0 && errno != EINTR) return system_error(std::string("read ") + path, errno);
  }
}

std::string_view take(std::string_view& text, char end) {
  const size_t at = text.find(end);
  const std::string_view taken = text.substr(0, at);
  text.remove_prefix(at == std::string_view::npos ? text.size() : at + 1);
  return taken;
}

std::string_view take_word(std::string_view& line) {
  while (line.starts_with(' ')) line.remove_prefix(1);
  return take(line, ' ');
}

template <class T>
T number(std::string_view digits, int base) {
  T value = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  return value;
}

uint16_t port_of(std::string_view address) {
  return number<uint16_t>(address.substr(address.rfind(':') + 1), 16);
}

// "0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 12345 …"
void add_rows(std::string_view table, uint16_t local_port, std::vector<TcpRow>& rows) {
  take(table, '\n');  // the heading
  while (!table.empty()) {
    std::string_view line = take(table, '\n');
    take_word(line);
    if (port_of(take_word(line)) != local_port) continue;
    TcpRow row;
    row.remote_port = port_of(take_word(line));
    row.state = number<uint8_t>(take_word(line), 16);
    for (int skipped = 0; skipped < 5; ++skipped)
      take_word(line);  // queues, timer, retransmits, uid, timeout
    row.inode = number<uint64_t>(take_word(line), 10);
    rows.push_back(row);
  }
}

struct DiagRequest {
  nlmsghdr header{};
  inet_diag_req_v2 body{};
};

/// A socket for sock_diag(7), with the request sent.
Result<Fd> send_to_diag(DiagRequest& request, uint16_t flags) {
  request.header = {.nlmsg_len = sizeof request,
                    .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                    .nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags),
                    .nlmsg_seq = 1,
                    .nlmsg_pid = 0};
  request.body.sdiag_protocol = IPPROTO_TCP;
  Fd diag(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  constexpr timeval kPatience{.tv_sec = 0, .tv_usec = 50'000};  // whoever asks has a limit of its own
  ::setsockopt(diag.get(), SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof kPatience);
  if (::send(diag.get(), &request, sizeof request, 0) < 0) return system_error("sock_diag", errno);
  return diag;
}

/// Calls `on_row` with each socket of the answer's next message; true at the end of the dump.
template <class F>
Result<bool> receive_from_diag(int diag, F&& on_row) {
  alignas(nlmsghdr) char answer[kReadBytes];
  const ssize_t got = TEMP_FAILURE_RETRY(::recv(diag, answer, sizeof answer, 0));
  if (got < 0) return system_error("sock_diag", errno);
  auto left = static_cast<uint32_t>(got);
  if (left < sizeof(nlmsghdr)) return system_error("sock_diag", EPROTO);
  for (const auto* header = reinterpret_cast<const nlmsghdr*>(answer); NLMSG_OK(header, left);
       header = NLMSG_NEXT(header, left)) {
    if (header->nlmsg_type == NLMSG_DONE) return true;
    if (header->nlmsg_type != SOCK_DIAG_BY_FAMILY) return system_error("sock_diag", EOPNOTSUPP);
    on_row(*static_cast<const inet_diag_msg*>(NLMSG_DATA(header)));
  }
  if (left != 0) return system_error("sock_diag", EPROTO);  // cut off
  return false;
}

/// Calls `on_row` with each socket of `family` that is in a handshake.
template <class F>
Result<void> ask_diag(uint8_t family, F&& on_row) {
  DiagRequest request;
  request.body.sdiag_family = family;
  request.body.idiag_states = 1u << TcpRow::syn_received;
  const Result<Fd> diag = send_to_diag(request, NLM_F_DUMP);
  if (!diag) return std::unexpected(diag.error());
  for (;;) {
    const Result<bool> over = receive_from_diag(diag->get(), on_row);
    if (!over) return std::unexpected(over.error());
    if (*over) return {};
  }
}

/// Is a socket of `family` in a handshake on one of the ports?
Result<bool> is_in_handshake(uint8_t family, std::span<const uint16_t> ports) {
  bool found = false;
  const Result<void> asked = ask_diag(family, [&](const inet_diag_msg& row) {
    found = found || std::ranges::find(ports, ntohs(row.id.idiag_sport)) != ports.end();
  });
  if (!asked) return std::unexpected(asked.error());
  return found;
}

/// An address as sock_diag has it; its family.
int to_diag(const SocketAddress& address, __be32 (&out)[4], __be16& port) {
  port = htons(address.port());
  if (address.storage.ss_family == AF_INET) {
    out[0] = reinterpret_cast<const sockaddr_in&>(address.storage).sin_addr.s_addr;
  } else {
    std::memcpy(out, &reinterpret_cast<const sockaddr_in6&>(address.storage).sin6_addr, sizeof out);
  }
  return address.storage.ss_family;
}

}  // namespace

Result<std::vector<TcpRow>> read_tcp_table(uint16_t local_port) {
  std::vector<TcpRow> rows;
  const Result<std::string> ipv4 = read_file("/proc/net/tcp");
  if (!ipv4) return std::unexpected(ipv4.error());
  add_rows(*ipv4, local_port, rows);
  if (const Result<std::string> ipv6 = read_file("/proc/net/tcp6")) add_rows(*ipv6, local_port, rows);
  return rows;
}

Result<bool> handshakes_under_way(std::span<const uint16_t> ports, bool ipv6) {
  Result<bool> found = is_in_handshake(AF_INET, ports);
  if (found && !*found && ipv6) found = is_in_handshake(AF_INET6, ports);
  if (found) return found;
  for (const uint16_t port : ports) {
    const Result<std::vector<TcpRow>> rows = read_tcp_table(port);
    if (!rows) return std::unexpected(rows.error());
    for (const TcpRow& row : *rows) {
      if (row.state == TcpRow::syn_received) return true;
    }
  }
  return false;
}

Result<std::vector<uint16_t>> clients_in_handshake(uint16_t port) {
  std::vector<uint16_t> clients;
  const auto add = [&](const inet_diag_msg& row) {
    if (ntohs(row.id.idiag_sport) == port) clients.push_back(ntohs(row.id.idiag_dport));
  };
  Result<void> asked = ask_diag(AF_INET, add);
  if (asked) asked = ask_diag(AF_INET6, add);
  if (!asked) {
    const Result<std::vector<TcpRow>> rows = read_tcp_table(port);
    if (!rows) return std::unexpected(rows.error());
    clients.clear();
    for (const TcpRow& row : *rows) {
      if (row.state == TcpRow::syn_received) clients.push_back(row.remote_port);
    }
  }
  std::ranges::sort(clients);
  return clients;
}

Result<uint8_t> state_of_other_end(int connection) {
  const Result<SocketAddress> ours = local_address(connection);
  if (!ours) return std::unexpected(ours.error());
  SocketAddress theirs;
  theirs.length = sizeof theirs.storage;
  if (::getpeername(connection, reinterpret_cast<sockaddr*>(&theirs.storage), &theirs.length) != 0)
    return system_error("getpeername", errno);
  DiagRequest request;
  inet_diag_sockid& id = request.body.id;
  request.body.sdiag_family = static_cast<uint8_t>(to_diag(theirs, id.idiag_src, id.idiag_sport));
  to_diag(*ours, id.idiag_dst, id.idiag_dport);
  id.idiag_cookie[0] = id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
  const Result<Fd> diag = send_to_diag(request, 0);
  if (!diag) return std::unexpected(diag.error());
  uint8_t state = 0;
  const Result<bool> answered =
      receive_from_diag(diag->get(), [&state](const inet_diag_msg& row) { state = row.idiag_state; });
  if (!answered) return std::unexpected(answered.error());
  return state;
}

Result<uint32_t> accept_queue_length(int listener) {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (::getsockopt(listener, IPPROTO_TCP, TCP_INFO, &info, &size) != 0)
    return system_error("get TCP_INFO", errno);
  return info.tcpi_unacked;
}

uint64_t syn_cookies_sent() {
  std::ifstream setting("/proc/sys/net/ipv4/tcp_syncookies");
  if (int value = 0; setting >> value && value == 2) return UINT64_MAX;
  std::ifstream file("/proc/net/netstat");
  std::string names;
  std::string values;
  while (std::getline(file, names) && std::getline(file, values)) {  // a line of names, a line of values
    std::istringstream name_words(names);
    std::istringstream value_words(values);
    std::string name;
    std::string value;
    while (name_words >> name && value_words >> value) {
      if (name == "SyncookiesSent") return number<uint64_t>(value, 10);
    }
  }
  return UINT64_MAX;
}

}  // namespace lastcall
