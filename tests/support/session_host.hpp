#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <lastcall/http/memory_reactor.hpp>

namespace lastcall::test {

/// A session on a connection in memory (MemoryConnection), one at a time, under a clock that the test moves,
/// with routes that the test may add to at any time, and a real worker pool.
class SessionHost {
 public:
  explicit SessionHost(const SessionOptions& options = {});
  SessionHost(const SessionHost&) = delete;
  SessionHost& operator=(const SessionHost&) = delete;
  ~SessionHost();

  SessionHost& on(Method method, std::string_view pattern, Handler handler, RouteOptions options = {});
  void open();  ///< a new connection, in place of the one that has ended; the first is there from the start

  // What the peer does.
  void receive(std::string_view bytes) { connection_->receive(bytes); }
  void end_of_stream() { connection_->end_of_stream(); }
  void vanish() { connection_->vanish(); }
  [[nodiscard]] std::string take(size_t most = std::numeric_limits<size_t>::max()) {
    return connection_->take(most);
  }
  void set_window(size_t bytes) {
    window_bytes_ = bytes;
    connection_->set_window(bytes);
  }
  /// receive(), then what was sent in answer.
  [[nodiscard]] std::string ask(std::string_view bytes) {
    receive(bytes);
    return take();
  }

  // What the server does.
  void advance(Duration duration) { reactor_.advance(duration); }
  void run_mail() { reactor_.run_work(); }  ///< what other threads have posted
  void drain() { reactor_.drain(); }
  void force() { reactor_.force(); }
  void settle() { reactor_.settle(); }

  [[nodiscard]] Session& session() { return connection_->session(); }
  /// Whom the report would name.
  [[nodiscard]] std::vector<AbortedExchange> unanswered();
  [[nodiscard]] MemoryReactor& reactor() noexcept { return reactor_; }
  [[nodiscard]] Loop& loop() noexcept { return reactor_.loop(); }
  [[nodiscard]] MemoryLink& link() { return connection_->link(); }
  [[nodiscard]] SessionEnvironment& environment() { return reactor_.environment(); }
  [[nodiscard]] OffloadPool& pool() noexcept { return *pool_; }
  [[nodiscard]] bool open_still() const noexcept { return connection_->open(); }
  /// How the connection ended.
  [[nodiscard]] CloseReason reason() const noexcept { return connection_->reason(); }
  [[nodiscard]] CloseWish wish() const noexcept { return connection_->wish(); }
  [[nodiscard]] uint64_t outliving() const noexcept { return reactor_.outliving(); }
  [[nodiscard]] size_t unread() const noexcept { return connection_->unread(); }
  [[nodiscard]] size_t most_prepared() const noexcept { return connection_->most_prepared(); }
  [[nodiscard]] size_t lent() const noexcept { return reactor_.lent(); }

 private:
  SessionOptions options_;
  Router router_;
  std::vector<Route> routes_;
  std::optional<OffloadPool> pool_{std::in_place, 1u, 1u};
  size_t window_bytes_ = std::numeric_limits<size_t>::max();
  MemoryReactor reactor_;
  std::optional<MemoryConnection> connection_;
};

}  // namespace lastcall::test
