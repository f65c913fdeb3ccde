// Bytes that are lent to the kernel: in few sends, in their order, each once.

#include <numeric>

#include "tests/sim/server.hpp"

namespace lastcall::test {
namespace {

struct Behaviour {
  const char* name;
  SimOptions (*options)(uint64_t seed);
};

class LastingPieces : public ::testing::TestWithParam<Behaviour> {
 protected:
  /// POST /pieces answers with the pieces; a small one is copied.
  std::vector<Route> routes() {
    std::vector<Route> routes;
    auto write = [this](Request&, Response& response) -> Task<> {
      response.content_length(body().size());
      for (const std::string& piece : pieces_)
        if (!co_await response.write_lasting(piece)) co_return;
    };
    routes.push_back({.pattern = "/pieces", .handler = write, .options = {}});
    return routes;
  }
  void add(size_t bytes) {
    std::string piece(bytes, '\0');
    for (size_t i = 0; i < bytes; ++i)
      piece[i] = static_cast<char>('a' + (i * 7 + i / 251 + pieces_.size()) % 26);
    pieces_.push_back(std::move(piece));
  }
  [[nodiscard]] std::string body() const {
    return std::accumulate(pieces_.begin(), pieces_.end(), std::string());
  }
  /// The sends that so many answers took, of which each must be right.
  uint64_t sends_of(size_t answers) {
    SimServer server(GetParam().options(1), {}, {}, routes());
    SimPeer peer = server.connect();
    for (size_t i = 0; i < answers; ++i)
      peer.write("POST /pieces HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    server.run_for(1s);
    const std::string stream = peer.read_all();
    const auto parsed = parse_answers(stream);
    EXPECT_TRUE(parsed && parsed->size() == answers);
    const std::string expected = body();
    for (const Answer& answer : parsed.value_or(std::vector<Answer>{}))
      EXPECT_TRUE(answer.whole && answer.body == expected);
    EXPECT_EQ(server.counters().bytes_sent, stream.size());
    return server.network.sends();
  }

  std::vector<std::string> pieces_;
};

INSTANTIATE_TEST_SUITE_P(Behaviours, LastingPieces,
                         ::testing::Values(Behaviour{"Epoll", &SimOptions::epoll_like},
                                           Behaviour{"Uring", &SimOptions::uring_like},
                                           Behaviour{"Torn", &SimOptions::chaotic}),
                         [](const auto& behaviour) { return behaviour.param.name; });

TEST_P(LastingPieces, GoWithTheHeadInOneSend) {
  for (int i = 0; i < 3; ++i) add(100'000);
  EXPECT_EQ(sends_of(1), 1u);
}

TEST_P(LastingPieces, AreNoMoreThanASendHasSegments) {
  for (int i = 0; i < 8; ++i) add(20'000);
  EXPECT_EQ(sends_of(1), 3u);  // the head and three, four, one
}

TEST_P(LastingPieces, AreNoMoreThanASendLends) {
  for (int i = 0; i < 3; ++i) add(700'000);
  EXPECT_EQ(sends_of(1), 3u);  // 1 MB, 1 MB, 2,848 bytes
}

TEST_P(LastingPieces, StayBehindWhatIsCopiedBeforeThem) {
  add(50'000);
  add(10);
  add(50'000);
  EXPECT_EQ(sends_of(1), 2u);
}

/// The send of the lent piece is not the last one.
TEST_P(LastingPieces, OfAnAnswerThatClosesComeBeforeTheEnd) {
  add(50'000);
  add(10);
  SimServer server(GetParam().options(1), {}, {}, routes());
  SimPeer peer = server.connect();
  peer.write("POST /pieces HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
  server.run_for(1s);
  const Answer answer = parse_answer(peer.read_all());
  EXPECT_TRUE(answer.whole && answer.body == body());
  EXPECT_TRUE(peer.saw_eof());
  EXPECT_EQ(server.last_sends(), 1u);
}

/// A turn has only so many sends for each connection; the next follows at once, not when something happens.
TEST_P(LastingPieces, AreSentWithoutSleepBetweenTurns) {
  for (int i = 0; i < 200; ++i) add(20'000);  // in sends of four
  SimServer server(GetParam().options(1), {}, {}, routes());
  SimPeer peer = server.connect();
  server.settle();
  peer.write("POST /pieces HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
  size_t soon = 0;
  server.network.schedule(server.network.now() + 1ms, [&] { soon = peer.read_all().size(); });
  server.run_for(10ms);
  EXPECT_GT(server.network.sends(), 40u);
  EXPECT_GT(soon, body().size());
}

TEST_P(LastingPieces, OfTheNextAnswerStayBehindItsHead) {
  add(50'000);
  add(50'000);
  EXPECT_EQ(sends_of(3), 3u);
}

}  // namespace
}  // namespace lastcall::test
