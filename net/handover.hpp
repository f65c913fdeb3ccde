#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lastcall/core/error.hpp>
#include <lastcall/core/fd.hpp>
#include <lastcall/core/time.hpp>
#include <lastcall/shutdown/control.hpp>

namespace lastcall {

/// What passes between a server and the process that is to replace it.
///
///   predecessor                                  successor
///                                         ←      knock              it is a lastcall that can do this
///   hello {version, listeners}            →
///   listener {address, …}, its sockets    →      (each)
///                                         ←      ready {taken}     everything runs, nobody was accepted yet
///                                         ←      refused "why"     or it ends
///   go                                    →                        it accepts from here on
///   connection "note", its descriptor     →      (each, until the predecessor has gone; of the admin
///   listener
///                                                 as admin_connection)
enum class HandoverKind : uint8_t {
  knock = 'K',
  hello = 'H',
  listener = 'L',
  descriptors = 'D',
  ready = 'R',
  refused = 'X',
  go = 'G',
  connection = 'C',
  admin_connection = 'A',
};

struct HandoverMessage {
  HandoverKind kind{};
  std::string text;  ///< after the kind: JSON, or words
  std::vector<Fd> descriptors;
};

/// One end of the talk: a SOCK_SEQPACKET Unix socket, each packet a kind, a text and descriptors. Any thread
/// may send or take(); one receives.
class HandoverChannel final : public ConnectionTaker {
 public:
  static constexpr int kVersion = 1;              ///< of this protocol; both sides must speak the same
  static constexpr size_t kMaxText = 8192;        ///< of a message
  static constexpr size_t kMaxDescriptors = 200;  ///< of a message; the kernel's limit is 253
  static constexpr size_t kMaxListeners = 64;     ///< addresses
  static constexpr size_t kMaxSockets = 1024;     ///< of one address

  /// Two connected ends, close-on-exec.
  [[nodiscard]] static Result<std::pair<Fd, Fd>> open_pair();

  explicit HandoverChannel(Fd socket) : socket_(std::move(socket)) {}

  /// Waits for room, at most until the limit. Errors: ETIMEDOUT, EPIPE where nobody is there any more.
  [[nodiscard]] Result<void> send(HandoverKind kind, std::string_view text, std::span<const int> descriptors,
                                  Instant limit);
  /// Waits for the next message. Errors: ETIMEDOUT, EPIPE at the end, EPROTO for what is no message.
  [[nodiscard]] Result<HandoverMessage> receive(Instant limit);
  /// Sends the connection and closes our descriptor of it.
  [[nodiscard]] Answer take(int fd, std::string_view note) noexcept override {
    return take(HandoverKind::connection, fd, note);
  }
  [[nodiscard]] Answer take(HandoverKind kind, int fd, std::string_view note) noexcept;
  /// Nothing more can be sent to this end; what is on its way can still be received, then the end.
  void close_input() noexcept;
  /// Both directions: whoever waits here or there sees the end.
  void end() noexcept;
  [[nodiscard]] int fd() const noexcept { return socket_.get(); }

 private:
  [[nodiscard]] Result<void> wait(short events, Instant limit) const;

  Fd socket_;
};

/// A listener's description, for the `listener` message.
struct HandoverListener {
  std::string address;  ///< as it was asked for: what the successor knows it by
  bool admin = false;
  std::string tier;
  std::string gate_note;
  uint32_t sockets = 0;  ///< how many descriptors of it follow; with the parking tier two more
};

[[nodiscard]] std::string to_json(const HandoverListener& listener);
/// Nothing of it is trusted: an error (EPROTO) says what is wrong.
[[nodiscard]] Result<HandoverListener> parse_handover_listener(std::string_view json);

struct HandoverHello {
  int version = HandoverChannel::kVersion;
  std::string lastcall;  ///< the version of the library
  uint32_t listeners = 0;
};
[[nodiscard]] std::string to_json(const HandoverHello& hello);
[[nodiscard]] Result<HandoverHello> parse_handover_hello(std::string_view json);

/// Which of the listeners the successor goes on with, by the order in which they were offered.
[[nodiscard]] std::string taken_to_json(std::span<const uint32_t> taken);
[[nodiscard]] Result<std::vector<uint32_t>> parse_taken(std::string_view json, uint32_t offered);

}  // namespace lastcall
