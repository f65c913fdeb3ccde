#pragma once

#include <string>

#include <lastcall/core/error.hpp>
#include <lastcall/net/address.hpp>

namespace lastcall {

// What the sources of ListenerGroup say in their errors.

[[nodiscard]] inline std::string listening_on(const Address& address) {
  return "listen " + address.text;
}

/// A cause, with the address in front.
[[nodiscard]] inline std::unexpected<Error> prefixed(const Address& address, const Error& cause) {
  return std::unexpected(Error{listening_on(address) + ": " + cause.message, cause.code});
}

/// Whether it is a listening stream socket.
[[nodiscard]] Result<void> check_listening(const Address& address, int fd);

}  // namespace lastcall
