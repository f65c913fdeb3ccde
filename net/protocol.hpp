#pragma once

#include <concepts>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <lastcall/net/detached.hpp>
#include <lastcall/net/link.hpp>
#include <lastcall/net/peer_address.hpp>
#include <lastcall/net/preface.hpp>
#include <lastcall/shutdown/roll_call.hpp>

namespace lastcall {

/// What runs on a connection: bytes in, bytes into link.output(), no I/O inside. Made with its connection, on
/// the reactor's thread, as P(environment, link); every call comes from the worker, never from inside one of
/// its own.
///
///   on_connect(peer, preface)  first of all, where either matters; false: it has been turned away, and does
///                            not count against the connection limit
///   peer()                   the other end as text; named_peer() the same where the protocol knows it and
///                            the socket does not, else empty: takes no memory
///   may_leave()              while it is idle, another process may go on with the descriptor and …
///   leaving_note()           … this text, for whose sake it is told there
///   on_adopt(peer, note)     instead of on_connect(), of a connection that was another process's
///   on_bytes(bytes)          takes all of them (what it can't use yet it keeps, and pauses the input)
///   on_end_of_stream()       the peer will send no more
///   on_output_room()         what was prepared has gone to the kernel, or is about to: go on writing
///   active()                 at least one byte of a request has come that is not answered in full
///   rests()                  it is not, has no close_wish(), and does not wait for on_output_room()
///   close_wish(), close_reason()
///   deadline()               when on_deadline() is due, kNever for never; asked often. While the connection
///                            is not active the worker closes it as idle then, and does not call
///                            on_deadline()
///   on_drain()               the stop has begun: answer what is there, then close
///   on_force(unread)         the stop is over for an active connection, or one with a request unread in its
///                            socket: answer 503 where no head was sent, or break off
///   refuse_overload()        over the connection limit: answer 503 and close
///   on_reload(earliest)      the environment's options are others now; what is due sooner for that, but
///   would
///                            have been due already, is due at `earliest`
///   describe(now, sink)      tells who is not answered in full, for the report; takes no memory unless the
///                            sink says that it may
///   unanswered()             since when a request is not answered in full, kNever for none, and its route
///   on_detach(detached)      the descriptor has left, as wished; on_close() is not called
///   on_close()               the connection is gone; the protocol is destroyed next
///
/// Work that outlives its connection counts itself in loop.counters.active, so that the stop waits for it.
template <class P>
concept Protocol = requires(P p, typename P::Environment& environment, Link& link, std::string_view bytes,
                            UnansweredSink& sink) {
  P(environment, link);
  { p.on_connect(PeerAddress(), Preface()) } -> std::same_as<bool>;
  { p.peer() } -> std::same_as<std::string>;
  { p.may_leave() } -> std::same_as<bool>;
  { p.leaving_note() } -> std::same_as<std::string>;
  { p.on_adopt(PeerAddress(), std::string_view()) } -> std::same_as<bool>;
  { p.named_peer() } -> std::same_as<std::string_view>;
  { p.on_bytes(bytes) } -> std::same_as<void>;
  { p.on_end_of_stream() } -> std::same_as<void>;
  { p.on_output_room() } -> std::same_as<void>;
  { p.active() } -> std::same_as<bool>;
  { p.rests() } -> std::same_as<bool>;
  { p.close_wish() } -> std::same_as<CloseWish>;
  { p.close_reason() } -> std::same_as<CloseReason>;
  { p.deadline() } -> std::same_as<Instant>;
  { p.on_deadline() } -> std::same_as<void>;
  { p.on_drain() } -> std::same_as<void>;
  { p.on_force(true) } -> std::same_as<void>;
  { p.refuse_overload() } -> std::same_as<void>;
  { p.on_reload(Instant()) } -> std::same_as<void>;
  { p.describe(Instant(), sink) } -> std::same_as<void>;
  { p.unanswered() } -> std::same_as<std::pair<Instant, const char*>>;
  { p.on_detach(std::shared_ptr<DetachedConnection>()) } -> std::same_as<void>;
  { p.on_close() } -> std::same_as<void>;
};

}  // namespace lastcall
