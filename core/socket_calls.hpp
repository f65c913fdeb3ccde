#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>

namespace lastcall {

/// The socket calls that every kernel backend makes the same way. All of them are plain system calls on a
/// descriptor that the caller owns, and safe from any thread.

/// Sets or clears O_NONBLOCK on the open file description, which duplicates of the descriptor share. Checks
/// that the descriptor is open.
void set_nonblocking(int fd, bool on) noexcept;

/// recv(2) and send(2) of one buffer. libc's wrappers are cancellation points, which in a program with
/// threads costs four locked instructions a request; these are not.
[[nodiscard]] ssize_t receive(int fd, void* bytes, size_t size, int flags) noexcept;
[[nodiscard]] ssize_t transmit(int fd, const void* bytes, size_t size, int flags) noexcept;

/// One connection (close-on-exec, plus `flags` of accept4(2)) or -errno; -EAGAIN when the queue is empty.
/// Connections that died in the queue are skipped.
[[nodiscard]] int accept_one(int fd, int flags) noexcept;

/// Is this errno of accept(2) about one connection, network or signal, so that the listener itself is well?
[[nodiscard]] bool is_transient_accept_error(int code) noexcept;

/// Bytes in the receive queue (FIONREAD), 0 when the descriptor cannot tell.
[[nodiscard]] int unread_bytes(int fd) noexcept;

/// A number that changes whenever the peer takes bytes: for TCP those acknowledged so far (TCP_INFO), for
/// Unix sockets one derived from what is queued (SIOCOUTQ), which sees progress only while nothing is sent in
/// between.
[[nodiscard]] uint64_t send_progress(int fd) noexcept;

}  // namespace lastcall
