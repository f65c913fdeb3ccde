#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include <lastcall/core/error.hpp>
#include <lastcall/core/time.hpp>
#include <lastcall/net/handover.hpp>
#include <lastcall/net/listener.hpp>

namespace lastcall {

/// A listener that a successor may go on with.
struct OfferedListener {
  HandoverListener description;
  ListenerParts<int> parts;
};

struct UpgradeOptions {
  Duration limit = 60s;                    ///< for the new process to become ready
  std::vector<std::string> environment{};  ///< "NAME=value" that the new process gets on top of ours
  std::function<std::vector<OfferedListener>()> offer;
  /// The successor is about to accept: from here on nothing turns back. Called under the lock of the Upgrade;
  /// must return at once.
  std::function<void(HandoverChannel&, std::span<const uint32_t> taken)> hand_over;
  /// … and has begun to: the time to go. On the upgrade's thread.
  std::function<void(HandoverChannel&, std::span<const uint32_t> taken, pid_t successor)> stop;
};

/// How the latest attempt does.
struct UpgradeStatus {
  uint64_t attempt = 0;        ///< counts from 1; 0: there was none
  const char* state = "none";  ///< "none", "under_way", "failed", "handed_over", "stopping"
  std::string why{};           ///< it failed
};

/// Replaces this process by a new one of the same command line, whose binary may be another one by now:
/// starts it with our listening sockets, waits until it is ready, has it accept, and only then asks for our
/// stop. As long as that has not come about, this process serves on as if nothing were: a new one that exits,
/// hangs or speaks another version is killed and named in the log. One attempt at a time.
class Upgrade {
 public:
  explicit Upgrade(UpgradeOptions options);
  Upgrade(const Upgrade&) = delete;
  Upgrade& operator=(const Upgrade&) = delete;
  ~Upgrade();

  /// On the thread that also begins stops, so that no listener is closed meanwhile. Returns in milliseconds;
  /// the log tells what comes of it.
  void begin();
  /// A stop begins: an attempt under way is over, unless the successor was told to accept already. From the
  /// thread of begin().
  void end_attempt() noexcept;
  /// What the successor took, by the order of the offer. Only after end_attempt(); does not change any more.
  [[nodiscard]] std::span<const uint32_t> taken() const noexcept { return taken_; }
  [[nodiscard]] UpgradeStatus status();  ///< from any thread
  /// After end_attempt(): nothing of it runs any more.
  void join();

 private:
  enum class State : uint8_t { idle, waiting, handed_over, ended };

  [[nodiscard]] Result<void> copy_offer();
  [[nodiscard]] Result<void> launch();
  [[nodiscard]] Result<HandoverMessage> hear(HandoverKind expected, Instant limit);
  [[nodiscard]] Result<void> offer_listeners();
  void await_successor();
  [[nodiscard]] Result<void> await_ready();
  [[nodiscard]] bool has_ended();
  [[nodiscard]] std::string end_child(Duration patience);

  UpgradeOptions options_;
  std::string binary_;
  std::vector<OfferedListener> offered_;
  std::unique_ptr<HandoverChannel> channel_;
  pid_t child_ = -1;
  std::mutex mutex_;  // guards what follows
  State state_ = State::idle;
  uint64_t attempt_ = 0;
  std::string why_;
  std::vector<Fd> copies_;  // of what is offered
  std::vector<uint32_t> taken_;
  std::thread thread_;
};

/// The environment variable that names the descriptor of the channel.
inline constexpr const char* kHandoverVariable = "LASTCALL_HANDOVER";

}  // namespace lastcall
