#include <dirent.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <future>
#include <latch>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <lastcall/core/log.hpp>
#include <lastcall/core/probe.hpp>
#include <lastcall/http/completion.hpp>
#include <lastcall/http/server.hpp>

#include "tests/support/raw_client.hpp"

// A server inside a program that owns its main loop: start, work, stop; hooks and background tasks.
namespace lastcall::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Lifecycle : public ::testing::TestWithParam<IoChoice> {
 protected:
  void SetUp() override {
    log_configure(LogFormat::text, LogLevel::off);
    if (GetParam() != IoChoice::io_uring) return;
    if (Result<void> probed = probe_uring(); !probed) GTEST_SKIP() << probed.error().message;
  }

  [[nodiscard]] static ServerOptions options(std::string listen = "127.0.0.1:0") {
    ServerOptions options;
    options.listen = {std::move(listen)};
    options.reactors = 2;
    options.io = GetParam();
    options.stop.idle_grace = 20ms;
    return options;
  }
  static std::string get(const std::string& target) {
    return "GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n";
  }
  static int descriptors() {
    DIR* folder = ::opendir("/proc/self/fd");
    int count = 0;
    while (::readdir(folder) != nullptr) ++count;
    ::closedir(folder);
    return count;
  }
};

INSTANTIATE_TEST_SUITE_P(Io, Lifecycle, ::testing::Values(IoChoice::epoll, IoChoice::io_uring),
                         [](const auto& io) { return io.param == IoChoice::epoll ? "epoll" : "io_uring"; });

TEST_P(Lifecycle, StartReturnsTheBoundAddressesAndShutdownFreesThemAtOnce) {
  std::string address;
  const int before = descriptors();
  for (int round = 0; round < 3; ++round) {
    Server server(options(address.empty() ? "127.0.0.1:0" : address));
    server.get("/", [](const Request&, Response& response) { response.text("hello"); });
    const Result<std::vector<std::string>> started = server.start();
    ASSERT_TRUE(started) << started.error().message;
    ASSERT_EQ(started->size(), 1u);
    address = started->at(0);
    EXPECT_THAT(address, Not(HasSubstr(":0")));
    RawClient client(address);
    EXPECT_EQ(client.ask(get("/")).body, "hello");
    const Result<DrainReport> report = server.shutdown({.idle_grace = 0s, .deadline = 5s});
    ASSERT_TRUE(report) << report.error().message;
    EXPECT_EQ(report->exit_code, 0);
    EXPECT_EQ(report->reason, "shutdown");
    EXPECT_EQ(descriptors(), before + 1) << "the client's";
  }
}

TEST_P(Lifecycle, AfterAStopTheServerSaysSo) {
  Server server(options());
  ASSERT_TRUE(server.start());
  const Result<std::vector<std::string>> twice = server.start();
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().code, kServerClosed);
  EXPECT_FALSE(server.stopping());
  ASSERT_TRUE(server.shutdown());
  EXPECT_TRUE(server.stopping());
  const Result<std::vector<std::string>> again = server.start();
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, kServerClosed);
  EXPECT_THAT(again.error().message, HasSubstr("stopped"));
  EXPECT_EQ(server.run(), 1);
  EXPECT_TRUE(server.wait()) << "still the report of the stop";
}

TEST_P(Lifecycle, AStartThatFailsIsAnErrorValueAndLeavesNothing) {
  const int before = descriptors();
  Server first(options());
  const std::string address = first.start().value().at(0);
  {
    Server second(options(address));
    const Result<std::vector<std::string>> started = second.start();
    ASSERT_FALSE(started);
    EXPECT_THAT(started.error().message, HasSubstr(address));
    EXPECT_NE(started.error().code, kServerClosed);
    EXPECT_FALSE(second.wait());
  }
  ASSERT_TRUE(first.close());
  EXPECT_EQ(descriptors(), before);
}

