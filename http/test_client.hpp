#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <lastcall/core/time.hpp>
#include <lastcall/http/server.hpp>
#include <lastcall/http/test_answer.hpp>

namespace lastcall {

class MemoryConnection;

/// A request that a TestClient sends. Host is added unless it is among the headers, and so is the body's
/// framing.
struct TestRequest {
  std::string method = "GET";    ///< sent as it is, whether known or not
  std::string target = "/";      ///< sent as it is, with its query
  TestAnswer::Fields headers{};  ///< in this order, behind what is added
  std::string body{};            ///< before chunking
  bool chunked = false;          ///< the body goes in chunks, of at most kTestChunkBytes each
};
/// The largest chunk of a TestRequest, of its body.
inline constexpr size_t kTestChunkBytes = 16 * 1024;

/// A connection of a TestClient, byte by byte. Must not outlive the client. Move-only.
class TestConnection {
 public:
  /// @{
  /// What is assigned to vanishes first. What was moved from may only be destroyed or assigned to.
  TestConnection(TestConnection&& other) noexcept;
  TestConnection& operator=(TestConnection&& other) noexcept;
  /// @}
  ~TestConnection();  ///< vanishes, where it is still open

  /// Gives the bytes to the server, and runs what they set off, up to where it waits. No time passes.
  void send(std::string_view bytes);
  /// From here on the server receives at most `bytes` at a time; 0: as many as there are.
  void torn(size_t bytes);
  /// @{
  /// Takes the bytes that were sent in answer so far, at most so many.
  [[nodiscard]] std::string take();
  [[nodiscard]] std::string take(size_t most);
  /// @}
  /// A slow reader: the server sends no more than so many bytes beyond what was taken.
  void set_window(size_t bytes);
  void end_of_stream();  ///< the client sends no more, and reads on; not while the server holds it back
  void vanish();         ///< the connection breaks
  [[nodiscard]] bool open() const;  ///< neither end has closed it for good

 private:
  friend class TestClient;
  friend class PendingAnswer;
  explicit TestConnection(std::unique_ptr<MemoryConnection> connection) noexcept;
  std::unique_ptr<MemoryConnection> connection_;
};

class TestClient;

/// A request under way. Must not outlive its client. Move-only.
class PendingAnswer {
 public:
  /// @{
  /// What was moved from may only be destroyed or assigned to.
  PendingAnswer(PendingAnswer&&) noexcept;
  PendingAnswer& operator=(PendingAnswer&&) noexcept;
  /// @}
  ~PendingAnswer();  ///< the client that sent it vanishes, where it has no answer yet

  /// The answer is there, or never will be. No time passes.
  [[nodiscard]] bool done();
  /// The answer; where it is not there yet, time passes as in TestClient::get(). Once.
  [[nodiscard]] TestAnswer get();
  /// The connection that the request was sent on.
  [[nodiscard]] TestConnection& connection() noexcept;

 private:
  friend class TestClient;
  PendingAnswer(TestClient& client, TestConnection connection, bool to_head);
  [[nodiscard]] bool look();
  [[nodiscard]] TestAnswer give_up(std::string why);

  struct Parts;
  std::unique_ptr<Parts> parts_;
};

/// Calls a server's handlers without sockets, threads or waiting, so that tests of handlers are instant and
/// go the same way each time: requests go through the real session, parser and router, over connections in
/// memory, under a clock that only the test moves. It begins at 1970-01-01 00:00 UTC. What handlers offload()
/// runs on the caller's thread, when time passes (also advance(0s)).
///
///   Server server;
///   server.get("/users/{id}", …);
///   TestClient client(server);
///   EXPECT_EQ(client.get("/users/7").body, "7");
///
/// The server need not run, and does not notice (but see drain()); its background tasks and hooks are not
/// called. Its routes are registered before the client is made. Of its
/// options those for the session count (limits, time-outs, the size of the worker pool). A client is one
/// reactor: several, of several servers, are independent of each other. Order of destruction: connections
/// and pending answers, then the client, then the server. All calls from one thread, none from inside a
/// handler.
class TestClient {
 public:
  /// How much simulated time get() and its like give a handler for its answer.
  static constexpr Duration kLongestWait = 1h;

  /// The server has to outlive the client.
  explicit TestClient(Server& server);
  TestClient(const TestClient&) = delete;
  TestClient& operator=(const TestClient&) = delete;
  /// Handlers that still wait end by the destruction of what they hold; what they offloaded does not run.
  ~TestClient();

  /// Sends a request on a connection of its own and returns the answer. Time passes as far as the handler
  /// needs it, no more. An error (see TestAnswer) when a route of the server has a mistake, when the answer
  /// is malformed or bytes come behind it, when the connection ends before it is whole, when the handler
  /// waits for something that never comes (no timer is armed), and after kLongestWait.
  TestAnswer request(const TestRequest& request);
  /// @{
  /// request() of that method.
  TestAnswer get(std::string_view target, TestAnswer::Fields headers = {});
  TestAnswer del(std::string_view target, TestAnswer::Fields headers = {});
  TestAnswer post(std::string_view target, std::string_view body, TestAnswer::Fields headers = {});
  TestAnswer put(std::string_view target, std::string_view body, TestAnswer::Fields headers = {});
  TestAnswer patch(std::string_view target, std::string_view body, TestAnswer::Fields headers = {});
  /// @}

  /// @{
  /// Sends a request and runs its handler up to where it waits. No time passes.
  [[nodiscard]] PendingAnswer start(const TestRequest& request);
  [[nodiscard]] PendingAnswer start(std::string_view method, std::string_view target);
  /// @}
  /// A new connection, on which nothing was sent.
  [[nodiscard]] TestConnection connect();
  /// Requests and connections from here on are torn() into pieces of so many bytes; 0: not.
  void tear(size_t bytes) noexcept;

  /// Time passes: timers, time-outs and offloaded work on the way come in their order. A handler that yields
  /// without end (sleeps for no time, offloads again and again) moves the clock after 1,000 turns: by 1 ms, 2
  /// ms, 3 ms, ….
  void advance(Duration duration);
  [[nodiscard]] Instant now() const noexcept;  ///< from Instant{} on
  /// @{
  /// The phases of a stop: from drain() on answers say close, and drain tokens are requested (connections
  /// between two requests stay), also those of the server, which is stopping() from then on; force() cuts off
  /// what is under way, and requests the stop tokens of its handlers.
  void drain();
  void force();
  /// @}

  /// The first mistake in the server's routes; empty: none.
  [[nodiscard]] const std::string& error() const noexcept;

 private:
  friend class PendingAnswer;
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lastcall
