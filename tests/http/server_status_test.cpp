#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <lastcall/http/server_status.hpp>

namespace lastcall {
namespace {

ServerStatus sample() {
  return {.version = "1.2.3",
          .pid = 771,
          .io = "epoll",
          .phase = Phase::draining,
          .ready = false,
          .stop_remaining = 22'400ms,
          .uptime = 12'345ms,
          .began_wall = 1'700'000'000s,
          .descriptors = {30, 1024},
          .listeners = {{"127.0.0.1:8080", "parking"}, {"[::]:80", "plain", "no filter"}},
          .reactors = {{.id = 0,
                        .accepted = 10,
                        .accepted_while_stopping = 1,
                        .active = 2,
                        .idle = 3,
                        .idle_closed = 4,
                        .completed = 5,
                        .aborted = 6,
                        .late_requests = 7,
                        .answers = {1, 20, 3, 4, 5},
                        .bytes_sent = 4096,
                        .turned_away = {0, 1},
                        .loop_lag = 7890ns}}};
}

TEST(ServerStatus, IsTheContractsObjectToTheLetter) {
  EXPECT_EQ(
      to_json(sample()),
      R"({"version":"1.2.3","pid":771,"io":"epoll","phase":"draining","ready":false,"uptime":12.345,)"
      R"("stop_remaining_ms":22400,"descriptors":{"open":30,"limit":1024},)"
      R"("listeners":[{"address":"127.0.0.1:8080","gate":"parking"},)"
      R"({"address":"[::]:80","gate":"plain","gate_note":"no filter"}],)"
      R"("reactors":[{"id":0,"accepted":10,"accepted_while_stopping":1,"active":2,"idle":3,)"
      R"("idle_closed":4,"completed":5,"handed_over":0,"aborted":6,"late_requests":7,)"
      R"("answers":{"1xx":1,"2xx":20,"3xx":3,"4xx":4,"5xx":5},"bytes_sent":4096,"turned_away":{"max_connections":0,"per_client":1,)"
      R"("in_flight":0,"untrusted_proxy":0,"bad_proxy_header":0,"bad_forwarded_header":0},"loop_lag_us":7}]})");
}

TEST(ServerStatus, HasRequestsInFlightWhereTheyWereAskedFor) {
  ServerStatus status = sample();
  status.reactors.push_back({.id = 1, .stuck_in = "/spin"});
  status.reactors[0].in_flight = {.oldest = {{"GET", "/a\xff?b", "/{x}", "handling", 12, "127.0.0.1:1", 34}},
                                  .unlisted = 5};
  EXPECT_FALSE(nlohmann::json::parse(to_json(status)).at("reactors")[0].contains("in_flight"));
  status.with_requests = true;
  const auto told = nlohmann::json::parse(to_json(status)).at("reactors");
  EXPECT_EQ(told[0].at("in_flight").dump(),
            R"([{"age_ms":12,"bytes_sent":34,"method":"GET","peer":"127.0.0.1:1","route":"/{x}",)"
            R"("state":"handling","target":"/a)"
            "\xef\xbf\xbd"
            R"(?b"}])");
  EXPECT_EQ(told[0].at("in_flight_unlisted"), 5);
  EXPECT_EQ(told[1].at("in_flight"), nullptr);
  EXPECT_EQ(told[1].at("stuck_in"), "/spin");
}

TEST(ServerStatus, NamesEveryPhase) {
  const char* const names[] = {"running", "announcing", "draining", "forcing", "stopped"};
  ServerStatus status = sample();
  for (uint8_t phase = 0; phase < std::size(names); ++phase) {
    status.phase = static_cast<Phase>(phase);
    EXPECT_EQ(nlohmann::json::parse(to_json(status)).at("phase"), names[phase]);
  }
}

TEST(ServerStatus, OfNothingHasEmptyLists) {
  auto parsed = nlohmann::json::parse(to_json(ServerStatus{}));
  EXPECT_EQ(parsed.at("listeners"), nlohmann::json::array());
  EXPECT_EQ(parsed.at("reactors"), nlohmann::json::array());
}

TEST(ServerStatus, PathOfAnyBytesGivesValidJson) {
  ServerStatus status = sample();
  status.listeners[0].address = "unix:/\xff\"";
  EXPECT_EQ(nlohmann::json::parse(to_json(status)).at("listeners")[0].at("address"), "unix:/\xef\xbf\xbd\"");
}

TEST(ServerStatus, ReadsWhatEachReactorTells) {
  StopControl control(2);
  const Instant now{1000s};
  ReactorCounters& second = control.counters(1);
  second.accepted = 7;
  second.accepted_while_stopping = 1;
  second.active = 2;
  second.idle = 3;
  second.idle_closed = 4;
  second.completed = 5;
  second.handed_over = 8;
  second.aborted = 6;
  second.late_requests = 7;
  second.answers[1] = 8;
  second.bytes_sent = 9;
  second.beat_due_ns = (now - 2s).time_since_epoch().count();
  const auto reactors = read_reactors(control, now);
  ASSERT_EQ(reactors.size(), 2u);
  EXPECT_EQ(reactors[0].id, 0u);
  EXPECT_EQ(reactors[0].loop_lag, 0s);
  EXPECT_EQ(reactors[1].id, 1u);
  EXPECT_EQ(reactors[1].accepted, 7u);
  EXPECT_EQ(reactors[1].accepted_while_stopping, 1u);
  EXPECT_EQ(reactors[1].active, 2u);
  EXPECT_EQ(reactors[1].idle, 3u);
  EXPECT_EQ(reactors[1].idle_closed, 4u);
  EXPECT_EQ(reactors[1].completed, 5u);
  EXPECT_EQ(reactors[1].handed_over, 8u);
  EXPECT_EQ(reactors[1].aborted, 6u);
  EXPECT_EQ(reactors[1].late_requests, 7u);
  EXPECT_EQ(reactors[1].answers, (std::array<uint64_t, 5>{0, 8, 0, 0, 0}));
  EXPECT_EQ(reactors[1].bytes_sent, 9u);
  EXPECT_EQ(reactors[1].loop_lag, 2s);
}

}  // namespace
}  // namespace lastcall