TEST_P(Lifecycle, WaitReturnsTheReportHoweverTheStopCame) {
  Server server(options());
  server.post("/stop", [&server](const Request&, Response& response) {
    server.stop();
    response.text("stopping");
  });
  EXPECT_FALSE(server.wait()) << "not started";
  const std::string address = server.start().value().at(0);
  auto report = std::async(std::launch::async, [&] { return server.wait(); });
  RawClient client(address);
  EXPECT_EQ(client.ask("POST /stop HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").body, "stopping");
  EXPECT_EQ(report.get().value().reason, "stop");
}

TEST_P(Lifecycle, CloseCutsOffWhatIsUnderWay) {
  Server server(options());
  std::promise<void> waiting;
  server.get("/wait", [&](Request&, Response&) -> Task<> {
    waiting.set_value();
    co_await sleep_for(1h);
  });
  const std::string address = server.start().value().at(0);
  RawClient idle(address);
  RawClient client(address);
  client.send(get("/wait"));
  waiting.get_future().wait();
  auto answer = std::async(std::launch::async, [&] { return client.read_answer().status; });
  const Result<DrainReport> report = server.close();
  ASSERT_TRUE(report);
  EXPECT_EQ(answer.get(), 503);
  EXPECT_EQ(report->exit_code, 2);
  ASSERT_EQ(report->aborted.size(), 1u);
  EXPECT_EQ(report->aborted[0].target, "/wait");
  EXPECT_EQ(report->aborted[0].why, "close");
  EXPECT_LT(report->duration_ms, 1'000);
}

TEST_P(Lifecycle, TheDestructorCloses) {
  const int before = descriptors();
  {
    Server server(options());
    ASSERT_TRUE(server.start());
  }
  EXPECT_EQ(descriptors(), before);
}

TEST_P(Lifecycle, SeveralServersInOneProcess) {
  Server first(options());
  Server second(options());
  first.get("/", [](const Request&, Response& response) { response.text("first"); });
  second.get("/", [](const Request&, Response& response) { response.text("second"); });
  const std::string one = first.start().value().at(0);
  const std::string other = second.start().value().at(0);
  EXPECT_EQ(RawClient(one).ask(get("/")).body, "first");
  ASSERT_TRUE(first.shutdown());
  EXPECT_EQ(RawClient(other).ask(get("/")).body, "second");
  ASSERT_TRUE(second.shutdown());
}

TEST_P(Lifecycle, RoutesAndHooksComeBeforeTheStart) {
  Server server(options());
  ASSERT_TRUE(server.start());
  EXPECT_THROW(server.get("/late", [](const Request&, Response&) {}), std::logic_error);
  EXPECT_THROW(server.on_shutdown([] {}), std::logic_error);
  EXPECT_THROW(server.on_stopped([] {}), std::logic_error);
}

TEST_P(Lifecycle, HooksRunInTheirOrderAroundTheStop) {
  std::mutex mutex;
  std::vector<std::string> events;
  auto note = [&](std::string what) {
    std::lock_guard lock(mutex);
    events.push_back(std::move(what));
  };
  std::promise<void> waiting;
  {
    Server server(options());
    server.get("/wait", [&](Request& request, Response&) -> Task<> {
      waiting.set_value();
      co_await until(request.drain_token());
      note("handler");
    });
    std::latch both(2);  // each on a thread of its own, or they would wait for ever
    std::promise<void> handler_may_end;
    server.on_shutdown([&] { both.arrive_and_wait(); });
    server.on_shutdown([&] {
      both.arrive_and_wait();
      EXPECT_TRUE(server.stopping());
      note("shutdown");
    });
    server.on_stopped([&] { note("first registered"); });
    server.on_stopped([&] { note("last registered"); });
    const std::string address = server.start().value().at(0);
    RawClient client(address);
    client.send(get("/wait"));
    waiting.get_future().wait();
    const DrainReport report = server.shutdown().value();
    EXPECT_EQ(client.read_answer().status, 200);
    EXPECT_EQ(report.exit_code, 0);
    EXPECT_EQ(report.background.completed, 4u);
    note("returned");
  }
  ASSERT_EQ(events.size(), 5u);
  EXPECT_THAT(std::vector(events.begin(), events.begin() + 2),
              ::testing::UnorderedElementsAre("shutdown", "handler"));
  EXPECT_THAT(std::vector(events.begin() + 2, events.end()),
              ElementsAre("last registered", "first registered", "returned"));
}

TEST_P(Lifecycle, AHookThatThrowsIsAloneAndMakesTheExitCode3) {
  for (const bool at_the_end : {false, true}) {
    Server server(options());
    std::atomic<int> ran = 0;
    auto failing = [] { throw std::runtime_error("broken hook"); };
    auto good = [&ran] { ++ran; };
    server.on_shutdown(good).on_stopped(good);
    at_the_end ? server.on_stopped(failing) : server.on_shutdown(failing);
    server.on_shutdown(good).on_stopped(good);
    ASSERT_TRUE(server.start());
    const DrainReport report = server.shutdown().value();
    EXPECT_EQ(ran, 4);
    EXPECT_EQ(report.exit_code, 3);
    EXPECT_EQ(report.background.failed, 1u);
    EXPECT_EQ(report.background.completed, 4u);
  }
}

TEST_P(Lifecycle, RunReturns3WhenAHookFails) {
  ServerOptions with_socket =
      options("unix:" + ::testing::TempDir() + "lastcall-hook-" + std::to_string(::getpid()) + ".sock");
  Server server(with_socket);
  server.on_shutdown([] { throw 42; });  // not a std::exception
  server.stop();
  EXPECT_EQ(server.run(), 3);
}

TEST_P(Lifecycle, TheStopWaitsForBackgroundTasksOfBothKinds) {
  Server server(options());
  std::promise<void> go;
  std::shared_future<void> gone = go.get_future().share();
  std::atomic<int> ended = 0;
  server.post("/background", [&](const Request&, Response& response) {
    EXPECT_TRUE(server.background("blocking", [&, gone] {
      gone.wait();
      ++ended;
    }));
    EXPECT_TRUE(server.background("coroutine", [&, gone]() -> Task<> {
      static_cast<void>(co_await offload([&gone] { gone.wait(); }));
      co_await sleep_for(1ms);
      ++ended;
    }));
    response.status(202);
  });
  const std::string address = server.start().value().at(0);
  RawClient client(address);
  EXPECT_EQ(client.ask("POST /background HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").status, 202);
  client.close();
  auto report = std::async(std::launch::async, [&] { return server.shutdown().value(); });
  while (!server.stopping()) std::this_thread::yield();
  EXPECT_EQ(report.wait_for(50ms), std::future_status::timeout);
  go.set_value();
  const DrainReport seen = report.get();
  EXPECT_EQ(seen.exit_code, 0);
  EXPECT_EQ(seen.background.completed, 2u);
  EXPECT_EQ(ended, 2);
}

TEST_P(Lifecycle, BackgroundTasksThatThrowAreCountedAndMakeTheExitCode3) {
  Server server(options());
  ASSERT_TRUE(server.background("blocking", [] { throw std::runtime_error("broken"); }));
  ASSERT_TRUE(server.background("coroutine", [](std::stop_token) -> Task<> {
    co_await sleep_for(1ms);
    throw 42;
  }));
  ASSERT_TRUE(server.background("good", [](std::stop_token) {}));
  ASSERT_TRUE(server.start());
  const DrainReport report = server.shutdown().value();
  EXPECT_EQ(report.exit_code, 3);
  EXPECT_EQ(report.background.failed, 2u);
  EXPECT_EQ(report.background.completed, 1u);
}

TEST_P(Lifecycle, TheDeadlineCancelsBackgroundTasks) {
  Server server(options());
  std::atomic<int> told = 0;
  ASSERT_TRUE(server.background("blocking", [&told](std::stop_token token) {
    std::promise<void> stop;
    std::stop_callback on_stop(token, [&stop] { stop.set_value(); });
    stop.get_future().wait();
    ++told;
  }));
  ASSERT_TRUE(server.background("coroutine", [&told](std::stop_token token) -> Task<> {
    const bool whole = co_await sleep_for(1h);
    if (!whole && token.stop_requested()) ++told;
  }));
  ASSERT_TRUE(server.start());
  const DrainReport report = server.shutdown({.deadline = 1s, .force_margin = 900ms}).value();
  EXPECT_EQ(told, 2);
  EXPECT_EQ(report.exit_code, 2);
  EXPECT_EQ(report.background.abandoned, 2u);
  EXPECT_LT(report.duration_ms, 1'000);
}

TEST_P(Lifecycle, WorkThatGoesOnAndOnEndsByTheDrainToken) {
  Server server(options());
  ASSERT_TRUE(server.background("refresh", [token = server.drain_token()]() -> Task<> {
    while (!token.stop_requested()) co_await sleep_for(1h, token);
  }));
  ASSERT_TRUE(server.start());
  EXPECT_FALSE(server.drain_token().stop_requested());
  const DrainReport report = server.shutdown().value();
  EXPECT_EQ(report.exit_code, 0);
  EXPECT_EQ(report.background.completed, 1u);
  EXPECT_TRUE(server.drain_token().stop_requested());
}

TEST_P(Lifecycle, TooManyBackgroundTasksAreRefused) {
  ServerOptions tight = options();
  tight.background_threads = 1;
  tight.background_queue = 1;
  Server server(tight);
  ASSERT_TRUE(server.start());
  std::promise<void> go;
  std::shared_future<void> gone = go.get_future().share();
  EXPECT_TRUE(server.background("runs", [gone] { gone.wait(); }));
  EXPECT_TRUE(server.background("waits", [] {}));
  EXPECT_FALSE(server.background("refused", [] { FAIL(); }));
  go.set_value();
  EXPECT_EQ(server.shutdown().value().background.completed, 2u);
  EXPECT_FALSE(server.background("too late", [] { FAIL(); }));
}

TEST_P(Lifecycle, TooManyBackgroundCoroutinesAreRefused) {
  ServerOptions tight = options();
  tight.max_background_tasks = 2;
  Server server(tight);
  ASSERT_TRUE(server.start());
  auto wait = [token = server.drain_token()]() -> Task<> { co_await until(token); };
  EXPECT_TRUE(server.background("one", wait));
  EXPECT_TRUE(server.background("two", wait));
  EXPECT_FALSE(server.background("three", wait));
  EXPECT_EQ(server.shutdown().value().background.completed, 2u);
}

// Whoever comes from outside in the stop's last moments: what was taken is awaited, what was refused did not
// run.
TEST_P(Lifecycle, NoTaskIsTakenThatTheStopDoesNotWaitFor) {
  for (int round = 0; round < 20; ++round) {
    Server server(options());
    std::atomic<uint64_t> ran = 0;
    uint64_t taken = 0;
    ASSERT_TRUE(server.start());
    std::jthread busy([&](std::stop_token enough) {
      for (int i = 0; !enough.stop_requested(); ++i) {
        const bool one = i % 2 == 0 ? server.background("blocking", [&ran] { ++ran; })
                                    : server.background("coroutine", [&ran]() -> Task<> {
                                        ++ran;
                                        co_return;
                                      });
        taken += one;
        if (!one && server.stopping()) return;
      }
    });
    const DrainReport report = server.shutdown({.idle_grace = 0s, .deadline = 10s}).value();
    busy.request_stop();
    busy.join();
    EXPECT_EQ(ran, taken);
    EXPECT_EQ(report.background.completed, taken);
    EXPECT_EQ(report.background.abandoned, 0u);
    EXPECT_EQ(report.exit_code, 0);
  }
}

TEST_P(Lifecycle, ARefusedTaskIsDestroyedWhereItMayCallTheServer) {
  ServerOptions tight = options();
  tight.background_threads = 1;
  tight.background_queue = 0;
  Server server(tight);
  ASSERT_TRUE(server.start());
  std::promise<void> go;
  ASSERT_TRUE(server.background("runs", [gone = go.get_future().share()] { gone.wait(); }));
  struct Caller {
    explicit Caller(Server& s) : server(&s) {}
    Caller(Caller&& other) noexcept : server(std::exchange(other.server, nullptr)) {}
    ~Caller() {
      if (server != nullptr) server->stop();
    }
    Server* server;
  };
  EXPECT_FALSE(server.background("refused", [caller = Caller(server)] {}));
  EXPECT_TRUE(server.stopping());
  go.set_value();
  EXPECT_EQ(server.wait().value().exit_code, 0);
}

TEST_P(Lifecycle, ABrokenTaskOrHandlerOrHookHurtsNobodyElse) {
  Server server(options());
  server.get("/throws", [](Request&, Response&) -> Task<> { throw 42; });
  server.get("/empty", [](Request&, Response&) -> Task<> { return {}; });
  EXPECT_THROW(server.on_shutdown({}), std::invalid_argument);
  EXPECT_THROW(server.on_stopped({}), std::invalid_argument);
  ASSERT_TRUE(server.background("empty", []() -> Task<> { return {}; }));
  RawClient client(server.start().value().at(0));
  EXPECT_EQ(client.ask(get("/throws")).status, 500);
  EXPECT_EQ(client.ask(get("/empty")).status, 500);
  client.close();
  const DrainReport report = server.shutdown().value();
  EXPECT_EQ(report.exit_code, 3);
  EXPECT_EQ(report.background.failed, 1u);
}

TEST_P(Lifecycle, CloseCutsTheLastHooksShort) {
  std::promise<void> go;
  std::shared_future<void> gone = go.get_future().share();
  std::promise<void> inside;
  std::promise<void> out;
  Server server(options());
  server.on_stopped([&, gone] {
    inside.set_value();
    gone.wait();
    out.set_value();
  });
  ASSERT_TRUE(server.start());
  auto patient = std::async(std::launch::async, [&] { return server.shutdown({.deadline = 1h}).value(); });
  inside.get_future().wait();
  const DrainReport report = server.close().value();
  EXPECT_EQ(report.exit_code, 2);
  EXPECT_EQ(report.background.abandoned, 1u);
  EXPECT_EQ(patient.get().exit_code, 2);
  go.set_value();
  out.get_future().wait();
}

TEST_P(Lifecycle, ACoroutineFromAHandlerStaysOnItsReactor) {
  Server server(options());
  std::mutex mutex;
  std::vector<std::pair<std::thread::id, std::thread::id>> pairs;
  server.get("/", [&](const Request&, Response& response) {
    server.background("here", [&, caller = std::this_thread::get_id()]() -> Task<> {
      std::lock_guard lock(mutex);
      pairs.emplace_back(caller, std::this_thread::get_id());
      co_return;
    });
    response.text("");
  });
  const std::string address = server.start().value().at(0);
  for (int i = 0; i < 16; ++i) EXPECT_EQ(RawClient(address).ask(get("/")).status, 200);
  EXPECT_EQ(server.shutdown().value().background.completed, 16u);
  for (const auto& [caller, runner] : pairs) EXPECT_EQ(caller, runner);
}

TEST_P(Lifecycle, NothingOfTheServersOwnThreadsMayWaitForIt) {
  Server server(options());
  std::vector<std::string> said;
  auto call = [&] {
    for (const Result<DrainReport>& result : {server.shutdown(), server.close(), server.wait()})
      said.push_back(result ? "waited" : result.error().message);
  };
  ASSERT_TRUE(server.background("task", call));
  server.on_stopped(call);
  ASSERT_TRUE(server.start());
  EXPECT_EQ(server.shutdown().value().exit_code, 0);
  ASSERT_EQ(said.size(), 6u);
  for (const std::string& text : said) EXPECT_NE(text, "waited");
}

// Completions from threads that the server does not know, with the stop in their middle.
TEST_P(Lifecycle, AnswersComeFromForeignThreads) {
  constexpr int kClients = 32;
  Server server(options());
  std::mutex mutex;
  std::vector<Completer<std::string>> waiting;
  server.get("/", [&](Request&, Response& response) -> Task<> {
    auto [completer, completion] = make_completion<std::string>();
    {
      std::lock_guard lock(mutex);
      waiting.push_back(std::move(completer));
    }
    response.text((co_await std::move(completion)).value_or("none"));
  });
  const std::string address = server.start().value().at(0);
  std::vector<RawClient> clients;
  for (int i = 0; i < kClients; ++i) clients.emplace_back(address).send(get("/"));
  auto count = [&] {
    std::lock_guard lock(mutex);
    return waiting.size();
  };
  while (count() < kClients) std::this_thread::yield();
  auto report = std::async(std::launch::async, [&] { return server.shutdown().value(); });
  {
    std::vector<std::jthread> threads;
    for (size_t i = 0; i < 4; ++i) {
      threads.emplace_back([&waiting, i] {
        for (size_t k = i; k < kClients; k += 4) waiting[k].complete("from a thread");
      });
    }
  }
  for (RawClient& client : clients) {
    EXPECT_EQ(client.read_answer().body, "from a thread");
    client.close();
  }
  EXPECT_EQ(report.get().exit_code, 0);
}

// A handler that does not end is left behind: the caller gets its report in time, and nothing it uses is
// freed.
TEST_P(Lifecycle, AHandlerThatBlocksIsLeftBehind) {
  std::promise<void> go;
  std::shared_future<void> gone = go.get_future().share();
  std::promise<void> inside;
  std::promise<void> out;
  bool cleaned_up = false;
  {
    ServerOptions one = options();
    one.reactors = 1;
    Server server(one);
    server.get("/block", [&, gone](const Request&, Response& response) {
      inside.set_value();
      gone.wait();
      response.text("late");
      out.set_value();
    });
    server.on_stopped([&] { cleaned_up = true; });
    const std::string address = server.start().value().at(0);
    RawClient client(address);
    client.send(get("/block"));
    inside.get_future().wait();
    const Result<DrainReport> report = server.shutdown({.idle_grace = 0s, .deadline = 300ms});
    ASSERT_TRUE(report);
    EXPECT_EQ(report->exit_code, 2);
    ASSERT_EQ(report->aborted.size(), 1u);
    EXPECT_EQ(report->aborted[0].route, "/block");
    EXPECT_FALSE(RawClient(address).connected());
  }
  EXPECT_FALSE(cleaned_up);
  go.set_value();
  out.get_future().wait();
}

// What happens to the program's own signal handlers: nothing.
volatile sig_atomic_t user_signals = 0;

TEST_P(Lifecycle, SignalsThatAreNotTakenAreTheProgramsOwn) {
  struct sigaction counting {};
  counting.sa_handler = [](int) { user_signals = user_signals + 1; };
  struct sigaction former {};
  ::sigaction(SIGUSR1, &counting, &former);
  user_signals = 0;
  ServerOptions interrupted = options();
  interrupted.signals = {SIGINT};
  Server server(interrupted);
  ASSERT_TRUE(server.background("usr1", [] { ::kill(::getpid(), SIGUSR1); }));
  ASSERT_TRUE(server.background("int", [] { ::kill(::getpid(), SIGINT); }));
  EXPECT_EQ(server.run(), 0);
  EXPECT_EQ(server.wait()->reason, "SIGINT");
  EXPECT_EQ(user_signals, 1);
  ::sigaction(SIGUSR1, &former, nullptr);
}

TEST_P(Lifecycle, ASignalThatNobodyCanTakeIsAnError) {
  ServerOptions wrong = options();
  wrong.signals = {SIGTERM, SIGSEGV};
  Server server(wrong);
  const Result<std::vector<std::string>> started = server.start();
  ASSERT_FALSE(started);
  EXPECT_THAT(started.error().message, HasSubstr("SIGSEGV"));
}

TEST_P(Lifecycle, APoolWithoutThreadsIsAnError) {
  ServerOptions wrong = options();
  wrong.offload_threads = 0;
  EXPECT_THAT(Server(wrong).start().error().message, HasSubstr("offload_threads"));
  wrong = options();
  wrong.background_threads = 0;
  EXPECT_THAT(Server(wrong).start().error().message, HasSubstr("background_threads"));
}

TEST_P(Lifecycle, ATimeoutForEverythingIsOneLine) {
  Server server({.listen = {"127.0.0.1:0"},
                 .io = GetParam(),
                 .stop = {.deadline = 5s},
                 .header_timeout = 10s,
                 .body_timeout = 10s,
                 .write_timeout = 30s,
                 .idle_timeout = 1min});
  ASSERT_TRUE(server.start());
}

}  // namespace
}  // namespace lastcall::testing
