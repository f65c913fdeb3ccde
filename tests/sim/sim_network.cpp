#include "tests/sim/sim_network.hpp"

#include <algorithm>
#include <cerrno>

#include <lastcall/core/check.hpp>

namespace lastcall {

namespace {
thread_local SimNetwork* newest = nullptr;
}

SimOptions SimOptions::epoll_like(uint64_t seed) {
  return {.seed = seed};
}

SimOptions SimOptions::uring_like(uint64_t seed) {
  return {.seed = seed, .pending_send = 1, .stop_by_event = 1, .late_events = 0.5};
}

SimOptions SimOptions::chaotic(uint64_t seed) {
  return {.seed = seed,
          .torn_read = 0.5,
          .pending_send = 0.5,
          .torn_send = 0.5,
          .stop_by_event = 0.5,
          .late_events = 0.5,
          .shuffle = true};
}

uint64_t SimRandom::next() noexcept {
  uint64_t mixed = state_ += 0x9e3779b97f4a7c15;
  mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
  mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
  return mixed ^ (mixed >> 31);
}

bool SimRandom::chance(double probability) noexcept {
  if (probability <= 0) return false;  // draws nothing, so that switching an option off changes nothing else
  return static_cast<double>(next() >> 11) * 0x1.0p-53 < probability;
}

SimNetwork::SimNetwork(SimOptions options) : options_(options), random_(options.seed), older_(newest) {
  newest = this;
}

SimNetwork::~SimNetwork() {
  LASTCALL_CHECK(newest == this);
  newest = older_;
  for (auto& connection : connections_) {  // callbacks may hold their own peer
    if (auto alive = connection.lock()) alive->on_readable = nullptr;
  }
}

SimNetwork& SimNetwork::current() {
  LASTCALL_CHECK(newest != nullptr);
  return *newest;
}

bool SimNetwork::is_open(int fd) const noexcept {
  return listeners_.contains(fd) || sockets_.contains(fd);
}

int SimNetwork::lowest_free() {
  while (is_open(lowest_free_)) ++lowest_free_;
  return lowest_free_;
}

std::shared_ptr<SimConnection> SimNetwork::make_connection() {
  auto connection = std::make_shared<SimConnection>();
  connection->network = this;
  connection->id = connections_.size();
  connection->window_bytes = options_.window_bytes;
  connections_.push_back(connection);
  return connection;
}

SimConnection& SimNetwork::socket(int fd) const {
  auto found = sockets_.find(fd);
  LASTCALL_CHECK(found != sockets_.end());
  return *found->second;
}

int SimNetwork::listen() {
  int fd = lowest_free();
  listeners_.try_emplace(fd);
  return fd;
}

SimPeer SimNetwork::connect(int listener) {
  auto connection = make_connection();
  if (auto found = listeners_.find(listener); found != listeners_.end()) {
    found->second.push_back(connection);
  } else {
    reset_peer(*connection);
  }
  return SimPeer(connection);
}

std::pair<int, SimPeer> SimNetwork::pair() {
  auto connection = make_connection();
  int fd = lowest_free();
  sockets_.emplace(fd, connection);
  return {fd, SimPeer(connection)};
}

void SimNetwork::schedule(Instant when, std::function<void()> action) {
  actions_.emplace(when, std::move(action));
}

void SimNetwork::signal(int fd) {
  signals_[fd] = true;
}

bool SimNetwork::take_signal(int fd) {
  auto found = signals_.find(fd);
  return found != signals_.end() && std::exchange(found->second, false);
}

size_t SimNetwork::queued(int listener) const {
  auto found = listeners_.find(listener);
  return found == listeners_.end() ? 0 : found->second.size();
}

int SimNetwork::accept(int listener) {
  auto found = listeners_.find(listener);
  LASTCALL_CHECK(found != listeners_.end());
  if (found->second.empty()) return -EAGAIN;
  if (open_descriptors() >= static_cast<size_t>(options_.descriptor_limit)) return -EMFILE;
  int fd = lowest_free();
  sockets_.emplace(fd, std::move(found->second.front()));
  found->second.pop_front();
  ++accepted_;
  return fd;
}

int SimNetwork::receive(int fd, std::span<char> into) {
  SimConnection& connection = socket(fd);
  if (size_t size = std::min(into.size(), connection.input.size()); size != 0) {
    std::copy_n(connection.input.begin(), size, into.begin());
    connection.input.erase(0, size);
    return static_cast<int>(size);
  }
  if (connection.input_ended) return 0;  // SOCK_DONE is looked at before sk_err
  if (connection.error != 0) return -std::exchange(connection.error, 0);
  return connection.read_shut || connection.dead ? 0 : -EAGAIN;
}

int SimNetwork::transmit(int fd, std::string_view bytes) {
  SimConnection& connection = socket(fd);
  if (connection.error != 0) return -std::exchange(connection.error, 0);
  if (connection.output_ended || connection.dead) return -EPIPE;
  if (connection.peer_closed) {  // the bytes leave, and a reset comes back
    connection.dead = true;
    connection.error = EPIPE;  // as after a FIN: the connection was in CLOSE_WAIT
    return static_cast<int>(bytes.size());
  }
  size_t held = connection.output.size();
  size_t room = connection.window_bytes > held ? connection.window_bytes - held : 0;
  size_t size = std::min(room, bytes.size());
  if (size == 0 && !bytes.empty()) return -EAGAIN;
  connection.output.append(bytes.substr(0, size));
  connection.moved += size;
  wake(connection);
  return static_cast<int>(size);
}

void SimNetwork::shutdown_write(int fd) {
  SimConnection& connection = socket(fd);
  connection.output_ended = true;
  wake(connection);
}

void SimNetwork::shutdown_both(int fd) {
  socket(fd).read_shut = true;
  shutdown_write(fd);
}

void SimNetwork::close(int fd) {
  lowest_free_ = std::min(lowest_free_, fd);
  if (auto found = listeners_.find(fd); found != listeners_.end()) {
    for (auto& connection : found->second) reset_peer(*connection);
    listeners_.erase(found);
    return;
  }
  SimConnection& connection = socket(fd);
  connection.server_closed = true;
  connection.output_ended = true;
  if (!connection.input.empty()) {
    reset_peer(connection);
  } else {
    wake(connection);
  }
  sockets_.erase(fd);
}

void SimNetwork::break_connection(int fd) {
  SimConnection& connection = socket(fd);
  connection.input.clear();
  connection.input_ended = false;
  connection.error = ECONNRESET;
  reset_peer(connection);
}

int SimNetwork::unread(int fd) const {
  return static_cast<int>(socket(fd).input.size());
}

size_t SimNetwork::id(int fd) const {
  return socket(fd).id;
}

uint64_t SimNetwork::progress(int fd) const {
  return socket(fd).moved;
}

void SimNetwork::reset_peer(SimConnection& connection) {
  connection.dead = true;
  if (connection.peer_closed || connection.peer_reset) return;
  connection.peer_reset = true;
  connection.output.clear();
  ++resets_;
  wake(connection);
}

void SimNetwork::wake(SimConnection& connection) {
  if (!connection.on_readable || connection.wake_queued) return;
  connection.wake_queued = true;
  schedule(now_, [alive = connection.shared_from_this()] {
    alive->wake_queued = false;
    auto callback = alive->on_readable;  // a copy: it may set another
    if (callback) callback();
  });
}

void SimNetwork::run_due() {
  LASTCALL_CHECK(++turns_here_ < options_.turn_limit);  // livelock: the clock does not get on
  while (!actions_.empty() && actions_.begin()->first <= now_) {
    auto action = actions_.extract(actions_.begin());
    action.mapped()();
  }
}

bool SimNetwork::advance(Instant until) {
  if (until <= now_) return false;
  Instant next = actions_.empty() ? kNever : actions_.begin()->first;
  if (next == kNever && until == kNever) {
    deadlocked_ = true;
    bool deadlock = !options_.return_on_deadlock;
    LASTCALL_CHECK(!deadlock);  // waiting for ever, and nothing is to come
    return false;
  }
  if (Instant then = std::min(until, next); then > now_) {
    now_ = then;
    turns_here_ = 0;
  }
  return next <= until;
}

}  // namespace lastcall
