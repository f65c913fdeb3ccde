#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <limits>
#include <stop_token>
#include <utility>

#include <lastcall/core/check.hpp>
#include <lastcall/http/memory_reactor.hpp>
#include <lastcall/http/server_parts.hpp>
#include <lastcall/http/server_run.hpp>
#include <lastcall/http/test_client.hpp>

namespace lastcall {
namespace {

// What the server may send that is not taken: a handler that writes without end is held back there.
constexpr size_t kWindowBytes = 64 * 1024;
constexpr size_t kWhole = std::numeric_limits<size_t>::max();

void append_chunks(std::string& text, std::string_view body) {
  while (!body.empty()) {
    const std::string_view chunk = body.substr(0, kTestChunkBytes);
    std::array<char, 16> size{};
    char* const end = std::to_chars(size.data(), size.data() + size.size(), chunk.size(), 16).ptr;
    text.append(size.data(), end).append("\r\n").append(chunk).append("\r\n");
    body.remove_prefix(chunk.size());
  }
  text.append("0\r\n\r\n");
}

bool has(const TestAnswer::Fields& fields, std::string_view name) {
  return std::ranges::any_of(fields, [name](const auto& f) { return equal_ignoring_case(f.first, name); });
}

std::string serialize(const TestRequest& request) {
  std::string text = request.method + " " + request.target + " HTTP/1.1\r\n";
  if (!has(request.headers, "Host")) text.append("Host: test\r\n");
  for (const auto& [name, value] : request.headers) text.append(name + ": " + value + "\r\n");
  const bool expected = request.method == "POST" || request.method == "PUT" || request.method == "PATCH";
  if (request.chunked) {
    text.append("Transfer-Encoding: chunked\r\n");
  } else if ((expected || !request.body.empty()) && !has(request.headers, "Content-Length")) {
    text.append("Content-Length: " + std::to_string(request.body.size()) + "\r\n");
  }
  text.append("\r\n");
  if (request.chunked) {
    append_chunks(text, request.body);
  } else {
    text.append(request.body);
  }
  return text;
}

}  // namespace

TestConnection::TestConnection(std::unique_ptr<MemoryConnection> connection) noexcept
    : connection_(std::move(connection)) {}
TestConnection::TestConnection(TestConnection&&) noexcept = default;
TestConnection& TestConnection::operator=(TestConnection&&) noexcept = default;
TestConnection::~TestConnection() = default;

void TestConnection::send(std::string_view bytes) {
  connection_->receive(bytes);
}
void TestConnection::torn(size_t bytes) {
  connection_->set_piece(bytes == 0 ? kWhole : bytes);
}
std::string TestConnection::take() {
  return connection_->take();
}
std::string TestConnection::take(size_t most) {
  return connection_->take(most);
}
void TestConnection::set_window(size_t bytes) {
  connection_->set_window(bytes);
}
void TestConnection::end_of_stream() {
  connection_->end_of_stream();
}
void TestConnection::vanish() {
  connection_->vanish();
}
bool TestConnection::open() const {
  return connection_->open();
}

struct TestClient::State {
  explicit State(const ServerParts& server)
      : options(session_options(server.options)),
        pool(OffloadPool::NoThreads{}, server.options.offload_threads + server.options.offload_queue),
        reactor(options, server.router, server.routes, pool, server.options.server_name),
        error(server.route_error ? server.route_error->message : ""),
        stopping(server.stopping),
        drain(server.drain) {}

  /// Lets go of connections whose requests are answered, once their handlers have ended.
  void forget_ended() {
    std::erase_if(answered, [](const TestConnection& connection) { return !connection.open(); });
  }

