#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <lastcall/core/fd.hpp>
#include <lastcall/core/time.hpp>

namespace lastcall {

/// A service manager's end of sd_notify(3), in the abstract namespace or at a path.
class NotifySocket {
 public:
  struct Message {
    std::string text;
    std::vector<Fd> descriptors;
    pid_t sender = 0;
  };

  /// `path`: empty for an abstract name of its own.
  explicit NotifySocket(std::string path = "");
  NotifySocket(const NotifySocket&) = delete;
  NotifySocket& operator=(const NotifySocket&) = delete;
  ~NotifySocket();

  /// What NOTIFY_SOCKET is to be.
  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  /// The next message, if one comes within the patience.
  [[nodiscard]] std::optional<Message> receive(Duration patience = 20s);
  /// The first from here on that has this line; those before it are dropped. Empty when none comes.
  [[nodiscard]] std::string wait_for(std::string_view line, Duration patience = 20s);

 private:
  std::string name_;
  Fd socket_;
};

/// The value of NAME=value in a message; empty when there is none.
[[nodiscard]] std::string notify_field(std::string_view message, std::string_view name);

}  // namespace lastcall
