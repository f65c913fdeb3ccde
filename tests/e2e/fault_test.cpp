#include <cerrno>
#include <thread>

#include "tests/e2e/fixture.hpp"
#include "tests/support/faults.hpp"

namespace lastcall::e2e {
namespace {

using fault::Call;
using testing::HasSubstr;

/// The real process when its system calls fail: it lives, serves, stops in time, and counts right. What the
/// kernel refuses for good, like io_uring under a seccomp filter, is told in IoChoice; running out of
/// descriptors for real in Overload.
class Faulty : public EndToEnd {
 protected:
  void SetUp() override {
    EndToEnd::SetUp();
    if (IsSkipped()) return;
    if (on_io_uring() && !can_fault_io_uring()) GTEST_SKIP() << "no faults in an io_uring before Linux 6.10";
    faults_.make_single_shots();
  }

  static bool on_io_uring() { return std::string(GetParam()) == "io_uring"; }

  void start_faulty(Arguments arguments = {}) {
    start(std::move(arguments), {.environment = faults_.environment(LASTCALL_FAULT_PRELOAD)});
  }

  /// Several requests at once, of several kinds, each on a connection of its own: none may be lost.
  void expect_all_served() {
    struct Asked {
      std::string request;
      std::string body;
    };
    const std::vector<Asked> kinds = {{get_request("/plaintext"), "Hello, World!"},
                                      {get_request("/sleep?ms=5"), "slept 5 ms\n"},
                                      {get_request("/block?ms=5"), "slept 5 ms\n"},
                                      {get_request("/bytes?n=3000"), std::string(3000, 'x')},
                                      {post_request("/echo", "and back"), "and back"},
                                      {post_request("/upload", std::string(300, 'u')), R"({"bytes":300})"}};
    std::vector<RawClient> clients;
    for (size_t i = 0; i < 2 * kinds.size(); ++i) {
      clients.push_back(connect());
      clients.back().send(kinds[i % kinds.size()].request);
    }
    for (int round = 0; round < 2; ++round) {
      for (size_t i = 0; i < clients.size(); ++i) {
        const Asked& asked = kinds[i % kinds.size()];
        HttpAnswer answer = round == 0 ? clients[i].read_answer() : clients[i].ask(asked.request);
        EXPECT_EQ(answer.status, 200) << asked.request;
        EXPECT_EQ(answer.body, asked.body) << asked.request;
      }
    }
  }

  /// What a client does that tries again after a connection that broke before a byte of an answer.
  void expect_served_when_retried() {
    size_t attempts = 0;
    for (int i = 0; i < 10; ++i) {
      HttpAnswer answer;
      while (answer.status == 0 && ++attempts < 100) answer = get("/users/" + std::to_string(i));
      EXPECT_EQ(answer.body, Json({{"id", std::to_string(i)}}).dump());
    }
    EXPECT_LT(attempts, 40u);
  }

  /// A stop in the midst of it: one at work, one idle, one that has sent half a head.
  void expect_clean_stop() {
    RawClient busy = connect();
    RawClient half = connect();
    RawClient idle = connect();
    EXPECT_EQ(idle.ask(get_request("/plaintext")).status, 200);
    half.send("GET /users/7 HTTP/1.1\r\nHo");
    busy.send(get_request("/sleep?ms=60"));
    settle();
    begin_stop();
    half.send("st: test\r\n\r\n");
    EXPECT_EQ(half.read_answer().body, R"({"id":"7"})");
    EXPECT_EQ(half.read_end(), StreamEnd::eof);
    EXPECT_EQ(busy.read_answer().body, "slept 60 ms\n");
    EXPECT_EQ(busy.read_end(), StreamEnd::eof);
    EXPECT_EQ(idle.read_end(), StreamEnd::eof);
    EXPECT_EQ(wait_exit(), 0);
    EXPECT_GE(total(report(), "idle_closed"), 1u);
    EXPECT_LE(total(report(), "idle_closed"), 2u);  // the one of settle() may be closed from either side
    EXPECT_EQ(total(report(), "aborted"), 0u);
  }

  /// Nobody notices anything of these.
  void expect_harmless(Call call, const std::vector<Fault>& faults) {
    for (const Fault& fault : faults) {
      SCOPED_TRACE(fault.error != 0 ? ::strerrorname_np(fault.error) : "short");
      start_faulty();
      faults_.arm(call, fault);
      expect_all_served();
      expect_clean_stop();
      EXPECT_GT(faults_.fired(call), 0u);
      faults_.disarm(call);  // the next one starts untroubled
      if (HasFailure()) return;
    }
  }

  /// These break the connections that they hit, and nothing else.
  void expect_survived(Call call, const std::vector<Fault>& faults) {
    for (const Fault& fault : faults) {
      SCOPED_TRACE(::strerrorname_np(fault.error));
      start_faulty();
      faults_.arm(call, fault);
      expect_served_when_retried();
      EXPECT_GT(faults_.fired(call), 0u);
      faults_.disarm(call);
      expect_clean_stop();
      if (HasFailure()) return;
    }
  }

