#pragma once

#include <memory>
#include <string_view>

#include <lastcall/http/exchange.hpp>
#include <lastcall/http/known_peer.hpp>
#include <lastcall/http/partial_head.hpp>
#include <lastcall/http/unsent_answers.hpp>
#include <lastcall/net/protocol.hpp>

namespace lastcall {

/// HTTP/1.x on one connection, without I/O: bytes in, bytes out, one exchange at a time, pipelined requests
/// in order. Models net's Protocol. What an idle connection needs is here; the rest is in the Exchange.
class Session {
 public:
  using Environment = SessionEnvironment;

  Session(Environment& environment, Link& link);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // The connection's calls.
  [[nodiscard]] bool on_connect(const PeerAddress& peer, Preface preface);
  void on_bytes(std::string_view bytes);
  void on_end_of_stream();
  void on_output_room() {
    if (wants_room_ || unsent_.holds_memory()) use_room();
  }
  [[nodiscard]] bool active() const noexcept { return state_ > State::head || scanner_.started(); }
  [[nodiscard]] bool rests() const noexcept { return !active() && wish_ == CloseWish::none && !wants_room_; }
  [[nodiscard]] CloseWish close_wish() const noexcept { return wish_; }
  [[nodiscard]] CloseReason close_reason() const noexcept { return reason_; }
  [[nodiscard]] Instant deadline() const noexcept { return deadline_; }
  void on_deadline();
  void on_drain();
  void on_reload(Instant earliest);
  /// `unread`: a request has come that was not read yet.
  void on_force(bool unread);
  /// The request that is not answered in full: since when, and the pattern of its route; kNever: none.
  [[nodiscard]] std::pair<Instant, const char*> unanswered() const noexcept;
  void refuse_overload();
  void describe(Instant now, UnansweredSink& sink) const;
  void on_detach(std::shared_ptr<DetachedConnection> detached);
  void on_close();

  // Who is at the other end. session_admission.cpp
  /// "203.0.113.7:53124": whom a PROXY header named, else as the socket says; "?" when it is gone.
  [[nodiscard]] std::string peer() const;
  /// The same, where the socket would say something else; else empty. Takes no memory.
  [[nodiscard]] std::string_view named_peer() const noexcept {
    return peer_ == nullptr ? std::string_view() : std::string_view(peer_->text);
  }
  /// Who asks with this head, by peer() and, where that is trusted, the field in which proxies name clients.
  [[nodiscard]] ClientAddress client(const RequestHead& head) const;
  /// Of a connection that was another process's, with leaving_note() of that. Instead of on_connect(); false
  /// when it is no such note, or the client has too many connections (it has been turned away).
  [[nodiscard]] bool on_adopt(const PeerAddress& peer, std::string_view note);
  /// No part of a PROXY header has come that the socket would not tell again.
  [[nodiscard]] bool may_leave() const noexcept { return !awaits_proxy_header() || input_.empty(); }
  /// Whom a PROXY header has named, or that one has to come; empty: the descriptor says it all.
  [[nodiscard]] std::string leaving_note() const;
  /// Nothing but a PROXY header, whole or in part, may come first, and it has not.
  [[nodiscard]] bool awaits_proxy_header() const noexcept { return state_ == State::proxy; }

  // The exchange's calls, for the handler's awaits.
  void body_wanted(Exchange& exchange);  ///< a read() waits
  void body_taken() { steer_input(); }   ///< a read() made room
  [[nodiscard]] bool write_piece(Exchange& exchange, std::string_view bytes,
                                 bool lasting);  ///< false: wait for room
  [[nodiscard]] static bool sends_body(const Exchange& exchange) noexcept;
  void room_wanted() noexcept { wants_room_ = true; }
  void task_ended(Exchange& exchange);
  void handler_late(Exchange& exchange);  ///< it has had the time that its route gives
  [[nodiscard]] int fd() const noexcept { return link_.fd(); }

  // The calls of a connection that leaves HTTP. session_stream.cpp
  void hijack(Exchange& exchange);
  void write_switch(Exchange& exchange, std::string_view protocol);
  void send_raw(std::string_view bytes);
  void leave_at_stop();
  void detach();
  [[nodiscard]] bool stream_input_ended() const noexcept { return peer_ended_ && input_waiting().empty(); }
  [[nodiscard]] size_t prepared_bytes() const noexcept { return link_.output().size(); }
  [[nodiscard]] size_t queued_bytes() const noexcept { return link_.bytes_written() - link_.bytes_sent(); }

 private:
  enum class State : uint8_t {
    proxy,       ///< a PROXY header has to come first; no part of a request has
    head,        ///< between requests, or inside a head
    body,        ///< collecting the body for a synchronous handler
    handling,    ///< a coroutine handler is at work; it may be reading the body
    discarding,  ///< answered; what is left of the body is read and dropped
    hijacked,    ///< left HTTP: the bytes are the handler's
    closing,     ///< no more input is looked at
  };

  // Answers waiting to be sent, before pipelined requests and a handler that writes have to wait.
  static constexpr size_t kMaxPreparedBytes = 64 * 1024;

