#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <lastcall/core/error.hpp>

namespace lastcall {

/// A row of /proc/net/tcp or tcp6 (proc(5)).
struct TcpRow {
  enum State : uint8_t {
    established = 1,
    syn_received = 3,
    close_wait = 8,
    listening = 10
  };  // of the kernel's

  uint16_t remote_port = 0;
  uint8_t state = 0;
  uint64_t inode = 0;  ///< 0: no descriptor yet, as in an accept queue, or none any more

  /// Shaking hands with a listener, or waiting in its queue.
  [[nodiscard]] bool waits_for_accept() const noexcept {
    return inode == 0 && (state == established || state == syn_received || state == close_wait);
  }
};

/// The rows of this network namespace with that local port, IPv4 and IPv6. Not a snapshot: what changes while
/// it is read may be missed or seen twice. Takes milliseconds where there are many connections. An error when
/// there is no /proc.
[[nodiscard]] Result<std::vector<TcpRow>> read_tcp_table(uint16_t local_port);

/// Whether somebody is shaking hands with a listener on one of the ports: has sent a SYN, and not yet the ACK
/// that puts the connection into the queue. By sock_diag(7), which takes a fraction of a millisecond
/// on a quiet machine, some with 100,000 connections in TIME_WAIT, or from /proc/net/tcp{,6}. An error when
/// neither works. `ipv6`: whether some of the listeners take IPv6 too; else half the work.
[[nodiscard]] Result<bool> handshakes_under_way(std::span<const uint16_t> ports, bool ipv6 = true);

/// Where those come from who shake hands on the port: the clients' ports, sorted.
[[nodiscard]] Result<std::vector<uint16_t>> clients_in_handshake(uint16_t port);

/// The state (TcpRow::State) of the other end of `connection`, a TCP connection of this machine to itself:
/// `listening` when it has no socket of its own yet. By sock_diag(7), in a few microseconds; an error where
/// that is forbidden.
[[nodiscard]] Result<uint8_t> state_of_other_end(int connection);

/// How many connections are in the accept queue of a TCP listener.
[[nodiscard]] Result<uint32_t> accept_queue_length(int listener);

/// How many SYN cookies this network namespace has ever sent, UINT64_MAX when it sends nothing else or nobody
/// can tell. A handshake by cookie is in no table.
[[nodiscard]] uint64_t syn_cookies_sent();

}  // namespace lastcall
