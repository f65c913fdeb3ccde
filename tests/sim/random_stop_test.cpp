// Random clients, torn input and output, a stop at a random instant. The seed decides everything; a failure
// prints it. LASTCALL_SEED=N runs that one alone, LASTCALL_SEEDS=N so many.

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <sstream>

#include "tests/sim/server.hpp"

namespace lastcall::test {
namespace {

/// One client: sends random requests in random pieces at random times, and looks at what comes.
struct Client {
  enum class Kind { keep_alive, pipelining, half_sent, slow_reader, resets, leaves, silent, kKinds };

  SimPeer peer;
  Kind kind{};
  std::string unsent;        // of the requests, to be sent in pieces
  size_t requests = 0;       // that were sent whole
  size_t before_drain = 0;   // … and had arrived before the drain
  size_t sent = 0;           // bytes
  std::vector<size_t> ends;  // where each request ends in what is sent
  std::string received;
  bool gone = false;  // by its own doing
};

class RandomStop {
 public:
  explicit RandomStop(uint64_t seed) : random_(seed), server_(options(seed)) {
    size_t clients = 1 + random_.below(12);
    for (size_t i = 0; i < clients; ++i) {
      server_.network.schedule_in(some(2s), [this] { arrive(); });
    }
    stop_at_ = server_.network.now() + some(3s);
  }

  void run() {
    server_.network.schedule(stop_at_, [this] { note_arrivals(); });
    server_.run_until(stop_at_);
    EXPECT_EQ(server_.counters().accepted_while_stopping, 0u);
    bool skip = random_.chance(0.1);
    if (!skip) {
      server_.enter(Phase::draining, some(1s));
      server_.run_for(1ms);
      EXPECT_TRUE(server_.acknowledged(Phase::draining));
      server_.run_for(random_.chance(0.5) ? 30s : some(3s));
    }
    server_.enter(Phase::forcing);
    server_.settle();
    EXPECT_TRUE(server_.acknowledged(Phase::forcing));
    server_.run_for(500ms);
    for (auto& client : clients_) read(*client);
    check_counters();
    aborted_ = server_.control.take_aborted();
    if (!skip) check_clients();
    server_.shut_down();
  }

 private:
  static SimOptions options(uint64_t seed) {
    SimOptions sim = seed % 3 == 0   ? SimOptions::epoll_like(seed)
                     : seed % 3 == 1 ? SimOptions::uring_like(seed)
                                     : SimOptions::chaotic(seed);
    if (seed % 2 == 0) sim.torn_read = 0.3;
    return sim;
  }
  Duration some(Duration most) {
    return std::chrono::milliseconds(random_.below(static_cast<size_t>(to_ms(most)) + 1));
  }

