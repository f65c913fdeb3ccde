#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <latch>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <lastcall/core/error.hpp>
#include <lastcall/core/time.hpp>
#include <lastcall/http/exchange.hpp>
#include <lastcall/http/reactor_thread.hpp>
#include <lastcall/http/router.hpp>
#include <lastcall/http/server_status.hpp>
#include <lastcall/http/upgrade.hpp>
#include <lastcall/net/handover.hpp>
#include <lastcall/net/listener.hpp>
#include <lastcall/net/offload_pool.hpp>
#include <lastcall/shutdown/control.hpp>

namespace lastcall {

/// What an admin listener tells of, and how it serves.
struct AdminOptions {
  const StopControl& control;  ///< of the server it tells of; outlives the listener
  std::string io;              ///< the server's backend
  Instant began{};             ///< of the server
  std::vector<ServerStatus::Listener> listeners;
  std::function<bool()> full{};  ///< there is no room for more, so not ready; on the admin thread; or empty
  std::function<void()> drain;   ///< begins the graceful stop; from the admin thread, must return at once
  /// Asks for the replacement of this process, and how that does. Empty: it cannot be replaced. From the
  /// admin thread, return at once.
  std::function<void()> upgrade{};
  std::function<UpgradeStatus()> upgrade_status{};
  SessionOptions session;
  Duration write_timeout = 30s;
  std::string server_name;
  std::deque<RequestDesk>* desks = nullptr;  ///< of its reactors; outlive the listener; none: nobody to ask
};

/// Tells whoever watches over the process how the server does: GET /livez, /readyz, /status, /status/stream,
/// /metrics, a page for people at /, and POST /drain begins the stop. It is a server of its own (one thread,
/// one epoll reactor, one StopControl), so it answers while every reactor of the server it tells of is stuck,
/// and through the whole stop; nobody waits for its connections, and no report counts them.
class AdminListener {
 public:
  static constexpr uint32_t kMaxConnections = 256;  ///< beyond it: 503
  static constexpr Duration kMaxTimeout = 5s;       ///< each of its timeouts is at most that
  static constexpr uint64_t kDescriptors = kMaxConnections + 16;
  static constexpr uint32_t kMaxStreams = 16;         ///< of /status/stream at one time; beyond it: 503
  static constexpr Duration kStreamInterval = 1s;     ///< between two events, where nothing happens
  static constexpr Duration kReactorPatience = 50ms;  ///< for a reactor to name its requests in flight

  /// Listens; connections wait in the queue until run() of the listener they are for. Errors name --admin and
  /// the address.
  [[nodiscard]] static Result<ListenerGroup> listen(const std::string& address,
                                                    std::optional<ListenerParts<Fd>> inherited = {});

  /// With timeouts of at most kMaxTimeout, whatever the server's are: whoever watches and forgets to close
  /// must not fill the listener up, or the process would look dead.
  [[nodiscard]] static AdminOptions hurried(AdminOptions options);

  /// Serves with hurried(options).
  AdminListener(ListenerGroup group, AdminOptions options);
  AdminListener(const AdminListener&) = delete;
  AdminListener& operator=(const AdminListener&) = delete;
  ~AdminListener();  ///< stop()

  /// Starts to answer, with `later` from listen_now() on; /readyz says 503 until set_serving(). Once.
  [[nodiscard]] Result<void> start(bool later = false);
  void listen_now() { setup_.listen(); }
  /// The server serves, or can be asked to stop: ready until that happens.
  void set_serving() noexcept { serving_.store(true, std::memory_order_release); }
  /// Ends at once: whoever has asked is answered, nobody is waited for.
  void stop();
  /// Ends, but whoever is in the queue is another process's, and so are idle connections, that it takes by
  /// the channel. Waits for the answers under way, up to a second.
  void hand_over(HandoverChannel& successor);
  /// Another process may still hand over connections, or not any more.
  void share(bool shared) { setup_.sweep(shared); }
  void adopt(Fd connection) { setup_.adopt(std::move(connection), {}); }
  [[nodiscard]] ListenerParts<int> parts() const { return group_.parts(); }

  [[nodiscard]] const std::string& text() const noexcept { return group_.text(); }  ///< with the port in use

 private:
  void add_routes();
  void add(Method method, std::string pattern, Handler handler);
  void await_last_answers(Duration patience);
  [[nodiscard]] bool ready() const;
  void answer_drain(const Request& request, Response& response);
  void answer_upgrade(const Request& request, Response& response);
  [[nodiscard]] bool refuse_cross_site(const Request& request, Response& response) const;
  void answer_page(Response& response) const;
  [[nodiscard]] ServerStatus status() const;
  [[nodiscard]] Task<ServerStatus> status_with_requests() const;
  [[nodiscard]] Task<> answer_status(Request& request, Response& response) const;
  [[nodiscard]] Task<> stream_status(Request& request, Response& response);

  struct Successor final : ConnectionTaker {
    Answer take(int fd, std::string_view note) noexcept override {
      return channel->take(HandoverKind::admin_connection, fd, note);
    }
    HandoverChannel* channel = nullptr;
  };

  AdminOptions options_;
  Successor successor_;
  ListenerGroup group_;
  StopControl control_{1};
  Router router_;
  std::vector<Route> routes_;
  std::string machine_;               // its host name, for browsers
  Duration began_wall_{};             // since 1970 UTC
  std::atomic<uint32_t> streams_{0};  // of /status/stream, open now
  OffloadPool pool_{1, 1};            // sessions want one; nothing here offloads, so it has no thread
  std::latch teardown_{0};
  ReactorSetup setup_;
  std::atomic<bool> serving_{false};
  std::thread thread_;
};

}  // namespace lastcall
