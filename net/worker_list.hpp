#pragma once

// Worker: what it tells of its requests while it serves. Included by worker.hpp.

#include <lastcall/net/worker.hpp>

namespace lastcall {

template <class B, class P>
uint32_t Worker<B, P>::list_requests(RequestRoster& roster, uint32_t from) {
  touch_now();  // as mail it comes before the events of its turn
  const Instant now = loop_.now;
  const uint32_t next = connections_.for_each_of(from, kListedPerTurn, [now, &roster](Conn& connection) {
    if (connection.state_ != State::open || !connection.counted_active_) return;
    roster.connection(connection.fd_, connection.bytes_sent_);
    connection.protocol_.describe(now, roster);
  });
  roster.name_peers();
  return next;
}

}  // namespace lastcall
