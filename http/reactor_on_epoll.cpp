#include <lastcall/core/epoll_backend.hpp>
#include <lastcall/http/reactor_thread_impl.hpp>

namespace lastcall {

void run_reactor_on_epoll(ReactorSetup& setup) {
  run_reactor<EpollBackend>(setup);
}

}  // namespace lastcall
