#pragma once

#include <string>

#include <lastcall/net/client_table.hpp>
#include <lastcall/net/peer_address.hpp>

namespace lastcall {

/// The other end of a connection, where somebody has to know it before a handler asks. Others have none of
/// this, and ask the socket.
struct KnownPeer {
  PeerAddress address;         ///< whom a PROXY header named, else the socket's
  std::string text{};          ///< of an address that is not the socket's; else empty
  bool trusted = false;        ///< it may say for whom it speaks
  ClientTable::Share share{};  ///< among the connections of its client
};

}  // namespace lastcall
