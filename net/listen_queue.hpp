#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <lastcall/shutdown/runner.hpp>

namespace lastcall {

/// Takes whoever is in the queue of a listening socket, answers `answer` where bytes of a request have come,
/// and ends the connections in order; adds them to `queued`, at most kMostQueued. For a listener whose
/// reactor is stuck.
inline constexpr size_t kMostQueued = 4096;  ///< beyond them, the kernel resets who waits
void end_listen_queue(int listener, std::string_view answer, std::vector<QueuedConnection>& queued);

}  // namespace lastcall
