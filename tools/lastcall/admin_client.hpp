#pragma once

#include <functional>
#include <string>
#include <string_view>

#include <lastcall/core/error.hpp>
#include <lastcall/core/time.hpp>
#include <lastcall/net/address.hpp>

namespace lastcall::tool {

/// What an admin listener answered.
struct AdminAnswer {
  int status = 0;
  std::string body;
};

/// Asks an admin listener, one request a connection, blocking. Errors name the address; where nobody listens
/// there (any more) their code is ECONNREFUSED or, of a Unix socket, ENOENT.
class AdminClient {
 public:
  static constexpr Duration kPatience = 3s;  ///< for a whole answer
  static constexpr size_t kMaxAnswerBytes = size_t{64} << 20;

  /// An address as of --admin: HOST:PORT, [V6]:PORT, :PORT (this machine), unix:PATH.
  [[nodiscard]] static Result<AdminClient> to(const std::string& address);

  /// `method`: "GET" or "POST", without a body. An answer of any status is an answer.
  [[nodiscard]] Result<AdminAnswer> ask(std::string_view method, std::string_view target) const;
  /// Takes the events of a stream (http/event_stream.hpp) until it ends in order, or `on_event` says false.
  /// An error where nothing comes for kPatience.
  using OnEvent = std::function<bool(std::string_view event, std::string_view data)>;
  [[nodiscard]] Result<void> follow(std::string_view target, const OnEvent& on_event) const;
  [[nodiscard]] const std::string& address() const noexcept { return address_.text; }

 private:
  explicit AdminClient(Address address) : address_(std::move(address)) {}
  [[nodiscard]] std::unexpected<Error> not_connected(int code) const;
  [[nodiscard]] std::unexpected<Error> no_answer(int code, const std::string& why) const;

  Address address_;
};

}  // namespace lastcall::tool
