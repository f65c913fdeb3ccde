#include "tests/sim/world_backend.hpp"

#include <algorithm>
#include <cerrno>
#include <string_view>
#include <utility>

#include "tests/sim/world.hpp"
#include "tests/sim/world_client.hpp"

namespace lastcall::test {
namespace {

// How often a client that thinks asks again just before it is judged to be idle, and just behind the end.
constexpr double kProvokedByVerdict = 0.3;
constexpr double kProvokedByEnd = 0.1;
constexpr uint64_t kPartOfSend = 2;  // Bug::short_send sends 1 / kPartOfSend

bool contains(std::span<const iovec> segments, std::string_view text) {
  return std::ranges::any_of(segments, [text](const iovec& segment) {
    return std::string_view(static_cast<const char*>(segment.iov_base), segment.iov_len).find(text) !=
           std::string_view::npos;
  });
}

const char* name(Op op) {
  switch (op) {
    case Op::accept: return "accept";
    case Op::recv: return "recv";
    case Op::send: return "send";
    case Op::watch: return "watch";
    case Op::none: break;
  }
  return "?";
}

}  // namespace

WorldBackend::WorldBackend()
    : world_(World::current()), reactor_(world_.making()), inner_(world_.network()), now_(world_.now()) {}

// --- the ledger

void WorldBackend::begin(Op op, Token token, int fd) {
  auto [found, fresh] = running_.try_emplace({token.slot, op}, Running{token, fd});
  if (fresh) return;
  world_.fail("one operation of a kind on a slot",
              "r%u starts %s on slot %u, generation %u, where generation %u runs", reactor_.id, name(op),
              token.slot, token.generation, found->second.token.generation);
}

WorldBackend::Running* WorldBackend::find(Op op, Token token) {
  auto found = running_.find({token.slot, op});
  bool known = found != running_.end() && found->second.token.generation == token.generation;
  return known ? &found->second : nullptr;
}

void WorldBackend::finish(Op op, Token token) {
  if (find(op, token) == nullptr) {
    world_.fail("an operation ends once, while its slot is its own",
                "r%u: %s on slot %u, generation %u has ended before", reactor_.id, name(op), token.slot,
                token.generation);
    return;
  }
  running_.erase({token.slot, op});
}

size_t WorldBackend::unended() const {
  return static_cast<size_t>(std::ranges::count_if(running_, [](const auto& entry) {
    return entry.first.second == Op::recv || entry.first.second == Op::send;
  }));
}

Flow& WorldBackend::flow(int fd) {
  return world_.flow(world_.network().id(fd));
}

// --- accepting

void WorldBackend::accept_start(Token token, int fd) {
  world_.interlude(reactor_);
  if (world_.failed()) return;
  begin(Op::accept, token, fd);
  if (!reactor_.listeners.contains(fd)) world_.fail("nothing is accepted on a closed listener", "fd %d", fd);
  inner_.accept_start(token, fd);
}

bool WorldBackend::accept_stop(Token token, int fd) {
  world_.interlude(reactor_);
  if (world_.failed()) return true;
  bool ended = inner_.accept_stop(token, fd);
  world_.trace("r%u stops accepting: %s", reactor_.id, ended ? "at once" : "by an event");
  if (ended) {
    finish(Op::accept, token);
  } else if (Running* running = find(Op::accept, token)) {
    running->stopping = true;
  }
  return ended;
}

int WorldBackend::accept_now(Token token, int fd) {
  if (world_.failed()) return -EAGAIN;
  // No interlude here or in close(): where newcomers are not led aside, they would come between the last look
  // and the close, and no server can help that.
  if (world_.bug() == Bug::queue_drain) return -EAGAIN;
  static constexpr int kErrors[] = {EMFILE, ENFILE, ENOBUFS, ENOMEM};
  int result = 0;
  if (world_.network().queued(fd) != 0 && world_.chance(world_.plan().accept_error)) {
    result = -kErrors[world_.random().below(std::size(kErrors))];
  } else {
    result = inner_.accept_now(token, fd);
  }
  world_.note_queue_error(fd, result < 0 && result != -EAGAIN);
  if (result >= 0) {
    world_.saw(Seen::queue_drained);
    note_accepted(result, false);
  } else if (result != -EAGAIN) {
    world_.saw(Seen::accept_errors);
    world_.trace("r%u accept_now: error %d", reactor_.id, -result);
  }
  return result;
}

void WorldBackend::note_accepted(int fd, bool late) {
  Flow& flow = this->flow(fd);
  flow.state = Flow::State::open;
  flow.active_at = flow.received_at = world_.now();
  ++reactor_.accepted;
  if (late) world_.saw(Seen::late_accepts);
  world_.trace("r%u accepts c%zu as %d%s", reactor_.id, flow.id, fd, late ? ", after the cancel" : "");
}

// --- receiving

void WorldBackend::recv_start(Token token, int fd) {
  world_.interlude(reactor_);
  if (world_.failed()) return;
  begin(Op::recv, token, fd);
  if (world_.chance(world_.plan().refused_operation)) {
    refused_.emplace_back(with_op(token, Op::recv), -ENOMEM);
    Flow& flow = this->flow(fd);
    flow.broken = true;
    world_.saw(Seen::refused_operations);
    world_.trace("r%u recv on c%zu cannot be registered", reactor_.id, flow.id);
    return;
  }
  inner_.recv_start(token, fd);
}

bool WorldBackend::recv_pause(Token token, int fd) {
  world_.interlude(reactor_);
  if (world_.failed()) return true;
  if (Running* running = find(Op::recv, token); running != nullptr && running->lost) return false;
  size_t refused =
      std::erase_if(refused_, [&](const auto& entry) { return entry.first == with_op(token, Op::recv); });
  bool ended = refused != 0 || inner_.recv_pause(token, fd);
  if (ended) finish(Op::recv, token);
  return ended;
}

// --- sending

SendStatus WorldBackend::send(Token token, int fd, std::span<const iovec> segments, SendHint hint) {
  world_.interlude(reactor_);
  size_t total = 0;
  for (const iovec& segment : segments) total += segment.iov_len;
  if (world_.failed()) return {.result = static_cast<int32_t>(total), .pending = false};
  begin(Op::send, token, fd);
  Flow& flow = this->flow(fd);
  if (world_.chance(world_.plan().broken_send)) {
    world_.trace("the network breaks c%zu under a send", flow.id);
    world_.saw(Seen::broken);
    flow.broken = true;
    world_.network().break_connection(fd);
  }
  note_send(flow, fd, segments);
  iovec part = segments.front();
  int withheld = 0;
  if (world_.bug() == Bug::short_send && part.iov_len > kPartOfSend && world_.commit(Bug::short_send)) {
    withheld = static_cast<int>(part.iov_len - part.iov_len / kPartOfSend);
    part.iov_len /= kPartOfSend;
  }
  SendStatus status =
      inner_.send(token, fd, withheld != 0 ? std::span<const iovec>(&part, 1) : segments, hint);
  world_.trace("r%u sends %zu to c%zu: %s %d", reactor_.id, total, flow.id,
               status.pending ? "pending" : "result", status.result);
  if (!status.pending) {
    if (status.result > 0) status.result += withheld;
    finish(Op::send, token);
  } else if (Running* running = find(Op::send, token)) {
    running->withheld_bytes = withheld;
  }
  return status;
}

void WorldBackend::note_send(Flow& flow, int fd, std::span<const iovec> segments) {
  flow.active_at = world_.now();
  flow.had_answer = true;
  if (contains(segments, "too many connections")) {
    flow.overloaded = true;
    world_.saw(Seen::overloads);
  }
  if (flow.ended) {
    world_.fail("nothing is sent behind the end of a stream", "c%zu", flow.id);
  }
  // Behind a send that was pending, what is sent now was written at any time since.
  bool waited = flow.send_ended == reactor_.turns;
  size_t received = waited ? flow.received_at_send : flow.received_before;
  flow.received_at_send = flow.received_before;
  if (flow.said_close || !contains(segments, "\r\nConnection: close\r\n")) return;
  flow.said_close = true;
  flow.received_at_close = received;
  world_.saw(Seen::closes);
  if (world_.network().unread(fd) > 0) world_.saw(Seen::unserved_pipelined);
}

// --- watches

void WorldBackend::watch_start(Token token, int fd) {
  begin(Op::watch, token, fd);
  if (fd == world_.control().broadcast_fd()) broadcast_ = fd;
  inner_.watch_start(token, fd);
}

void WorldBackend::watch_stop(Token token, int fd) {
  if (world_.failed()) return;
  finish(Op::watch, token);
  inner_.watch_stop(token, fd);
}

// --- endings

void WorldBackend::half_close(int fd) {
  if (world_.failed()) return;
  Flow& flow = this->flow(fd);
  // No interlude: bytes that come between FIONREAD and the FIN are the late requests that HTTP/1.1 cannot
  // save.
  bool idle = !flow.said_close && !flow.broken && !flow.client->is_amid_exchange(flow.received);
  if (idle && world_.control().phase() < Phase::forcing) check_idle_end(flow, fd);
  flow.ended = true;
  flow.ended_at = world_.now();
  world_.trace("r%u ends c%zu%s", reactor_.id, flow.id, flow.idle_end ? " as idle" : "");
  inner_.half_close(fd);
  if (flow.idle_end) world_.provoke(flow, kProvokedByEnd);
}

void WorldBackend::check_idle_end(Flow& flow, int fd) {
  flow.idle_end = true;
  // Who did not look may meet with a request just now, too.
  if (!std::exchange(flow.looked_at, false)) world_.provoke(flow, kProvokedByVerdict);
  if (int unread = world_.network().unread(fd); unread > 0) {
    world_.fail("an idle connection is not closed over readable bytes", "c%zu with %d bytes in its socket",
                flow.id, unread);
  }
  const SessionOptions& session = world_.plan().session;
  // The idle timeout counts from when the last answer was written, which is not seen here; it was not before
  // this.
  Instant timeout = flow.received_at + std::min(session.idle_timeout, session.header_timeout);
  if (world_.now() >= timeout) return;
  world_.saw(Seen::idle_closed);
  if (world_.control().phase() >= Phase::draining && world_.now() >= world_.idle_end_at()) return;
  world_.fail("an idle connection has its grace", "c%zu was ended %lld ms after its last byte", flow.id,
              static_cast<long long>(to_ms(world_.now() - flow.active_at)));
}

void WorldBackend::abort(int fd) {
  if (world_.failed()) return;
  Flow& flow = this->flow(fd);
  flow.ended = true;
  flow.ended_at = world_.now();
  flow.aborted = true;
  world_.trace("r%u aborts c%zu", reactor_.id, flow.id);
  inner_.abort(fd);
}

void WorldBackend::close(Token token, int fd) {
  if (world_.failed()) return;
  for (auto& [key, running] : running_) {
    if (running.fd != fd) continue;
    world_.fail("no operation outlives its descriptor", "r%u closes %d while %s runs on slot %u", reactor_.id,
                fd, name(key.second), key.first);
    return;
  }
  if (reactor_.listeners.contains(fd)) {
    world_.listener_closed(reactor_, fd, world_.network().queued(fd));
  } else {
    Flow& flow = this->flow(fd);
    int unread = world_.network().unread(fd);
    Duration patience = std::min(world_.plan().worker.linger_timeout, Duration(150ms));
    flow.over_unread = unread > 0 && flow.ended && world_.now() - flow.ended_at >= patience;
    flow.state = Flow::State::closed;
    flow.ended = true;
    ++reactor_.closed;
    world_.trace("r%u closes c%zu, %d bytes unread", reactor_.id, flow.id, unread);
  }
  inner_.close(token, fd);
}

int WorldBackend::unread(int fd) {
  world_.interlude(reactor_);
  if (world_.failed()) return 0;
  world_.provoke(flow(fd), kProvokedByVerdict);
  flow(fd).looked_at = true;
  int bytes = inner_.unread(fd);
  if (bytes > 0) {
    world_.saw(Seen::saved_by_unread);
    world_.trace("r%u finds %d bytes in the socket of c%zu", reactor_.id, bytes, flow(fd).id);
  }
  return world_.bug() == Bug::readable_bytes ? 0 : bytes;
}

uint64_t WorldBackend::progress(int fd) const {
  return world_.failed() ? 0 : inner_.progress(fd);
}

// --- waiting

void WorldBackend::run(Instant until, const Sink& sink) {
  delivered_ = 0;
  ++reactor_.turns;
  if (world_.failed()) {
    now_ += 1s;  // whoever waits for something gives up
    return;
  }
  for (auto& [key, running] : running_) {
    if (key.second == Op::recv) flow(running.fd).received_before = flow(running.fd).received;
  }
  poll(sink);
  reactor_.wake_at = until;
  reactor_.worked = delivered_ != 0 || until <= now_;
  // Behind its loop a reactor waits by itself for the last events.
  while (reactor_.leaving && delivered_ == 0 && world_.now() < until && !world_.failed()) {
    if (world_.over() ? !world_.network().advance(until) : !world_.step(until)) break;
    poll(sink);
  }
  if (reactor_.leaving && delivered_ == 0) now_ = std::max(now_, until);
}

void WorldBackend::poll(const Sink& sink) {
  now_ = world_.now();
  for (auto& [token, error] : std::exchange(refused_, {})) {
    deliver(Event{.token = token, .result = error, .last = true, .bytes = {}}, sink);
  }
  inner_.wait(Instant{}, [&](const Event& event) { on_event(event, sink); });
}

void WorldBackend::on_event(const Event& event, const Sink& sink) {
  if (world_.failed() || swallow(event)) return;
  ++delivered_;
  if (event.token.op == Op::accept && event.result == -EMFILE) {
    static constexpr int kErrors[] = {EMFILE, ENFILE, ENOBUFS, ENOMEM, EAGAIN};
    Event failed = event;
    failed.result = -kErrors[world_.random().below(std::size(kErrors))];
    world_.saw(Seen::accept_errors);
    return deliver(failed, sink);
  }
  if (event.token.op == Op::recv && event.result > 0 && world_.bug() == Bug::wrong_connection) {
    for (auto& [key, running] : running_) {
      if (key.second != Op::recv || key.first == event.token.slot || !world_.commit(Bug::wrong_connection))
        continue;
      Event astray = event;
      astray.token = with_op(running.token, Op::recv);
      astray.last = false;
      return deliver(astray, sink);
    }
  }
  deliver(event, sink);
  bool twice = event.last && event.token.op != Op::accept && world_.commit(Bug::double_last);
  if (twice && !world_.failed()) deliver(event, sink);
}

/// Deliberate bugs that make an event disappear.
bool WorldBackend::swallow(const Event& event) {
  if (event.token.op == Op::watch && world_.bug() == Bug::lost_broadcast) {
    Running* running = find(Op::watch, event.token);
    return running != nullptr && running->fd == broadcast_ && world_.commit(Bug::lost_broadcast);
  }
  if (event.token.op == Op::accept && event.result >= 0 && world_.bug() == Bug::late_accepts) {
    Running* running = find(Op::accept, event.token);
    if (running == nullptr || !running->stopping) return false;
    world_.network().close(event.result);
    return true;
  }
  return event.last && event.token.op != Op::accept && lose(event);
}

bool WorldBackend::lose(const Event& event) {
  Running* running = find(event.token.op, event.token);
  if (running == nullptr || !world_.commit(Bug::lost_last)) return false;
  return running->lost = true;
}

void WorldBackend::deliver(Event event, const Sink& sink) {
  Running* running = find(event.token.op, event.token);
  if (running == nullptr) {
    finish(event.token.op, event.token);  // says what is wrong
    return;
  }
  Running known = *running;
  if (event.last) finish(event.token.op, event.token);
  bool told = event.token.op == Op::watch && world_.control().phase() >= Phase::forcing;
  reactor_.forced = reactor_.forced || told;
  if (event.token.op == Op::accept && event.result >= 0) {
    note_accepted(event.result, known.stopping);
  } else if (event.token.op == Op::accept) {
    world_.trace("r%u accept ends: error %d", reactor_.id, -event.result);
  } else if (event.token.op == Op::recv) {
    note_received(known, event);
  } else if (event.token.op == Op::send) {
    if (event.result > 0) event.result += known.withheld_bytes;
    flow(known.fd).active_at = world_.now();
    flow(known.fd).send_ended = reactor_.turns;
    world_.trace("r%u sent to c%zu: %d", reactor_.id, flow(known.fd).id, event.result);
  }
  sink(event);
}

void WorldBackend::note_received(const Running& running, const Event& event) {
  Flow& flow = this->flow(running.fd);
  world_.trace("r%u receives from c%zu: %d%s", reactor_.id, flow.id, event.result,
               event.last ? ", last" : "");
  if (event.result <= 0) return;
  flow.received += event.bytes.size();
  if (!reactor_.forced) flow.heard = flow.received;
  flow.received_at = world_.now();
  flow.active_at = world_.now();
  if (!flow.idle_end || flow.late_seen) return;
  flow.late_seen = true;
  ++reactor_.late;
}

}  // namespace lastcall::test
