// A handler is cancelled at each point where it can wait, in each way that this can come about. It always
// ends, once, with everything destroyed that it held; nothing is leaked or counted twice.

#include <atomic>
#include <optional>
#include <stop_token>
#include <thread>
#include <tuple>

#include <lastcall/http/completion.hpp>
#include <lastcall/http/stream.hpp>

#include "tests/sim/server.hpp"

namespace lastcall::test {
namespace {

enum Point { kBody, kSleep, kSleepWithToken, kToken, kCompletion, kNested, kWrite, kClient, kPoints };
enum StreamPoint { kStreamRead, kStreamWrite, kStreamReadAgain, kStreamPoints };

enum class Way {
  reset,
  close_then_force,  // one that has only ended its side still gets its answer
  force,
  drain_and_force,
  reset_then_force,  // in the same turn
  force_then_reset,
  token_then_reset,  // what it waits for comes in the same turn
  completion_then_force,
  teardown,  // the reactor is destroyed around it
};

/// What a handler is given, and shows.
struct Stage {
  int at = -1;  ///< the point that it waits at
  int held = 0;
  int ended = 0;
  std::stop_source sleep_token;
  std::stop_source token;
  std::optional<Completer<int>> completer;
};

struct Held {
  explicit Held(Stage& s) : stage(s) { ++stage.held; }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;
  ~Held() { --stage.held; }
  Stage& stage;
};

Task<> inner(Stage& stage) {
  Held held(stage);
  co_await sleep_for(10ms);
}

Task<> waits_everywhere(Stage& stage, Request& request, Response& response) {
  Held held(stage);
  stage.at = kBody;
  static_cast<void>(co_await request.read());
  stage.at = kSleep;
  co_await sleep_for(10ms);
  stage.at = kSleepWithToken;
  co_await sleep_for(1h, stage.sleep_token.get_token());
  stage.at = kToken;
  co_await until(stage.token.get_token());
  stage.at = kCompletion;
  auto [completer, completion] = make_completion<int>();
  stage.completer.emplace(std::move(completer));
  co_await std::move(completion);
  stage.at = kNested;
  co_await inner(stage);
  stage.at = kWrite;
  const std::string more_than_both_buffers(300'000, 'x');
  if (co_await response.write(more_than_both_buffers) && co_await response.write(more_than_both_buffers)) {
    stage.at = kClient;
    co_await request.disconnected();
  }
  ++stage.ended;
}

Task<> waits_on_a_stream(Stage& stage, Request&, Response& response) {
  Held held(stage);
  Stream& stream = response.hijack();
  stage.at = kStreamRead;
  static_cast<void>(co_await stream.read());
  stage.at = kStreamWrite;
  const std::string more_than_both_buffers(300'000, 'x');
  if (co_await stream.write(more_than_both_buffers) && co_await stream.write(more_than_both_buffers)) {
    stage.at = kStreamReadAgain;
    static_cast<void>(co_await stream.read());
  }
  ++stage.ended;
}

struct Behaviour {
  const char* name;
  SimOptions (*options)(uint64_t seed);
};

class Cancel : public ::testing::TestWithParam<std::tuple<Behaviour, std::pair<Way, const char*>>> {
 protected:
  static constexpr size_t kWindow = 1000;
  static constexpr size_t kWhole = 1'000'000;

  void open(Handler handler, std::string_view request) {
    std::vector<Route> routes;
    routes.push_back({.pattern = "/stage", .handler = std::move(handler), .options = {}});
    server_.emplace(std::get<0>(GetParam()).options(1), WorkerOptions{}, SessionOptions{}, std::move(routes));
    peer_ = server_->connect();
    peer_.set_window(kWindow);
    peer_.write(request);
    server_->settle();
  }

  /// Lets the handler go on from the point that it waits at.
  void pass(int point) {
    switch (point) {
      case kBody: peer_.write("b"); break;
      case kSleep:
      case kNested: server_->run_for(20ms); break;
      case kSleepWithToken: stage_.sleep_token.request_stop(); break;
      case kToken: stage_.token.request_stop(); break;
      case kCompletion: stage_.completer->complete(1); break;
      case kWrite: take_it_all(); break;
      default: break;
    }
    server_->settle();
  }
  void take_it_all() {
    peer_.set_window(kWhole);
    for (int i = 0; i < 100; ++i) {
      server_->turn();
      static_cast<void>(peer_.read_all());
    }
  }

  void cancel() {
    switch (std::get<1>(GetParam()).first) {
      case Way::reset: peer_.reset(); break;
      case Way::close_then_force:
        peer_.close();
        server_->settle();
        enter(Phase::forcing);
        break;
      case Way::force: enter(Phase::forcing); break;
      case Way::drain_and_force:
        enter(Phase::draining);
        server_->run_for(5ms);
        enter(Phase::forcing);
        break;
      case Way::reset_then_force:
        peer_.reset();
        enter(Phase::forcing);
        break;
      case Way::force_then_reset:
        enter(Phase::forcing);
        server_->turn();
        peer_.reset();
        break;
      case Way::token_then_reset:
        stage_.sleep_token.request_stop();
        stage_.token.request_stop();
        peer_.reset();
        break;
      case Way::completion_then_force:
        if (stage_.completer) stage_.completer->complete(1);
        enter(Phase::forcing);
        break;
      case Way::teardown: server_.reset(); return;
    }
    server_->settle();
  }
  void enter(Phase phase) {
    if (phase == Phase::forcing && server_->control.phase() < Phase::draining)
      server_->enter(Phase::draining);
    server_->enter(phase);
  }

  void expect_over(int point) {
    SCOPED_TRACE(point);
    if (server_) {
      server_->run_for(2h);  // what is waited for after the cancellation takes its time
      EXPECT_EQ(stage_.ended, 1);
      EXPECT_EQ(server_->counters().active + server_->counters().idle, 0u);
      server_->expect_balance();
      server_.reset();  // sees to it that no buffer, timer or descriptor is left
    }
    EXPECT_EQ(stage_.held, 0);
    peer_ = {};
    stage_ = {};
  }

  Stage stage_;
  std::optional<SimServer> server_;
  SimPeer peer_;
};

constexpr Behaviour kBehaviours[] = {
    {"Epoll", &SimOptions::epoll_like}, {"Uring", &SimOptions::uring_like}, {"Torn", &SimOptions::chaotic}};
constexpr std::pair<Way, const char*> kWays[] = {{Way::reset, "Reset"},
                                                 {Way::close_then_force, "CloseThenForce"},
                                                 {Way::force, "Force"},
                                                 {Way::drain_and_force, "DrainAndForce"},
                                                 {Way::reset_then_force, "ResetThenForce"},
                                                 {Way::force_then_reset, "ForceThenReset"},
                                                 {Way::token_then_reset, "TokenThenReset"},
                                                 {Way::completion_then_force, "CompletionThenForce"},
                                                 {Way::teardown, "Teardown"}};

std::string name_of(const ::testing::TestParamInfo<Cancel::ParamType>& made) {
  return std::string(std::get<0>(made.param).name) + std::get<1>(made.param).second;
}

INSTANTIATE_TEST_SUITE_P(Everywhere, Cancel,
                         ::testing::Combine(::testing::ValuesIn(kBehaviours), ::testing::ValuesIn(kWays)),
                         name_of);

TEST_P(Cancel, AtEveryPointOfAnAnswer) {
  for (int point = 0; point < kPoints; ++point) {
    open([this](Request& request, Response& response) { return waits_everywhere(stage_, request, response); },
         "POST /stage HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n");
    for (int passed = 0; passed < point; ++passed) {
      ASSERT_EQ(stage_.at, passed);
      pass(passed);
    }
    ASSERT_EQ(stage_.at, point);
    EXPECT_EQ(stage_.ended, 0);
    cancel();
    expect_over(point);
  }
}

TEST_P(Cancel, AtEveryPointOfAStream) {
  for (int point = 0; point < kStreamPoints; ++point) {
    open(
        [this](Request& request, Response& response) { return waits_on_a_stream(stage_, request, response); },
        "POST /stage HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    if (point > kStreamRead) pass(kBody);
    if (point > kStreamWrite) pass(kWrite);
    ASSERT_EQ(stage_.at, point);
    EXPECT_EQ(stage_.ended, 0);
    cancel();
    expect_over(point);
  }
}

class CancelWork : public Cancel {};

// Without the teardown: a reactor's thread waits for the pool before that.
INSTANTIATE_TEST_SUITE_P(Everywhere, CancelWork,
                         ::testing::Combine(::testing::ValuesIn(kBehaviours),
                                            ::testing::ValuesIn(std::begin(kWays), std::end(kWays) - 1)),
                         name_of);

// Work on another thread cannot be cut short: the handler, and what it refers to, stays until it is done.
TEST_P(CancelWork, OnAnotherThread) {
  std::atomic<bool> go = false;
  open(
      [&](Request&, Response&) -> Task<> {
        Held held(stage_);
        stage_.at = 0;
        static_cast<void>(co_await offload([&go] { go.wait(false); }));
        ++stage_.ended;
      },
      "POST /stage HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
  ASSERT_EQ(stage_.at, 0);
  cancel();
  server_->run_for(1s);
  EXPECT_EQ(stage_.ended, 0);
  EXPECT_EQ(stage_.held, 1);
  go = true;
  go.notify_all();
  // Then its mail is there, and has rung.
  while (server_->pool().queued() > 0 || server_->pool().running() > 0) std::this_thread::yield();
  expect_over(0);
}

}  // namespace
}  // namespace lastcall::test