  /// Keeps the (only) reactor busy until the connections that come meanwhile are many.
  RawClient keep_reactor_busy(int ms) {
    RawClient spinner = connect();
    EXPECT_EQ(spinner.ask(get_request("/plaintext")).status, 200);
    Duration before = server().cpu_time();
    spinner.send(get_request("/spin?ms=" + std::to_string(ms)));
    while (server().cpu_time() - before < 30ms) std::this_thread::sleep_for(1ms);
    return spinner;
  }

  Faults faults_;
};
LASTCALL_ON_BOTH_BACKENDS(Faulty);

/// Calls that io_uring does not make.
class FaultyEpoll : public Faulty {};
INSTANTIATE_TEST_SUITE_P(Io, FaultyEpoll, testing::Values("epoll"),
                         [](const auto& made) { return std::string(made.param); });

// The connections stay in the kernel's queue until there is room.
TEST_P(Faulty, AcceptThatFindsNoRoomOnlyDelays) {
  expect_harmless(Call::accept, {{.error = EMFILE, .every = 3, .times = 3},
                                 {.error = ENFILE, .times = 2},
                                 {.error = ENOBUFS, .every = 3, .times = 3},
                                 {.error = ENOMEM, .every = 3, .times = 3}});
}

TEST_P(Faulty, AcceptThatFindsNoRoomForLongDoesNotSpin) {
  start_faulty();
  RawClient inside = connect();
  ASSERT_EQ(inside.ask(get_request("/plaintext")).status, 200);
  faults_.arm(Call::accept, {.error = EMFILE});
  std::vector<RawClient> waiting;
  for (int i = 0; i < 20; ++i) {
    waiting.push_back(connect());
    waiting.back().send(get_request("/plaintext"));
  }
  Duration before = server().cpu_time();
  std::this_thread::sleep_for(500ms);
  EXPECT_LT(server().cpu_time() - before, 150ms);
  EXPECT_EQ(inside.ask(get_request("/json")).status, 200);
  uint32_t tried = faults_.fired(Call::accept);
  EXPECT_GE(tried, 2u);
  EXPECT_LE(tried, 20u);
  EXPECT_TRUE(server().wait_for_event("accept_paused"));
  faults_.disarm(Call::accept);
  for (RawClient& client : waiting) EXPECT_EQ(client.read_answer().status, 200);
}

TEST_P(Faulty, AcceptThatFindsACorpseGoesOn) {
  expect_harmless(Call::accept, {{.error = ECONNABORTED, .every = 2},
                                 {.error = EPROTO, .every = 2},
                                 {.error = EPERM, .every = 2},
                                 {.error = EINTR, .every = 2}});
  EXPECT_EQ(server().wait_for_event("accept_paused", 0s), std::nullopt);
}

TEST_P(Faulty, AcceptThatFindsNobodyIsTriedAgain) {
  // Level-triggered, or armed again: a queue that was not empty after all is found the next time.
  expect_harmless(Call::accept, {{.error = EAGAIN, .every = 2, .times = 20}});
}

TEST_P(Faulty, ReceiveIsTriedAgain) {
  expect_harmless(Call::recv, {{.error = EINTR, .every = 2}, {.error = EAGAIN, .every = 2}});
}

TEST_P(Faulty, ReceiveOfOneByteAtATime) {
  expect_harmless(Call::recv, {{.at_most = 1}});
}

TEST_P(Faulty, SendIsTriedAgain) {
  expect_harmless(Call::send, {{.error = EINTR, .every = 2}, {.error = EAGAIN, .every = 2}});
}

TEST_P(Faulty, SendOfSevenBytesAtATime) {
  expect_harmless(Call::send, {{.at_most = 7}});
}

TEST_P(Faulty, WaitThatIsInterrupted) {
  expect_harmless(Call::wait, {{.error = EINTR, .every = 2}});
  if (on_io_uring() && !HasFailure())  // out of memory; too many completions
    expect_harmless(Call::wait, {{.error = EAGAIN, .every = 2}, {.error = EBUSY, .every = 2}});
}

TEST_P(FaultyEpoll, WaitToTheNanosecondMayBeMissing) {
  expect_harmless(Call::precise_wait, {{.error = ENOSYS}, {.error = EPERM}});
}

TEST_P(Faulty, RunnerIsInterrupted) {
  expect_harmless(Call::ppoll, {{.error = EINTR, .every = 2}, {.error = ENOMEM, .every = 2}});
}

TEST_P(Faulty, EventsAreReadInVain) {
  expect_harmless(Call::read, {{.error = EINTR, .every = 2}, {.error = EAGAIN, .every = 2}});
}

TEST_P(Faulty, ReceiveWithoutMemoryBreaksOneConnection) {
  expect_survived(Call::recv, {{.error = ENOMEM, .every = 3}});
}

TEST_P(Faulty, SendWithoutMemoryBreaksOneConnection) {
  expect_survived(Call::send, {{.error = ENOMEM, .every = 3}, {.error = ENOBUFS, .every = 3}});
}

// fs.epoll.max_user_watches, or memory, is used up.
TEST_P(FaultyEpoll, ConnectionThatCannotBeWatchedIsDropped) {
  expect_survived(Call::epoll_add, {{.error = ENOSPC, .every = 3}, {.error = ENOMEM, .every = 3}});
}

TEST_P(Faulty, OptionThatCannotBeSetIsNamedAtTheStart) {
  faults_.arm(Call::set_option, {.error = ENOBUFS});
  Finished finished = run_to_end({"demo", "--listen", "127.0.0.1:0", "--io", GetParam()},
                                 {.environment = faults_.environment(LASTCALL_FAULT_PRELOAD)});
  EXPECT_EQ(finished.exit_code, 1);
  EXPECT_THAT(finished.errors, HasSubstr("127.0.0.1:0"));
  EXPECT_THAT(finished.errors, HasSubstr("SO_REUSEADDR"));
}

// The half of an answer then ends like a whole one would, but the process still ends in time.
TEST_P(Faulty, OptionThatCannotBeSetDoesNotHoldAForcedStop) {
  start_faulty({"--deadline", "600ms"});
  RawClient client = connect();
  client.send(get_request("/stream?n=1000&ms=20"));
  ASSERT_TRUE(client.readable(20s));
  faults_.arm(Call::set_option, {.error = ENOBUFS});
  begin_stop();
  EXPECT_EQ(wait_exit(), 2);
  EXPECT_GT(faults_.fired(Call::set_option), 0u);
  EXPECT_FALSE(client.read_answer().complete);
  EXPECT_EQ(report().at("aborted").size(), 1u);
  expect_counted_once(report());
}

/// Promise 1 when the accepts at the end of the listener fail: whoever is in the queue finished a handshake.
class FaultyGate : public Faulty {
 protected:
  void expect_queue_served(const Fault& fault) {
    constexpr size_t kQueued = 20;
    SCOPED_TRACE(::strerrorname_np(fault.error));
    start_faulty({"--idle-grace", "2s"});
    RawClient spinner = keep_reactor_busy(250);
    std::vector<RawClient> queued;
    for (size_t i = 0; i < kQueued; ++i) {
      queued.push_back(connect());
      queued.back().send(get_request("/users/" + std::to_string(i)));
    }
    faults_.arm(Call::accept, fault);
    begin_stop();
    for (size_t i = 0; i < kQueued; ++i) {
      EXPECT_EQ(queued[i].read_answer().body, Json({{"id", std::to_string(i)}}).dump());
      EXPECT_EQ(queued[i].read_end(), StreamEnd::eof);
    }
    EXPECT_EQ(spinner.read_answer().status, 200);
    spinner.close();
    EXPECT_EQ(wait_exit(), 0);
    EXPECT_GT(faults_.fired(Call::accept), 0u);
    faults_.disarm(Call::accept);
    EXPECT_EQ(total(report(), "accepted"), kQueued + 1);
  }
};
LASTCALL_ON_BOTH_BACKENDS(FaultyGate);

TEST_P(FaultyGate, WaitsForRoom) {
  for (int error : {EMFILE, ENFILE, ENOBUFS, ENOMEM}) {
    expect_queue_served({.error = error, .every = 5, .times = 4});
    if (HasFailure()) return;
  }
}

TEST_P(FaultyGate, GoesOnAfterCorpses) {
  for (int error : {ECONNABORTED, EINTR, EPROTO}) {
    expect_queue_served({.error = error, .every = 2});
    if (HasFailure()) return;
  }
}

TEST_P(FaultyGate, GoesOnAfterManyCorpsesInARow) {
  expect_queue_served({.error = ECONNABORTED, .times = 200});
}

/// Completions that the kernel has no room for are kept for later: a burst must not lose any.
class FullQueue : public Faulty {};
INSTANTIATE_TEST_SUITE_P(Io, FullQueue, testing::Values("io_uring"),
                         [](const auto& made) { return std::string(made.param); });

TEST_P(FullQueue, OfEightEntriesServesAll) {
  faults_.limit_completions(8);
  start_faulty();
  for (int round = 0; round < 5; ++round) expect_all_served();
  RawClient spinner = keep_reactor_busy(200);
  std::vector<RawClient> clients;
  for (int i = 0; i < 100; ++i) {
    clients.push_back(connect());
    clients.back().send(get_request("/users/" + std::to_string(i)));
  }
  for (int i = 0; i < 100; ++i)
    EXPECT_EQ(clients[static_cast<size_t>(i)].read_answer().body, Json({{"id", std::to_string(i)}}).dump());
  EXPECT_EQ(spinner.read_answer().status, 200);
  clients.clear();
  spinner.close();
  expect_clean_stop();
  EXPECT_GT(faults_.overflows(), 0u);
}

}  // namespace
}  // namespace lastcall::e2e
