#pragma once

#include <pthread.h>

#include <lastcall/core/time.hpp>

namespace lastcall {

/// Runs `function(argument)` on another thread in the middle of what that thread is doing: in a handler of
/// SIGURG, which is installed for the time of the call and otherwise does nothing. So it may do only what a
/// signal handler may, and must be brief. True once it has returned. False when the thread has not come to it
/// within `patience` (it sleeps in the kernel, gets no CPU, blocks the signal); then it will not run any
/// more. From any thread but `thread`, which must not have been joined; one call at a time in the process,
/// others wait.
[[nodiscard]] bool interrupt_thread(pthread_t thread, void (*function)(void*) noexcept, void* argument,
                                    Duration patience);

/// Unblocks the signal on the calling thread, which may have inherited a mask from whoever started the
/// program.
void let_interrupt() noexcept;

}  // namespace lastcall
