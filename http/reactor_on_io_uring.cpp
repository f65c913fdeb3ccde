#include <lastcall/core/uring_backend.hpp>
#include <lastcall/http/reactor_thread_impl.hpp>

namespace lastcall {

void run_reactor_on_io_uring(ReactorSetup& setup) {
  run_reactor<UringBackend>(setup);
}

}  // namespace lastcall