  // session.cpp: input
  [[nodiscard]] size_t consume(std::string_view bytes);
  [[nodiscard]] bool step(std::string_view bytes, size_t& used);
  void on_later_bytes(std::string_view bytes);
  void keep_rest(std::string_view bytes);
  void keep_for_report(std::string_view bytes);
  void consume_stash();
  [[nodiscard]] size_t take_usual_head(std::string_view bytes);
  [[nodiscard]] bool take_unusual_head(std::string_view bytes, size_t& used);
  void begin(Exchange& exchange, std::string_view bytes, size_t used);
  void route(Exchange& exchange, std::string_view head_bytes);
  void route_nowhere(Exchange& exchange, std::string_view head_bytes, const Router::Match& match);
  void route_waiting(Exchange& exchange, std::string_view head_bytes);
  [[nodiscard]] bool begin_body(Exchange& exchange);
  [[nodiscard]] size_t take_body(std::string_view bytes);
  void take_piece(Exchange& exchange, std::string_view piece);
  void refuse_body(Refusal refusal);
  void keep_head(Exchange& exchange, std::string_view head_bytes);
  void call(Exchange& exchange);
  void name_handler(Exchange& exchange) noexcept;
  void start_task(Exchange& exchange);
  [[nodiscard]] bool is_handler_behind() const noexcept;
  [[nodiscard]] Duration body_timeout() const noexcept {
    const Route* route = exchange_->route;
    return route == nullptr ? environment_.options.body_timeout
                            : route->options.body_timeout.value_or(environment_.options.body_timeout);
  }
  void steer_input() noexcept;
  void use_room();
  [[nodiscard]] bool body_open() const noexcept {
    return exchange_ != nullptr && !exchange_->decoder.complete();
  }

  // session_output.cpp: answers and endings
  void answer_no_route(Exchange& exchange, const Router::Match& match);
  void answer_plain(Exchange& exchange, uint16_t status, std::string_view text);
  void answer_busy(Exchange& exchange, std::string_view what);
  void fail(Exchange& exchange, std::string_view what);
  void send_continue(Exchange& exchange);
  void write_head(Exchange& exchange, ResponseHead::Framing framing, uint64_t length);
  void finish(Exchange& exchange);
  [[nodiscard]] bool finish_usual(Exchange& exchange);
  void finish_unusual(Exchange& exchange);
  void leave_exchange(Exchange& exchange);
  void end_exchange();
  void fail_length(Exchange& exchange);
  void refuse(Refusal refusal, CloseReason reason);
  void write_refusal(uint16_t status, std::string_view what, std::string_view fields);
  void break_off(CloseReason reason);
  void close(CloseWish wish, CloseReason reason);
  void note_answer(const Exchange& exchange);
  void count_answer(uint16_t status) noexcept { add_to(loop().counters.answers[status / 100 - 1], 1); }
  [[nodiscard]] Loop& loop() noexcept { return link_.loop(); }
  /// Bytes that have arrived behind what has been taken of the request at hand.
  [[nodiscard]] std::string_view input_waiting() const noexcept {
    if (!consuming_) return input_.view();
    return exchange_ != nullptr ? exchange_->behind : std::string_view();
  }
  [[nodiscard]] bool last_request() const noexcept;

  // session_admission.cpp: who comes in
  void know_peer(const PeerAddress& peer);
  void name_peer(const PeerAddress& peer);
  [[nodiscard]] bool enter_client();
  [[nodiscard]] bool take_proxy_header(std::string_view bytes, size_t& used);
  void tell_broken_header();
  [[nodiscard]] bool admit(Exchange& exchange, std::string_view head_bytes);
  [[nodiscard]] bool enter_limits(Exchange& exchange);
  [[nodiscard]] bool names_client(const Exchange& exchange) const;
  [[nodiscard]] bool trusts_fields() const noexcept;
  void refuse_client();
  void turn_away(TurnedAway reason, std::string_view why);

  // session_stream.cpp: a connection that has left HTTP
  [[nodiscard]] bool feed_stream(std::string_view bytes);

  // session_report.cpp: what a stop cuts off
  class Telling;
  void tell_exchange(Telling& telling) const;
  void tell_waiting(Telling& telling) const;

  Environment& environment_;
  Link& link_;
  Exchange* exchange_ = nullptr;
  Instant deadline_;
  Buffer input_;  // bytes that could not be used yet
  UnsentAnswers unsent_;
  std::unique_ptr<KnownPeer> peer_;  // where it has to be known
  PartialHead scanner_;
  State state_ = State::head;
  CloseWish wish_ = CloseWish::none;
  CloseReason reason_ = CloseReason::finished;
  bool consuming_ : 1 = false;   // consume() is on the stack
  bool keep_alive_ : 1 = true;   // of the exchange at hand
  bool wants_room_ : 1 = false;  // on_output_room() has something to do
  bool owes_more_ : 1 = false;   // closing: the client may have asked for more, and does not know
  bool peer_ended_ : 1 = false;
  bool continue_owed_ : 1 = false;  // Expect: 100-continue, not yet answered
};

}  // namespace lastcall
