#pragma once

#include <lastcall/core/error.hpp>

namespace lastcall {

/// Does UringBackend work here? Really makes one and lets it accept, receive, send and close on a loopback
/// connection; all of it is gone afterwards. An error says in one sentence why not (an old kernel, a sysctl,
/// a seccomp filter, a missing feature), with the errno where there was one. Takes about a millisecond; from
/// any thread.
[[nodiscard]] Result<void> probe_uring();

}  // namespace lastcall
