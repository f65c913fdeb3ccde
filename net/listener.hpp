#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lastcall/core/error.hpp>
#include <lastcall/core/fd.hpp>
#include <lastcall/net/address.hpp>
#include <lastcall/net/gate_tier.hpp>
#include <lastcall/net/parking.hpp>
#include <lastcall/net/socket.hpp>

namespace lastcall {

/// The file of a Unix socket that this process made. Removed in the end if it is still the same file.
class SocketFile {
 public:
  SocketFile() = default;
  /// Remembers the file that is at `path` now.
  explicit SocketFile(std::string path);
  SocketFile(SocketFile&& other) noexcept { swap(other); }
  SocketFile& operator=(SocketFile&& other) noexcept {
    SocketFile taken(std::move(other));
    swap(taken);
    return *this;
  }
  ~SocketFile();

  void forget() noexcept { path_.clear(); }  ///< it is somebody else's now

  void swap(SocketFile& other) noexcept {
    path_.swap(other.path_);
    std::swap(device_, other.device_);
    std::swap(inode_, other.inode_);
  }

 private:
  std::string path_;  // empty: none
  uint64_t device_ = 0;
  uint64_t inode_ = 0;
};

/// What a group is made of, for another process to go on with. D: Fd, or int for descriptors that stay ours.
template <class D>
struct ListenerParts {
  std::vector<D> sockets;  ///< in their order in the SO_REUSEPORT group
  D parking{};             ///< of the parking tier: the listener …
  D filler{};              ///< … and who fills its queue
  GateTier tier = GateTier::plain;
  std::string gate_note{};
};

struct GateOptions {
  std::optional<GateTier> tier{};  ///< for TCP: this one or an error; none: the best that works here
  std::vector<uint32_t>
      cpus{};  ///< of each reactor: a connection goes to the one of the CPU it arrives on; or empty
};

/// The listening sockets of one address, one a reactor: close-on-exec, blocking (a backend sets what it
/// needs).
///
/// TCP: SO_REUSEPORT sockets of their own, with TCP_NODELAY for those they accept. The first one (the parking
/// listener where that works) binds and listens exclusively, and only then is the port shared with its
/// siblings, so that a second server that does not know of this one cannot join the port unnoticed; when the
/// port is taken the error names the holder: "listen 127.0.0.1:8080: Address already in use: held by pid 771
/// (nginx)". Port 0 picks one for all. A dual-stack address is IPv4 only on a system without IPv6. Unix
/// sockets and inherited descriptors: one queue, shared by duplicates. A stale socket file is replaced; a
/// living one, or a file that is no socket, is an error. The file is removed with the group if it is still
/// ours. An inherited descriptor must be a listening stream socket; open() takes it over: it is closed, its
/// duplicates are the caller's.
class ListenerGroup {
 public:
  /// `backlog`: as for listen(2), one queue each.
  [[nodiscard]] static Result<ListenerGroup> open(const Address& address, uint32_t reactors, int backlog,
                                                  const GateOptions& gate = {});

  /// Goes on with the sockets of another process that listens on this address. It may have had more reactors,
  /// then some have several sockets, or fewer, then some share one: nothing changes for the kernel, so nobody
  /// who is in a queue or in a handshake is lost. An error names the address.
  [[nodiscard]] static Result<ListenerGroup> inherit(const Address& address, ListenerParts<Fd> parts,
                                                     uint32_t reactors, const GateOptions& gate = {});

  /// Gives reactor i its sockets, usually one; the caller closes them.
  [[nodiscard]] std::vector<Fd> take(uint32_t reactor) { return std::move(dealt_[reactor]); }
  /// What it was made of. The descriptors are those that take() gave away or will, so they are good until one
  /// of the reactors closes its listener.
  [[nodiscard]] ListenerParts<int> parts() const;
  /// Another process has them all: nothing of it is led aside, shut down or removed here any more.
  void hand_over() noexcept;
  [[nodiscard]] const std::string& text() const noexcept { return text_; }  ///< with the port in use
  [[nodiscard]] uint16_t port() const noexcept { return port_; }            ///< 0 for Unix sockets
  [[nodiscard]] bool takes_ipv6() const noexcept { return ipv6_; }
  [[nodiscard]] bool shared() const noexcept { return shared_; }  ///< one queue for all reactors

  /// Connections that came before the listeners were complete: to be served.
  [[nodiscard]] std::vector<Fd> take_strays() { return parking_.take_strays(); }
  [[nodiscard]] GateTier tier() const noexcept { return tier_; }
  [[nodiscard]] const std::string& gate_note() const noexcept {
    return gate_note_;
  }  ///< why no better tier, or empty
  /// No new connection from here on, as far as the tier goes. Handshakes under way still end, in the queues.
  [[nodiscard]] Result<void> close_gate();
  /// Newcomers wait, they are not refused: to be ended soon by closing the listeners and let_go().
  [[nodiscard]] bool holds_newcomers() const noexcept {
    return tier_ == GateTier::parking || tier_ == GateTier::syn_filter;
  }
  /// Closes what the gate kept open. The listeners themselves are closed by then.
  void let_go() noexcept;

 private:
  ListenerGroup() = default;
  static Result<ListenerGroup> open_once(const Address& address, uint32_t reactors, int backlog,
                                         const GateOptions& gate);
  static Result<ListenerGroup> open_tcp(const Address& address, uint32_t reactors, int backlog,
                                        const GateOptions& gate);
  static Result<ListenerGroup> open_parked(const Address& address, uint32_t reactors, int backlog,
                                           const GateOptions& gate);
  static Result<ListenerGroup> open_unparked(const Address& address, uint32_t reactors, int backlog,
                                             const GateOptions& gate);
  Result<void> add_siblings(const SocketAddress& bound, bool dual_stack, uint32_t reactors, int backlog);
  static Result<ListenerGroup> open_unix(const Address& address, int backlog);
  static Result<ListenerGroup> open_inherited(const Address& address);
  Result<void> adopt(Fd socket);         // with text and port as the socket has them
  Result<void> copy_sockets();           // to act on them once reactors have them
  Result<void> deal(uint32_t reactors);  // the last step

  std::vector<Fd> sockets_;             // until they are dealt out
  std::vector<int> descriptors_;        // theirs, in the order of the SO_REUSEPORT group
  std::vector<std::vector<Fd>> dealt_;  // to each reactor
  ParkingListener parking_;
  std::vector<Fd> copies_;  // of the listeners, to act on them once reactors have them
  std::vector<uint32_t> cpus_;
  GateTier tier_ = GateTier::plain;
  std::string gate_note_;
  SocketFile file_;
  std::string text_;
  uint16_t port_ = 0;
  bool ipv6_ = false;
  bool shared_ = false;
};

/// Who listens on a TCP port of this network namespace, from /proc: "pid 771 (nginx)", or empty when it
/// cannot be seen (another user's process, or a port that is bound without listening). Slow: for error
/// messages.
[[nodiscard]] std::string find_port_holder(uint16_t port);
/// "pid 771 (nginx)".
[[nodiscard]] std::string describe_process(int pid);

}  // namespace lastcall
