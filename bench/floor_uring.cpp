// The floor under io_uring: one thread, multishot accept and receive, a ring of provided buffers; the answers
// of a batch leave with the one io_uring_enter that waits for the next. Linux 6.1 and later (DEFER_TASKRUN),
// liburing 2.3.
#include <liburing.h>
#include <sys/mman.h>

#include "bench/floor.hpp"

namespace {

namespace floors = lastcall::floors;

constexpr unsigned kEntries = 4096;
constexpr unsigned kBuffers = 1024;  // a power of two
constexpr unsigned kBufferBytes = 4096;
constexpr int kGroup = 0;

enum class Op : uint8_t { accept, recv, send };

struct Server {
  io_uring ring{};
  io_uring_buf_ring* buffers = nullptr;
  char* memory = nullptr;
  int listener;
  floors::Answers answers;
  floors::HeadCounter heads;

  explicit Server(int fd) : listener(fd) {
    io_uring_params params{};
    params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE;
    params.cq_entries = 4 * kEntries;
    check(io_uring_queue_init_params(kEntries, &ring, &params), "io_uring_queue_init_params");
    if (io_uring_register_ring_fd(&ring) != 1) floors::die("io_uring_register_ring_fd", EINVAL);
    provide_buffers();
    accept_connections();
  }

  static void check(int result, const char* what) {
    if (result < 0) floors::die(what, -result);
  }

  void provide_buffers() {
    const size_t ring_bytes = kBuffers * sizeof(io_uring_buf);
    const size_t bytes = ring_bytes + size_t{kBuffers} * kBufferBytes;
    void* pages = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) floors::die("mmap", errno);
    buffers = static_cast<io_uring_buf_ring*>(pages);
    memory = static_cast<char*>(pages) + ring_bytes;
    io_uring_buf_reg registration{};
    registration.ring_addr = reinterpret_cast<uint64_t>(buffers);
    registration.ring_entries = kBuffers;
    registration.bgid = kGroup;
    check(io_uring_register_buf_ring(&ring, &registration, 0), "io_uring_register_buf_ring");
    io_uring_buf_ring_init(buffers);
    for (unsigned i = 0; i < kBuffers; ++i) give_back(static_cast<uint16_t>(i));
  }

  void give_back(uint16_t id) {
    io_uring_buf_ring_add(buffers, memory + size_t{id} * kBufferBytes, kBufferBytes, id, kBuffers - 1, 0);
    io_uring_buf_ring_advance(buffers, 1);
  }

  /// A submission with its user_data set once it is prepared (preparing clears it).
  template <class Prepare>
  void submit(Op op, int fd, Prepare&& prepare) {
    io_uring_sqe* sqe = io_uring_get_sqe(&ring);
    if (sqe == nullptr) {
      check(io_uring_submit(&ring), "io_uring_submit");
      sqe = io_uring_get_sqe(&ring);
    }
    prepare(sqe);
    io_uring_sqe_set_data64(sqe, static_cast<uint64_t>(fd) << 8 | static_cast<uint64_t>(op));
  }

  void accept_connections() {
    submit(Op::accept, listener, [this](io_uring_sqe* sqe) {
      io_uring_prep_multishot_accept(sqe, listener, nullptr, nullptr, SOCK_CLOEXEC);
    });
  }

  void receive(int fd) {
    submit(Op::recv, fd, [fd](io_uring_sqe* sqe) {
      io_uring_prep_recv_multishot(sqe, fd, nullptr, 0, 0);
      sqe->flags |= IOSQE_BUFFER_SELECT;
      sqe->buf_group = kGroup;
    });
  }

  /// The answers are all the same bytes and never change: no order to keep, nothing to free, success need not
  /// be told.
  void answer(int fd, size_t count) {
    const std::string_view bytes = answers.of(count);
    submit(Op::send, fd, [fd, bytes](io_uring_sqe* sqe) {
      io_uring_prep_send(sqe, fd, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_WAITALL);
      sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    });
  }

  void accepted(const io_uring_cqe& cqe) {
    if (cqe.res >= 0) {
      heads.forget(cqe.res);
      receive(cqe.res);
    } else if (cqe.res != -EINTR && cqe.res != -ECONNABORTED) {
      floors::die("accept", -cqe.res);
    }
    if (!(cqe.flags & IORING_CQE_F_MORE)) accept_connections();
  }

  void received(int fd, const io_uring_cqe& cqe) {
    if (cqe.res > 0) {
      const auto id = static_cast<uint16_t>(cqe.flags >> IORING_CQE_BUFFER_SHIFT);
      const std::string_view bytes(memory + size_t{id} * kBufferBytes, static_cast<size_t>(cqe.res));
      if (const size_t count = heads.count(fd, bytes)) answer(fd, count);
      give_back(id);
    }
    if (cqe.flags & IORING_CQE_F_MORE) return;
    if (cqe.res > 0 || cqe.res == -ENOBUFS || cqe.res == -EINTR) {
      receive(fd);
    } else {
      close(fd);
    }
  }

  void handle(const io_uring_cqe& cqe) {
    const int fd = static_cast<int>(cqe.user_data >> 8);
    switch (static_cast<Op>(cqe.user_data & 0xff)) {
      case Op::accept: return accepted(cqe);
      case Op::recv: return received(fd, cqe);
      case Op::send: return;  // failed: the receive ends too, and closes
    }
  }

  void run() {
    for (;;) {
      const int submitted = io_uring_submit_and_wait(&ring, 1);
      if (submitted != -EINTR && submitted != -EBUSY) check(submitted, "io_uring_submit_and_wait");
      unsigned head;
      unsigned seen = 0;
      io_uring_cqe* cqe;
      io_uring_for_each_cqe(&ring, head, cqe) {
        handle(*cqe);
        ++seen;
      }
      io_uring_cq_advance(&ring, seen);
    }
  }
};

}  // namespace

int main(int argc, char** argv) {
  Server server(floors::listen_on(floors::options_from(argc, argv, false).port));
  server.run();
}
