#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <lastcall/core/fd.hpp>
#include <lastcall/core/time.hpp>

#include "answer_reader.hpp"
#include "options.hpp"
#include "requests.hpp"
#include "tally.hpp"

namespace lastcall::load {

/// What all threads of a load share.
struct Shared {
  explicit Shared(const LoadOptions& given) : options(given), requests(given) {}

  const LoadOptions& options;
  const Requests requests;
  Instant start{};
  std::atomic<bool> stop = false;     ///< begin nothing more
  std::atomic<uint32_t> refused = 0;  ///< clients whose last attempt to connect was refused
  std::atomic<uint64_t> begun = 0;    ///< requests, against options.requests
};

/// What the clients of one thread share.
struct Context {
  Shared& shared;
  int epoll;
  std::vector<char> buffer;
  Tally tally;
};

/// One client: a connection or none, and at most one exchange, which is a request and its answer, or several
/// pipelined. Never blocks. Whoever calls it looks at busy() afterwards: an exchange may end in any call.
class Client {
 public:
  Client(Context& context, uint32_t index, uint32_t key);

  [[nodiscard]] bool fresh() const noexcept { return fresh_; }
  [[nodiscard]] bool busy() const noexcept { return state_ != State::free; }
  [[nodiscard]] bool refused() const noexcept { return refused_; }

  /// Begins an exchange of `count` requests that was due at `intended`.
  void begin(Instant intended, uint32_t count);
  /// What epoll reports (edge-triggered).
  void on_ready(uint32_t events);
  /// Ends what began a timeout ago.
  void on_time(Instant now);
  /// The load is over: an attempt to connect is not waited for.
  void stop_connecting();

 private:
  enum class State : uint8_t { free, connecting, exchanging };
  enum class Kept : uint8_t { quiet, bytes, ended };

  void connect();
  void connected(uint32_t events);
  void exchange();
  void send();
  void send_failed(int error);
  void receive(bool until_end);
  void take(std::string_view bytes);
  void answered();
  void ended(const std::string& reason, bool in_order);
  void fail_unanswered(const std::string& reason);
  void refuse(int error, const std::string& reason);
  void dropped(const std::string& reason);
  void mark_refused(bool refused);
  void note(Outcome outcome, const std::string& reason, uint64_t count = 1);
  void finish(bool keep);
  void look_at_idle();
  [[nodiscard]] Kept peek(std::string& reason) const;
  [[nodiscard]] bool drop_ended_connection();
  [[nodiscard]] size_t request_bytes(uint32_t number) const noexcept;
  [[nodiscard]] uint32_t requests_sent() const noexcept;
  [[nodiscard]] std::string_view head(uint32_t number) const noexcept;

  Context& context_;
  const uint32_t key_;  // of the epoll entry
  const uint32_t target_;
  const bool fresh_;
  bool refused_ = false;
  State state_ = State::free;
  Fd fd_;
  Instant connected_at_{};
  uint64_t answered_on_connection_ = 0;

  // The exchange.
  uint32_t path_ = 0;  // of its first request
  uint32_t count_ = 0;
  uint32_t answered_ = 0;
  uint64_t bytes_sent_ = 0;
  uint64_t bytes_to_send_ = 0;
  bool deaf_ = false;  // the peer takes no more bytes
  std::string deaf_reason_;
  Instant intended_{};
  Instant began_{};
  AnswerReader reader_;
};

}  // namespace lastcall::load
