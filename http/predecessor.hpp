#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <lastcall/core/error.hpp>
#include <lastcall/core/fd.hpp>
#include <lastcall/net/handover.hpp>
#include <lastcall/net/listener.hpp>

namespace lastcall {

/// The process that this one is to replace, and that started it (Upgrade): gives its listening sockets, and
/// its idle connections as they become so.
class Predecessor {
 public:
  /// nullptr where this process was started by nobody who wants to be replaced. The environment variable that
  /// says so is gone afterwards. What is offered is taken in here; an error says why it cannot be used.
  [[nodiscard]] static Result<std::unique_ptr<Predecessor>> find();
  Predecessor(const Predecessor&) = delete;
  Predecessor& operator=(const Predecessor&) = delete;
  ~Predecessor();  ///< as close_input(), and waits for what is on its way

  /// The sockets of a listener by the text it was asked for; nothing if they are not offered. Once each.
  [[nodiscard]] std::optional<ListenerParts<Fd>> take(const std::string& address, bool admin);
  /// Says that everything runs, and waits for the word to accept. An error: the predecessor serves on, or has
  /// gone; nobody was accepted here.
  [[nodiscard]] Result<void> await_go();
  /// Says why this process cannot take over; it ends, and the predecessor serves on.
  void refuse(const std::string& why) noexcept;
  /// Connections come from here on, on a thread of its own.
  void receive(std::function<void(Fd, std::string note)> adopt, std::function<void(Fd)> adopt_admin,
               std::function<void()> on_gone);
  /// No more of them, but for those that are on their way.
  void close_input() noexcept { channel_.close_input(); }
  /// It has ended, and on_gone() was called.
  [[nodiscard]] bool gone() const noexcept { return gone_.load(); }
  /// Waits for these. After close_input(), or when the predecessor has gone.
  void join();

 private:
  struct Offer {
    HandoverListener description;
    ListenerParts<Fd> parts;
    bool taken = false;
  };

  explicit Predecessor(Fd channel) : channel_(std::move(channel)) {}
  [[nodiscard]] Result<void> receive_offers();
  [[nodiscard]] Result<Offer> receive_offer(Instant limit);

  HandoverChannel channel_;
  std::vector<Offer> offers_;
  std::atomic<bool> gone_{false};
  std::thread thread_;
};

}  // namespace lastcall
