#include "tests/support/faults.hpp"

#include <liburing.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <new>

#include <lastcall/core/check.hpp>

namespace lastcall {

Faults::Faults() : file_(::memfd_create("fault plan", MFD_CLOEXEC)) {
  LASTCALL_CHECK(::ftruncate(file_.get(), sizeof(fault::Plan)) == 0);
  void* page = ::mmap(nullptr, sizeof(fault::Plan), PROT_READ | PROT_WRITE, MAP_SHARED, file_.get(), 0);
  LASTCALL_CHECK(page != MAP_FAILED);
  plan_ = ::new (page) fault::Plan{};
}

Faults::~Faults() {
  ::munmap(plan_, sizeof(fault::Plan));
}

std::vector<std::string> Faults::environment(const std::string& library) const {
  // The page is opened through us, so that no descriptor of it is left in the process.
  std::string file = "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(file_.get());
  // The sanitizer wants to be loaded first, lest others allocate before it; this library never allocates.
  const char* options = std::getenv("ASAN_OPTIONS");
  return {
      "LD_PRELOAD=" + library, fault::kPlanVariable + ("=" + file),
      "ASAN_OPTIONS=" + (options != nullptr ? options + std::string(":") : "") + "verify_asan_link_order=0"};
}

void Faults::arm(fault::Call call, const Fault& fault) {
  fault::Rule& changed = rule(call);
  changed.every = 0;
  changed.left = fault.times;
  changed.error = fault.error;
  changed.at_most = fault.at_most;
  changed.calls = 0;
  changed.fired = 0;
  changed.every = fault.every;
}

bool can_fault_io_uring() {
  constexpr int kWanted = -ENOBUFS;
  io_uring ring{};
  if (io_uring_queue_init(2, &ring, 0) != 0) return false;
  io_uring_sqe* entry = io_uring_get_sqe(&ring);
  io_uring_prep_nop(entry);
  entry->len = static_cast<uint32_t>(kWanted);
  entry->rw_flags = 1;
  io_uring_cqe* done = nullptr;
  bool works =
      io_uring_submit_and_wait(&ring, 1) == 1 && io_uring_peek_cqe(&ring, &done) == 0 && done->res == kWanted;
  io_uring_queue_exit(&ring);
  return works;
}

}  // namespace lastcall