  std::string request() {
    switch (random_.below(7)) {
      case 0: return get("/users/7");
      case 1: return get("/sleep?ms=" + std::to_string(random_.below(1500)));
      case 2: return get("/stream?n=5&ms=" + std::to_string(random_.below(300)));
      case 3: return post("/echo", std::string(random_.below(5000), 'e'));
      case 4: return post_chunked("/describe", random_.below(20), "X: y\r\n");
      case 5: return post("/nowhere", std::string(random_.below(3000), 'n'));
      default: return get("/big?n=" + std::to_string(random_.below(30'000)));
    }
  }

  void arrive() {
    if (stopping()) return;
    clients_.push_back(std::make_unique<Client>());
    Client& client = *clients_.back();
    client.kind = static_cast<Client::Kind>(random_.below(static_cast<size_t>(Client::Kind::kKinds)));
    client.peer = server_.connect();
    client.peer.on_readable([this, &client] { readable(client); });
    if (client.kind == Client::Kind::slow_reader) client.peer.set_window(500 + random_.below(3000));
    if (client.kind == Client::Kind::silent) return;
    size_t requests = client.kind == Client::Kind::pipelining ? 2 + random_.below(8) : 1 + random_.below(3);
    for (size_t i = 0; i < requests; ++i) {
      client.unsent += request();
      client.ends.push_back(client.unsent.size());
    }
    if (client.kind == Client::Kind::half_sent) {
      client.unsent.resize(client.unsent.size() - 1);
      client.ends.pop_back();
    }
    send_some(client);
  }

  void send_some(Client& client) {
    if (client.gone || client.unsent.empty() || client.peer.saw_reset()) return;
    size_t size = random_.chance(0.5) ? client.unsent.size() : 1 + random_.below(client.unsent.size());
    client.peer.write(client.unsent.substr(0, size));
    client.unsent.erase(0, size);
    client.sent += size;
    if (client.unsent.empty() && client.kind == Client::Kind::resets) {
      server_.network.schedule_in(some(500ms), [this, &client] { leave(client, true); });
    } else if (client.unsent.empty() && client.kind == Client::Kind::leaves) {
      server_.network.schedule_in(some(500ms), [this, &client] { leave(client, false); });
    }
    if (!client.unsent.empty())
      server_.network.schedule_in(some(400ms), [this, &client] { send_some(client); });
  }

  void leave(Client& client, bool reset) {
    if (client.gone) return;
    client.gone = true;
    reset ? client.peer.reset() : client.peer.close();
  }

  void readable(Client& client) {
    if (client.kind != Client::Kind::slow_reader) {
      read(client);
    } else {
      server_.network.schedule_in(some(200ms), [this, &client] {
        client.received += client.peer.take(1 + random_.below(4000));
        if (client.peer.untaken() > 0) readable(client);
      });
    }
    // Sees the end of the stream, and ends its side as well.
    if (client.peer.saw_eof() && !client.gone) leave(client, false);
  }

  void read(Client& client) {
    if (!client.gone) client.received += client.peer.read_all();
  }

  [[nodiscard]] bool stopping() { return server_.control.phase() >= Phase::draining; }

  void note_arrivals() {
    for (auto& client : clients_) {
      client->before_drain = static_cast<size_t>(
          std::ranges::count_if(client->ends, [&](size_t end) { return end <= client->sent; }));
    }
  }

  void check_counters() {
    server_.expect_balance();
    EXPECT_EQ(server_.counters().accepted, clients_.size());
    EXPECT_EQ(server_.counters().active + server_.counters().idle, 0u);
    EXPECT_EQ(server_.ended(), clients_.size());
  }

  /// Every request that was there before the drain is answered in full and once, unless its client left or
  /// its exchange is in the report.
  void check_clients() {
    size_t unanswered = 0;
    for (auto& client : clients_) {
      bool left = client->kind == Client::Kind::resets || client->kind == Client::Kind::leaves;
      if (left) continue;
      EXPECT_FALSE(client->peer.saw_reset() && aborted_.empty()) << "reset, and nothing in the report";
      auto answers = parse_answers(client->received);
      if (!answers) {
        ADD_FAILURE() << "no sequence of answers: " << client->received;
        continue;
      }
      auto whole = static_cast<size_t>(std::ranges::count_if(*answers, [](const Answer& answer) {
        return answer.whole && answer.status != 503 && answer.status != 408;
      }));
      // A body that nobody wants need not be whole for its answer.
      size_t half = client->kind == Client::Kind::half_sent ? 1 : 0;
      EXPECT_LE(whole, client->ends.size() + half);
      if (whole < client->before_drain) {
        ++unanswered;
        tell_ << "client of kind " << static_cast<int>(client->kind) << ": " << whole << " whole of "
              << client->before_drain << " before the drain, " << client->ends.size() << " in all; sent "
              << client->sent << ", unsent " << client->unsent.size() << ", received:\n"
              << client->received.substr(0, 2000) << "\n";
      }
      for (size_t i = 0; i + 1 < answers->size(); ++i) EXPECT_FALSE((*answers)[i].closes());
    }
    EXPECT_LE(unanswered, aborted_.size()) << tell_.str();
  }

  SimRandom random_;
  std::vector<std::unique_ptr<Client>> clients_;
  SimServer server_;
  Instant stop_at_{};
  std::vector<AbortedExchange> aborted_;
  std::ostringstream tell_;
};

TEST(RandomStop, KeepsItsPromises) {
  uint64_t first = 1, seeds = 300;
  if (const char* text = std::getenv("LASTCALL_SEEDS")) seeds = std::strtoull(text, nullptr, 10);
  if (const char* text = std::getenv("LASTCALL_SEED")) first = std::strtoull(text, nullptr, 10), seeds = 1;
  for (uint64_t seed = first; seed < first + seeds; ++seed) {
    SCOPED_TRACE("LASTCALL_SEED=" + std::to_string(seed));
    RandomStop(seed).run();
    if (::testing::Test::HasFailure()) break;
  }
}

}  // namespace
}  // namespace lastcall::test
