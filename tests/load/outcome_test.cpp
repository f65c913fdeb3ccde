#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <map>
#include <string>

#include "scripted_peer.hpp"
#include "tools/loadgen/load.hpp"

namespace lastcall::load {
namespace {

constexpr std::string_view kAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
constexpr std::string_view kLastAnswer =
    "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";

/// Every outcome that a test does not name must not have been seen.
using Counts = std::map<Outcome, uint64_t>;

void expect_counts(const Summary& summary, Counts wanted) {
  for (Outcome outcome : kOutcomes) {
    EXPECT_EQ(summary.tally.count(outcome), wanted[outcome]) << to_string(outcome);
  }
}

/// One client that begins `requests`.
LoadOptions one_client(const std::string& address, uint64_t requests, bool fresh = false) {
  LoadOptions options;
  options.targets = {parse_address(address).value()};
  options.keep_alive = fresh ? 0 : 1;
  options.fresh = fresh ? 1 : 0;
  options.requests = requests;
  options.paths = {"/"};
  options.duration = 20s;
  options.timeout = 20s;
  return options;
}

/// Runs the load against the script, which gets connections until the load is over.
Summary run(std::function<void(Visit&, int)> script, uint64_t requests, bool fresh = false,
            const std::function<void(LoadOptions&)>& change = {}) {
  ScriptedPeer peer([script = std::move(script)](Visit& visit, int number) {
    script(visit, number);
    return true;
  });
  LoadOptions options = one_client(peer.address(), requests, fresh);
  if (change) change(options);
  Summary summary = run_load(options);
  peer.end();
  return summary;
}

void answer_all(Visit& visit, int) {
  while (visit.read()) visit.write(kAnswer);
}

TEST(LoadOutcome, WholeAnswersOnOneConnectionAreOk) {
  Summary summary = run(answer_all, 50);
  expect_counts(summary, {{Outcome::ok, 50}});
  EXPECT_EQ(summary.tally.connections, 1u);
  EXPECT_EQ(summary.tally.statuses()[200], 50u);
  EXPECT_EQ(summary.tally.latency().count(), 50u);
  EXPECT_EQ(summary.tally.bytes_received, 50 * kAnswer.size());
  EXPECT_EQ(exit_code({}, summary), 0);
}

TEST(LoadOutcome, OneRequestClientsOpenAConnectionForEach) {
  std::string seen;
  Summary summary = run(
      [&seen](Visit& visit, int) {
        visit.read();
        visit.write(kAnswer);
        seen += visit.seen();
        visit.read_to_end();
      },
      5, true);
  expect_counts(summary, {{Outcome::ok, 5}});
  EXPECT_EQ(summary.tally.connections, 5u);
  EXPECT_THAT(seen, testing::HasSubstr("Connection: close\r\n"));
}

TEST(LoadOutcome, AnAnswerWithCloseEndsTheConnectionInOrder) {
  Summary summary = run(
      [](Visit& visit, int) {
        visit.read();
        visit.write(kLastAnswer);
      },
      4);
  expect_counts(summary, {{Outcome::ok, 4}});
  EXPECT_EQ(summary.tally.connections, 4u);
  EXPECT_EQ(summary.tally.closed_idle, 0u);
}

TEST(LoadOutcome, AnIdleConnectionThatEndedIsNoLoss) {
  Summary summary = run(
      [](Visit& visit, int) {
        visit.read();
        visit.write_and_end(kAnswer);
        visit.read_to_end();
      },
      4);
  expect_counts(summary, {{Outcome::ok, 4}});
  EXPECT_EQ(summary.tally.connections, 4u);
  EXPECT_GE(summary.tally.closed_idle, 3u);  // the last one's end may come after the load's
}

TEST(LoadOutcome, WhatIsSaidUnaskedIsNotAnAnswer) {
  Summary summary = run(
      [](Visit& visit, int) {
        visit.read();
        visit.write(std::string(kAnswer) + "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n");
        visit.read_to_end();
      },
      3);
  expect_counts(summary, {{Outcome::ok, 3}});
  EXPECT_EQ(summary.tally.unsolicited, 3u);
  EXPECT_EQ(summary.tally.connections, 3u);
}

TEST(LoadOutcome, NobodyThereIsARefusal) {
  Fd held(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));  // bound, but not listening
  sockaddr_in local{};
  local.sin_family = AF_INET;
  local.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof local;
  ASSERT_EQ(::bind(held.get(), reinterpret_cast<sockaddr*>(&local), size), 0);
  ASSERT_EQ(::getsockname(held.get(), reinterpret_cast<sockaddr*>(&local), &size), 0);
  LoadOptions options = one_client("127.0.0.1:" + std::to_string(ntohs(local.sin_port)), 3);
  Summary summary = run_load(options);
  expect_counts(summary, {{Outcome::refused, 3}});
  EXPECT_EQ(summary.tally.reasons().at(Outcome::refused).at("ECONNREFUSED"), 3u);
  EXPECT_EQ(summary.tally.sent(), 0u);
  EXPECT_EQ(exit_code(options, summary), 1);  // nothing was answered: such a run proves nothing
}

TEST(LoadOutcome, AQueueOfConnectionsThatIsResetIsRefusedOrLost) {
  // Whether the reset comes before the request is sent or after, the kernel decides. Each counts once.
  Summary summary = run([](Visit& visit, int) { visit.reset(); }, 40, true);
  EXPECT_EQ(summary.tally.count(Outcome::refused) + summary.tally.count(Outcome::dropped) +
                summary.tally.count(Outcome::lost_new),
            40u);
  EXPECT_EQ(summary.tally.sent(), summary.tally.count(Outcome::lost_new));
}

TEST(LoadOutcome, AFreshConnectionResetAfterTheRequestIsLost) {
  for (bool fresh : {false, true}) {
    Summary summary = run(
        [](Visit& visit, int) {
          visit.read();
          visit.reset();
        },
        3, fresh);
    expect_counts(summary, {{Outcome::lost_new, 3}});
    EXPECT_EQ(summary.tally.reasons().at(Outcome::lost_new).at("ECONNRESET"), 3u);
    EXPECT_EQ(summary.tally.lost(), 3u);
    EXPECT_EQ(exit_code({}, summary), 1);
  }
}

TEST(LoadOutcome, AFreshConnectionEndedAfterTheRequestIsLost) {
  Summary summary = run([](Visit& visit, int) { visit.read(); }, 3);
  expect_counts(summary, {{Outcome::lost_new, 3}});
  EXPECT_EQ(summary.tally.reasons().at(Outcome::lost_new).at("end of stream"), 3u);
  ASSERT_EQ(summary.tally.examples().size(), 3u);
  EXPECT_THAT(summary.tally.examples()[0].local, testing::StartsWith("127.0.0.1:"));
}

TEST(LoadOutcome, AReusedConnectionEndedAfterTheRequestIsLostOnReuse) {
  for (bool reset : {false, true}) {
    Summary summary = run(
        [reset](Visit& visit, int) {
          visit.read();
          visit.write(kAnswer);
          visit.read();
          if (reset) visit.reset();
        },
        6);
    expect_counts(summary, {{Outcome::ok, 3}, {Outcome::lost_reuse, 3}});
    EXPECT_EQ(exit_code({}, summary), 1);
  }
}

TEST(LoadOutcome, AnAnswerThatBreaksOffIsTruncated) {
  for (std::string_view part :
       {"H", "HTTP/1.1 200 OK\r\nContent-", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no", "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"}) {
    Summary summary = run(
        [part](Visit& visit, int number) {
          visit.read();
          visit.write_and_end(number == 0 ? part : kLastAnswer);
          visit.read_to_end();
        },
        2);
    expect_counts(summary, {{Outcome::ok, 1}, {Outcome::truncated, 1}});
    EXPECT_EQ(exit_code({}, summary), 1);
  }
}

TEST(LoadOutcome, AnAnswerWithoutLengthEndsWithTheStreamButNotWithAReset) {
  constexpr std::string_view kEndless = "HTTP/1.1 200 OK\r\n\r\nsome";
  for (bool reset : {false, true}) {
    Summary summary = run(
        [=](Visit& visit, int) {
          visit.read();
          if (!reset) return visit.write_and_end(kEndless);
          visit.write(kEndless);
          visit.reset();
        },
        1);
    expect_counts(summary, {{reset ? Outcome::truncated : Outcome::ok, 1}});
  }
}

TEST(LoadOutcome, WhatIsNotHttpIsMalformed) {
  Summary summary = run(
      [](Visit& visit, int) {
        visit.read();
        visit.write("220 mail.example ready\r\n");
        visit.read_to_end();
      },
      2);
  expect_counts(summary, {{Outcome::malformed, 2}});
  EXPECT_EQ(exit_code({}, summary), 1);
}

TEST(LoadOutcome, ServerErrorsAreCountedApart) {
  Summary summary = run(
      [](Visit& visit, int) {
        while (visit.read()) visit.write("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
      },
      3);
  expect_counts(summary, {{Outcome::http_5xx, 3}});
  EXPECT_EQ(summary.tally.statuses()[503], 3u);
  EXPECT_EQ(summary.tally.lost(), 0u);
  EXPECT_EQ(exit_code({}, summary), 1);
  LoadOptions lenient;
  lenient.allow_5xx = true;
  EXPECT_EQ(exit_code(lenient, summary), 0);
}

TEST(LoadOutcome, NoAnswerWithinTheTimeoutIsStuck) {
  for (std::string_view part : {"", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no"}) {
    Summary summary = run(
        [part](Visit& visit, int) {
          visit.read();
          visit.write(part);
          visit.read_to_end();
        },
        2, false, [](LoadOptions& options) { options.timeout = 30ms; });
    expect_counts(summary, {{Outcome::stuck, 2}});
    EXPECT_GE(summary.duration, 60ms);
    EXPECT_EQ(exit_code({}, summary), 1);
  }
}

TEST(LoadOutcome, WhatIsStuckWhenTheLoadIsInterruptedIsStillCounted) {
  Fd interrupt(::eventfd(0, EFD_CLOEXEC));
  ScriptedPeer peer([&interrupt](Visit& visit, int) {
    visit.read();
    EXPECT_EQ(::eventfd_write(interrupt.get(), 1), 0);
    visit.read_to_end();
    return true;
  });
  LoadOptions options = one_client(peer.address(), 0);
  options.timeout = 40ms;
  Summary summary = run_load(options, interrupt.get());
  expect_counts(summary, {{Outcome::stuck, 1}});
  EXPECT_LT(summary.duration, 10s);
}

TEST(LoadOutcome, PipelinedRequestsBehindACloseAreTurnedAway) {
  Summary summary = run(
      [](Visit& visit, int) {
        visit.read(4);
        visit.write_and_end(std::string(kAnswer) + std::string(kLastAnswer));
        visit.read_to_end();
      },
      4, false, [](LoadOptions& options) { options.pipeline = 4; });
  expect_counts(summary, {{Outcome::ok, 2}, {Outcome::turned_away, 2}});
  EXPECT_EQ(exit_code({}, summary), 0);
}

TEST(LoadOutcome, PipelinedRequestsWithoutAnAnswerAreLost) {
  auto pipeline = [](LoadOptions& options) { options.pipeline = 4; };
  Summary ended = run(
      [](Visit& visit, int) {
        visit.read(4);
        visit.write_and_end(std::string(kAnswer) + std::string(kAnswer) + "HTTP/1.1 200");
        visit.read_to_end();
      },
      4, false, pipeline);
  expect_counts(ended, {{Outcome::ok, 2}, {Outcome::truncated, 1}, {Outcome::lost_reuse, 1}});
  Summary silent = run(
      [](Visit& visit, int) {
        visit.read(4);
        visit.reset();
      },
      4, false, pipeline);
  expect_counts(silent, {{Outcome::lost_new, 4}});
}

TEST(LoadOutcome, AnEarlyAnswerCountsThoughTheBodyWasNotTaken) {
  Summary summary = run(
      [](Visit& visit, int) {
        visit.read();
        visit.write_and_end(
            "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        visit.read_to_end();
      },
      2, false,
      [](LoadOptions& options) {
        options.method = "POST";
        options.body_bytes = 32 << 20;
      });
  expect_counts(summary, {{Outcome::ok, 2}});
  EXPECT_EQ(summary.tally.statuses()[413], 2u);
}

TEST(LoadOutcome, AnAnswerBeforeAResetCountsThoughTheBodyWasNotTaken) {
  // The reset finds the client reading, waiting or in the midst of a send; the answer was there before it.
  Summary summary = run(
      [](Visit& visit, int) {
        visit.read();
        visit.write("HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        visit.reset();
      },
      40, false,
      [](LoadOptions& options) {
        options.method = "POST";
        options.body_bytes = 8 << 20;
      });
  expect_counts(summary, {{Outcome::ok, 40}});
}

TEST(LoadOutcome, TheRequestIsWhatWasAskedFor) {
  for (bool chunked : {false, true}) {
    std::string seen;
    Summary summary = run(
        [&seen, chunked](Visit& visit, int) {
          visit.read(1);
          visit.read(1, chunked ? "0\r\n\r\n" : "xxxxx");
          seen = visit.seen();
          visit.write(kLastAnswer);
        },
        1, false,
        [chunked](LoadOptions& options) {
          options.method = "PUT";
          options.paths = {"/a?b"};
          options.headers = {"X-Test: yes"};
          options.body_bytes = 5;
          options.chunked = chunked;
        });
    expect_counts(summary, {{Outcome::ok, 1}});
    EXPECT_THAT(seen, testing::StartsWith("PUT /a?b HTTP/1.1\r\nHost: 127.0.0.1:"));
    EXPECT_THAT(seen, testing::HasSubstr("\r\nX-Test: yes\r\n"));
    EXPECT_THAT(seen, testing::EndsWith(chunked ? "Transfer-Encoding: chunked\r\n\r\n5\r\nxxxxx\r\n0\r\n\r\n"
                                                : "Content-Length: 5\r\n\r\nxxxxx"));
  }
}

TEST(LoadOutcome, PathsTakeTurns) {
  std::string seen;
  Summary summary = run(
      [&seen](Visit& visit, int number) {
        answer_all(visit, number);
        seen += visit.seen();
      },
      6, false,
      [](LoadOptions& options) {
        options.paths = {"/a", "/b", "/c"};
        options.pipeline = 2;
      });
  expect_counts(summary, {{Outcome::ok, 6}});
  std::string order;
  for (size_t at = 0; (at = seen.find("GET /", at)) != std::string::npos; at += 5) order += seen[at + 5];
  EXPECT_EQ(order, "abcabc");
}

TEST(LoadSchedule, ALatencyBeginsWhenTheRequestWasDue) {
  static constexpr Duration kStall = 60ms;
  Summary summary = run(
      [](Visit& visit, int) {
        visit.read();
        visit.stall(kStall);
        visit.write(kAnswer);
        while (visit.read()) visit.write(kAnswer);
      },
      10, false, [](LoadOptions& options) { options.rate = 1000; });
  expect_counts(summary, {{Outcome::ok, 10}});
  // Nine more fell due in the first 10 ms of the stall. Measured from their sending, they were fast.
  EXPECT_GE(summary.tally.latency().percentile(1), kStall - 10ms);
}

TEST(LoadSchedule, TheOpenLoopKeepsItsRate) {
  Summary summary = run(answer_all, 50, false, [](LoadOptions& options) { options.rate = 500; });
  expect_counts(summary, {{Outcome::ok, 50}});
  EXPECT_GE(summary.duration, 98ms);
}

TEST(LoadSchedule, RequestsThatFoundNoFreeClientAreTold) {
  Summary summary = run(
      [](Visit& visit, int) {
        visit.read();
        visit.stall(160ms);
        visit.write(kLastAnswer);
      },
      0, false,
      [](LoadOptions& options) {
        options.rate = 100;
        options.duration = 100ms;
      });
  expect_counts(summary, {{Outcome::ok, 1}});
  EXPECT_EQ(summary.tally.never_begun, 9u);
}

TEST(LoadSchedule, EndsByItselfWhenAllAreRefused) {
  constexpr int kServed = 20;
  int served = 0;
  ScriptedPeer peer([&served](Visit& visit, int) {
    visit.read();
    visit.write_and_end(kLastAnswer);
    return ++served < kServed;
  });
  LoadOptions options = one_client(peer.address(), 0);
  options.stop_when_refused = true;
  Summary summary = run_load(options);
  EXPECT_EQ(summary.tally.count(Outcome::ok), static_cast<uint64_t>(kServed));
  EXPECT_GE(summary.tally.count(Outcome::refused), 1u);
  EXPECT_LT(summary.duration, 10s);
}

}  // namespace
}  // namespace lastcall::load
