#include <linux/filter.h>
#include <sys/socket.h>

#include <cerrno>
#include <vector>

#include <lastcall/net/socket.hpp>
#include <lastcall/net/steering.hpp>

namespace lastcall {
namespace {

using Program = std::vector<sock_filter>;

// Where things are, from the start of the network header (RFC 791, RFC 8200) and of the TCP header (RFC
// 9293).
constexpr uint32_t kNetwork = static_cast<uint32_t>(SKF_NET_OFF);
constexpr uint32_t kIpv4Source = kNetwork + 12;
constexpr uint32_t kIpv6Next = kNetwork + 6;
constexpr uint32_t kIpv6SourceEnd = kNetwork + 20;  // the last four bytes of the address
constexpr uint32_t kIpv6Header = 40;
constexpr uint32_t kTcpFlags = 13;
constexpr uint32_t kSynAck = 0x12;
constexpr uint32_t kSyn = 0x02;
constexpr uint32_t kTcp = 6;
constexpr uint32_t kWholePacket = UINT32_MAX;

sock_filter statement(int code, uint32_t k = 0) {
  return {.code = static_cast<uint16_t>(code), .jt = 0, .jf = 0, .k = k};
}

/// Goes on with the next instruction if A == k, else past `skipped` of them.
sock_filter only_if(uint32_t k, size_t skipped) {
  return {.code = BPF_JMP | BPF_JEQ | BPF_K, .jt = 0, .jf = static_cast<uint8_t>(skipped), .k = k};
}

void append(Program& program, const Program& more) {
  program.insert(program.end(), more.begin(), more.end());
}

/// Returns first + i on CPU cpus[i].
Program by_cpu(std::span<const uint32_t> cpus, uint32_t first) {
  Program program{statement(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(SKF_AD_OFF + SKF_AD_CPU))};
  for (uint32_t i = 0; i < cpus.size(); ++i) {
    program.push_back(only_if(cpus[i], 1));
    program.push_back(statement(BPF_RET | BPF_K, first + i));
  }
  return program;
}

/// A: the client's port, M[0]: its address. The kernel's own hash is not used: without help of the network
/// card it is zero for everybody.
Program by_hash(uint32_t reactors, uint32_t first) {
  return {
      statement(BPF_ALU | BPF_MUL | BPF_K, 0x9e3779b1),  // 2^32 / golden ratio
      statement(BPF_MISC | BPF_TAX),
      statement(BPF_LD | BPF_MEM, 0),
      statement(BPF_ALU | BPF_XOR | BPF_X),
      statement(BPF_ALU | BPF_MUL | BPF_K, 0x85ebca6b),
      statement(BPF_ALU | BPF_RSH | BPF_K, 16),
      statement(BPF_ALU | BPF_MOD | BPF_K, reactors),
      statement(BPF_ALU | BPF_ADD | BPF_K, first),
      statement(BPF_RET | BPF_A),
  };
}

/// A: the flags of a TCP header. Returns 0 for a SYN without ACK.
Program syn_aside() {
  return {
      statement(BPF_ALU | BPF_AND | BPF_K, kSynAck),
      only_if(kSyn, 1),
      statement(BPF_RET | BPF_K, 0),
  };
}

/// A: the client's port. Returns 0 for `port`.
Program port_aside(uint16_t port) {
  return {
      only_if(port, 1),
      statement(BPF_RET | BPF_K, 0),
  };
}

/// Who goes to member 0.
struct Aside {
  bool syns = false;
  uint16_t client_port = 0;  // 0: no such one
};

Program steering(uint32_t reactors, std::span<const uint32_t> cpus, uint32_t first, Aside aside = {}) {
  Program spread = cpus.empty() ? Program() : by_cpu(cpus, first);
  Program ipv4{statement(BPF_LDX | BPF_B | BPF_MSH, kNetwork)};  // X: length of the header
  if (aside.syns) {
    ipv4.push_back(statement(BPF_LD | BPF_B | BPF_IND, kNetwork + kTcpFlags));
    append(ipv4, syn_aside());
  }
  if (aside.client_port != 0) {
    ipv4.push_back(statement(BPF_LD | BPF_H | BPF_IND, kNetwork));
    append(ipv4, port_aside(aside.client_port));
  }
  append(ipv4, spread);
  ipv4.push_back(statement(BPF_LD | BPF_W | BPF_ABS, kIpv4Source));
  ipv4.push_back(statement(BPF_ST, 0));
  ipv4.push_back(statement(BPF_LD | BPF_H | BPF_IND, kNetwork));
  append(ipv4, by_hash(reactors, first));

  Program ipv6;
  if (aside.client_port != 0) {
    ipv6.push_back(statement(BPF_LD | BPF_H | BPF_ABS, kNetwork + kIpv6Header));
    append(ipv6, port_aside(aside.client_port));
  }
  if (aside.syns) {
    Program look{statement(BPF_LD | BPF_B | BPF_ABS, kNetwork + kIpv6Header + kTcpFlags)};
    append(look, syn_aside());
    ipv6.push_back(statement(BPF_LD | BPF_B | BPF_ABS, kIpv6Next));
    ipv6.push_back(only_if(kTcp, look.size()));  // extension headers: unusual enough to be served
    append(ipv6, look);
  }
  append(ipv6, spread);
  ipv6.push_back(statement(BPF_LD | BPF_W | BPF_ABS, kIpv6SourceEnd));
  ipv6.push_back(statement(BPF_ST, 0));
  ipv6.push_back(statement(BPF_LD | BPF_H | BPF_ABS, kNetwork + kIpv6Header));
  append(ipv6, by_hash(reactors, first));

  // A dual-stack listener sees both. The way past IPv4 is an unconditional jump, whose reach is not 255.
  Program program{
      statement(BPF_LD | BPF_B | BPF_ABS, kNetwork),
      statement(BPF_ALU | BPF_AND | BPF_K, 0xf0),
      {.code = BPF_JMP | BPF_JEQ | BPF_K, .jt = 1, .jf = 0, .k = 0x40},
      statement(BPF_JMP | BPF_JA, static_cast<uint32_t>(ipv4.size())),
  };
  append(program, ipv4);
  append(program, ipv6);
  return program;
}

Result<void> attach(int fd, int option, const char* name, Program& program) {
  const sock_fprog given{.len = static_cast<uint16_t>(program.size()), .filter = program.data()};
  if (::setsockopt(fd, SOL_SOCKET, option, &given, sizeof given) == 0) return {};
  return system_error(std::string("set ") + name, errno);
}

Result<void> steer(int fd, Program program) {
  if (program.size() > BPF_MAXINSNS)
    return error("set SO_ATTACH_REUSEPORT_CBPF: too many CPUs for one program");
  return attach(fd, SO_ATTACH_REUSEPORT_CBPF, "SO_ATTACH_REUSEPORT_CBPF", program);
}

}  // namespace

Result<void> steer_to_reactors(int fd, uint32_t reactors, std::span<const uint32_t> cpus, uint32_t first) {
  return steer(fd, steering(reactors, cpus, first));
}

Result<void> steer_syns_aside(int fd, uint32_t reactors, std::span<const uint32_t> cpus) {
  return steer(fd, steering(reactors, cpus, 1, {.syns = true}));
}

Result<void> steer_port_aside(int fd, uint32_t reactors, std::span<const uint32_t> cpus,
                              uint16_t client_port) {
  return steer(fd, steering(reactors, cpus, 1, {.client_port = client_port}));
}

Result<void> drop_syns(int fd) {
  // The packet begins with the TCP header here.
  Program program{statement(BPF_LD | BPF_B | BPF_ABS, kTcpFlags)};
  append(program, syn_aside());
  program.push_back(statement(BPF_RET | BPF_K, kWholePacket));
  return attach(fd, SO_ATTACH_FILTER, "SO_ATTACH_FILTER", program);
}

Result<void> can_drop_syns() {
  Result<Fd> socket = make_stream_socket(AF_INET);
  if (!socket) return std::unexpected(socket.error());
  return drop_syns(socket->get());
}

}  // namespace lastcall
