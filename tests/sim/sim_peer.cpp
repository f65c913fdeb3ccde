#include <algorithm>
#include <cerrno>

#include <lastcall/core/check.hpp>

#include "tests/sim/sim_network.hpp"

namespace lastcall {

SimConnection& SimPeer::end() const {
  LASTCALL_CHECK(connection_ != nullptr);
  return *connection_;
}

void SimPeer::write(std::string_view bytes) {
  SimConnection& connection = end();
  LASTCALL_CHECK(!connection.input_ended && !connection.peer_closed);
  if (connection.dead || bytes.empty()) return;
  if (connection.server_closed || connection.read_shut) {
    connection.network->reset_peer(connection);
    return;
  }
  connection.input.append(bytes);
}

void SimPeer::half_close() {
  SimConnection& connection = end();
  if (!connection.dead) connection.input_ended = true;
}

void SimPeer::close() {
  SimConnection& connection = end();
  if (connection.peer_closed) return;
  if (!connection.output.empty()) reset();  // as Linux: a close that loses data is a reset
  connection.peer_closed = true;
  connection.on_readable = nullptr;
  if (!connection.dead) connection.input_ended = true;
}

void SimPeer::reset() {
  SimConnection& connection = end();
  if (connection.peer_closed || connection.dead) return;
  connection.error = connection.input_ended ? EPIPE : ECONNRESET;
  connection.dead = true;
  connection.peer_closed = true;
  connection.on_readable = nullptr;
  connection.output.clear();
}

std::string SimPeer::take(size_t max_bytes) {
  SimConnection& connection = end();
  std::string taken = connection.output.substr(0, max_bytes);
  connection.output.erase(0, taken.size());
  connection.moved += taken.size();
  return taken;
}

std::string SimPeer::read_all() {
  return take(end().output.size());
}

void SimPeer::set_window(size_t bytes) {
  end().window_bytes = bytes;
}

void SimPeer::on_readable(std::function<void()> callback) {
  SimConnection& connection = end();
  connection.on_readable = std::move(callback);
  if (!connection.output.empty() || connection.output_ended || connection.peer_reset) {
    connection.network->wake(connection);
  }
}

size_t SimPeer::id() const {
  return end().id;
}

size_t SimPeer::untaken() const {
  return end().output.size();
}

bool SimPeer::saw_eof() const {
  const SimConnection& connection = end();
  return connection.output_ended && !connection.peer_reset && connection.output.empty();
}

bool SimPeer::saw_reset() const {
  return end().peer_reset;
}

}  // namespace lastcall
