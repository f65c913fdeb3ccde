#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>

#include <lastcall/net/offload_pool.hpp>

namespace lastcall {

/// How large a WorkerPool is.
struct WorkerPoolOptions {
  uint32_t threads = 4;  ///< that run at most; from 1. Started when there is work, and kept
  uint32_t queue = 64;   ///< what may wait for one of them; more is refused
};

/// A bounded pool of threads of one's own, for `co_await offload(pool, f)`: so that what waits for a slow
/// database holds up nothing else. Of any number of servers, also of several at once. Its threads are named
/// "NAME-0", "NAME-1", …, of which the kernel keeps 15 bytes.
///
/// Lifetime: it must be there as long as a handler may offload to it. Declared before its server it always
/// is; it may also go before the server when that has stopped (or never ran). Its destructor runs what was
/// taken, and waits for that; a server's stop waits for what its handlers have offloaded, here as in its own
/// pool. From any thread.
class WorkerPool {
 public:
  /// Throws std::invalid_argument for a pool of no threads.
  explicit WorkerPool(std::string name, WorkerPoolOptions options = {})
      : pool_(checked(options).threads, options.queue, {}, std::move(name)) {}

  // A moment later they may be different.
  [[nodiscard]] uint32_t queued() const noexcept { return pool_.queued(); }    ///< taken, not started
  [[nodiscard]] uint32_t running() const noexcept { return pool_.running(); }  ///< in a function now

 private:
  template <class F>
  friend class Offload;
  static const WorkerPoolOptions& checked(const WorkerPoolOptions& options) {
    if (options.threads == 0) throw std::invalid_argument("a worker pool has at least one thread");
    return options;
  }
  OffloadPool pool_;
};

}  // namespace lastcall
