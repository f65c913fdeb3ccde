#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <lastcall/http/body_decoder.hpp>
#include <lastcall/http/client_address.hpp>
#include <lastcall/http/handler.hpp>
#include <lastcall/http/limits.hpp>
#include <lastcall/http/request.hpp>
#include <lastcall/http/request_parser.hpp>
#include <lastcall/http/response.hpp>
#include <lastcall/http/response_head.hpp>
#include <lastcall/http/router.hpp>
#include <lastcall/http/stream.hpp>

namespace lastcall {

class Session;
struct Admission;
struct SessionEnvironment;
struct Exchange;

/// The coroutines of one exchange.
struct ExchangeContext : TaskContext {
  ExchangeContext(Exchange& whose, Loop& loop, OffloadPool& pool, void (*finished)(TaskContext&)) noexcept
      : TaskContext(loop, pool, finished), exchange(whose) {}
  Exchange& exchange;
};

/// Fires when a handler has had its time.
struct HandlerTimer : TaskTimer {
  explicit HandlerTimer(Exchange& whose) noexcept;
  Exchange& exchange;
};

/// One request and its answer: all that an idle connection does not need, taken from a pool at the request's
/// last head byte. Lives until the answer is written and the handler has ended, whichever is later.
struct Exchange {
  explicit Exchange(SessionEnvironment& environment);

  // What every request needs comes first, on few cache lines.
  SessionEnvironment& environment;
  Session* session = nullptr;  ///< nullptr: the connection is gone, the handler is still running
  const Route* route = nullptr;
  std::string_view behind;  ///< while the session consumes: what follows what is taken
  Instant began{};
  ReadBody* reader = nullptr;
  WriteBody* writer = nullptr;
  bool in_flight = false;  ///< counts where its route or the server has a limit
  RequestHead head;
  Request request;
  Response response;
  ExchangeContext context;
  Buffer storage;  ///< the head's bytes, when it must outlive the input they came in
  Buffer body;     ///< received and not handed out
  Buffer chunk;    ///< handed out by the last read()
  RouteParams params;
  std::string scratch;       ///< decoded parameters
  std::string decoded_path;  ///< filled when asked for
  std::string peer;          ///< filled when asked for
  BodyDecoder decoder;
  ClientAddress client;  ///< filled when asked for, and `peer` with it
  Task<> task;
  std::unique_ptr<Stream> stream;  ///< once the connection has left HTTP
  HandlerTimer timer;              ///< armed while a handler is at work whose route limits its time

  /// Ready for the next request; `keep_memory`: small buffers stay, for a pool that is nearly empty.
  void reset(bool keep_memory) noexcept;
  void leave_limits() noexcept {
    if (std::exchange(in_flight, false)) count_out();
  }
  void count_out() noexcept;

 private:
  void clear_texts() noexcept;
  void release_buffers() noexcept;
};

/// How long a connection may take for what, and how much.
struct SessionOptions {
  Limits limits;
  Duration header_timeout =
      10s;  ///< absolute, from the first byte of a request (or the accept) to its empty line
  Duration body_timeout = 30s;     ///< between two pieces of a body
  Duration idle_timeout = 75s;     ///< between two requests
  Admission* admission = nullptr;  ///< of the server; nullptr: everybody comes in, nobody is trusted
};

/// What the sessions of one reactor share.
struct SessionEnvironment {
  SessionEnvironment(Loop& loop, const SessionOptions& options, const Router& router,
                     const std::vector<Route>& routes, OffloadPool& pool, std::string_view server);
  SessionEnvironment(const SessionEnvironment&) = delete;
  SessionEnvironment& operator=(const SessionEnvironment&) = delete;
  ~SessionEnvironment();

  /// Other options from here on. Sessions are to be told (Session::on_reload); requests under way keep the
  /// length of body and the deadline that they have.
  void reload(const SessionOptions& options);
  /// One that is free, and stays so until take_spare(): for a head that may turn out not to be whole.
  [[nodiscard]] Exchange& spare() { return free_.empty() ? make_spare() : *free_.back(); }
  void take_spare() noexcept { free_.pop_back(); }
  void release(Exchange& exchange) noexcept;
  /// Whether the next answer says Connection: close, so that clients move on little by little while the stop
  /// is announced. Of n answers at one moment the share of the time that has passed.
  [[nodiscard]] bool sends_away() noexcept;
  /// The connection is gone: tells the handler, and keeps the exchange until it has ended.
  void abandon(Exchange& exchange);
  /// The connection has been detached: its handler gets it, and goes on.
  void outlive(Exchange& exchange, std::shared_ptr<DetachedConnection> detached);
  /// The handler of a connection that was gone has ended.
  void end_abandoned(Exchange& exchange) noexcept;

  Loop& loop;
  SessionOptions options;
  Duration idle_timeout_added{};  ///< by the last reload()
  const Router& router;
  const std::vector<Route>& routes;
  OffloadPool& pool;
  RequestParser parser;
  RequestHead waiting_head;  ///< for a look at requests that have not had their turn; has room for all fields
  ResponseHeadWriter head_writer;

 private:
  [[nodiscard]] Exchange& make_spare();
  void release_abandoned(Exchange& exchange) noexcept;

  std::vector<std::unique_ptr<Exchange>> exchanges_;  // all there are
  std::vector<Exchange*> free_;
  double sent_away_ = 0;  // how much of the next answer's turn has added up
};

}  // namespace lastcall
