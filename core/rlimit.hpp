#pragma once

#include <cstdint>

namespace lastcall {

/// How many descriptors this process may have open (the soft RLIMIT_NOFILE). Some systems allow a billion:
/// never allocate in proportion to it without a cap.
[[nodiscard]] uint64_t descriptor_limit() noexcept;

/// How many this process has open, its standard streams included; 0 where /proc does not tell. Takes time in
/// proportion to them on kernels before 6.2.
[[nodiscard]] uint64_t open_descriptors() noexcept;

/// Raises the soft limit to the hard one, which needs no privilege, and returns the limit then in force.
/// Once, when the process starts; select(2) does not work on descriptors beyond 1023.
uint64_t raise_descriptor_limit() noexcept;

}  // namespace lastcall