  SessionOptions options;
  OffloadPool pool;
  MemoryReactor reactor;
  std::vector<TestConnection> answered;  // the handler may still be at work, with its client there
  std::string error;
  std::atomic<bool>& stopping;
  std::stop_source drain;
  size_t piece = kWhole;
};

struct PendingAnswer::Parts {
  TestClient& client;
  TestConnection connection;
  TestAnswerReader reader;
  std::string error{};
  bool done = false;
};

PendingAnswer::PendingAnswer(TestClient& client, TestConnection connection, bool to_head)
    : parts_(new Parts{client, std::move(connection), TestAnswerReader(to_head)}) {}
PendingAnswer::PendingAnswer(PendingAnswer&&) noexcept = default;
PendingAnswer& PendingAnswer::operator=(PendingAnswer&&) noexcept = default;
PendingAnswer::~PendingAnswer() = default;

TestConnection& PendingAnswer::connection() noexcept {
  return parts_->connection;
}

bool PendingAnswer::done() {
  return look();
}

/// Reads what has come; true when no more has to come.
bool PendingAnswer::look() {
  Parts& parts = *parts_;
  if (parts.done) return true;
  MemoryConnection& connection = *parts.connection.connection_;
  using Outcome = TestAnswerReader::Outcome;
  Outcome outcome = Outcome::more;
  do {  // piece by piece: a handler that writes without end must not fill the memory
    outcome = parts.reader.feed(connection.take(kWindowBytes));
  } while (outcome == Outcome::more && connection.sent() != 0);
  if (outcome == Outcome::more && !connection.open()) {
    const bool in_order = connection.wish() == CloseWish::direct || connection.wish() == CloseWish::linger;
    if (in_order) {
      outcome = parts.reader.end();
    } else {
      parts.error = parts.reader.begun() ? "the connection broke in the middle of the answer"
                                         : "the connection broke before an answer";
    }
  }
  if (outcome == Outcome::bad) parts.error = "no answer as it should be: " + parts.reader.what();
  if (outcome == Outcome::whole && !parts.reader.rest().empty() && parts.error.empty())
    parts.error = "bytes behind the answer: " + parts.reader.rest().substr(0, 64);
  parts.done = outcome != Outcome::more || !parts.error.empty();
  return parts.done;
}

TestAnswer PendingAnswer::get() {
  LASTCALL_CHECK(parts_ != nullptr);  // once
  TestClient::State& state = *parts_->client.state_;
  MemoryReactor& reactor = state.reactor;
  const Instant limit = after(reactor.loop().now, TestClient::kLongestWait);
  while (!look()) {
    if (reactor.run_work()) {
      if (reactor.loop().now <= limit) continue;
      return give_up("no answer within an hour of simulated time");
    }
    const Instant next = reactor.next_wakeup();
    if (next == kNever) return give_up("the handler waits for something that never comes: no timer is armed");
    if (next > limit || reactor.loop().now > limit)
      return give_up("no answer within an hour of simulated time");
    reactor.turn(next);
  }
  if (!parts_->error.empty()) return give_up(parts_->error);
  TestAnswer answer = parts_->reader.take();
  // The handler may still have something to do; a client that is content stays.
  state.forget_ended();
  MemoryConnection& connection = *parts_->connection.connection_;
  if (connection.open() && connection.unread() == 0) connection.end_of_stream();
  if (connection.open()) state.answered.push_back(std::move(parts_->connection));
  parts_.reset();
  return answer;
}

TestAnswer PendingAnswer::give_up(std::string why) {
  parts_.reset();
  TestAnswer answer;
  answer.error = std::move(why);
  return answer;
}

TestClient::TestClient(Server& server) : state_(std::make_unique<State>(server.parts())) {}

TestClient::~TestClient() = default;

TestConnection TestClient::connect() {
  TestConnection connection(std::make_unique<MemoryConnection>(state_->reactor));
  connection.connection_->set_piece(state_->piece);
  return connection;
}

PendingAnswer TestClient::start(const TestRequest& request) {
  PendingAnswer pending(*this, connect(), request.method == "HEAD");
  if (!state_->error.empty()) {
    pending.parts_->error = state_->error;
    pending.parts_->done = true;
    return pending;
  }
  pending.connection().set_window(kWindowBytes);
  pending.connection().send(serialize(request));
  return pending;
}

PendingAnswer TestClient::start(std::string_view method, std::string_view target) {
  return start({.method = std::string(method), .target = std::string(target)});
}

TestAnswer TestClient::request(const TestRequest& request) {
  return start(request).get();
}

TestAnswer TestClient::get(std::string_view target, TestAnswer::Fields headers) {
  return request({.method = "GET", .target = std::string(target), .headers = std::move(headers)});
}
TestAnswer TestClient::del(std::string_view target, TestAnswer::Fields headers) {
  return request({.method = "DELETE", .target = std::string(target), .headers = std::move(headers)});
}
TestAnswer TestClient::post(std::string_view target, std::string_view body, TestAnswer::Fields headers) {
  return request({"POST", std::string(target), std::move(headers), std::string(body)});
}
TestAnswer TestClient::put(std::string_view target, std::string_view body, TestAnswer::Fields headers) {
  return request({"PUT", std::string(target), std::move(headers), std::string(body)});
}
TestAnswer TestClient::patch(std::string_view target, std::string_view body, TestAnswer::Fields headers) {
  return request({"PATCH", std::string(target), std::move(headers), std::string(body)});
}

void TestClient::tear(size_t bytes) noexcept {
  state_->piece = bytes == 0 ? kWhole : bytes;
}

void TestClient::advance(Duration duration) {
  state_->reactor.advance(duration);
  state_->forget_ended();
}

Instant TestClient::now() const noexcept {
  return state_->reactor.loop().now;
}

void TestClient::drain() {
  state_->stopping.store(true, std::memory_order_relaxed);
  state_->drain.request_stop();
  state_->reactor.drain();
  advance(0s);  // who was told by a token goes on
}

void TestClient::force() {
  state_->reactor.force();
  advance(0s);
}

const std::string& TestClient::error() const noexcept {
  return state_->error;
}

}  // namespace lastcall
