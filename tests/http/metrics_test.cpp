#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <sstream>

#include <lastcall/http/metrics.hpp>

namespace lastcall {
namespace {

using testing::HasSubstr;

ServerStatus sample() {
  ServerStatus status{.version = "1.2.3",
                      .pid = 771,
                      .io = "epoll",
                      .phase = Phase::draining,
                      .ready = false,
                      .stop_remaining = 22'400ms,
                      .uptime = 5s,
                      .began_wall = 1'700'000'000'250ms,
                      .descriptors = {30, 1024},
                      .listeners = {{"127.0.0.1:8080", "parking"}, {"unix:/a\"b\\c\nd", "unix"}},
                      .reactors = {{.id = 0}, {.id = 1}}};
  status.reactors[1].accepted = uint64_t(-1);
  status.reactors[1].answers = {1, 2, 3, 4, 5};
  status.reactors[1].loop_lag = 1500us;
  return status;
}

/// What a scraper makes of the text: samples by name and labels. Fails on whatever the format does not have.
class Scrape {
 public:
  explicit Scrape(const std::string& text) {
    EXPECT_TRUE(text.ends_with('\n'));
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) take(line);
  }

  std::map<std::string, double> samples;
  std::map<std::string, std::string> types;

 private:
  void take(const std::string& line) {
    std::istringstream words(line);
    std::string hash, keyword, name, type;
    if (line.starts_with("# ")) {
      words >> hash >> keyword >> name >> type;
      EXPECT_THAT(keyword, testing::AnyOf("HELP", "TYPE"));
      if (keyword == "HELP") {
        EXPECT_TRUE(helped_.insert(name).second) << name << " twice";
      } else {
        EXPECT_TRUE(helped_.contains(name)) << name;
        EXPECT_TRUE(types.emplace(name, type).second) << name << " twice";
        EXPECT_THAT(type, testing::AnyOf("counter", "gauge"));
        EXPECT_EQ(type == "counter", name.ends_with("_total")) << name;
        family_ = name;
      }
      return;
    }
    take_sample(line);
  }
  void take_sample(const std::string& line) {
    const size_t name_end = line.find_first_of("{ ");
    EXPECT_EQ(line.substr(0, name_end), family_) << "a sample without its TYPE: " << line;
    const size_t value = line.rfind(' ');
    ASSERT_NE(value, std::string::npos);
    size_t used = 0;
    const std::string number = line.substr(value + 1);
    const double parsed = std::stod(number, &used);
    EXPECT_EQ(used, number.size()) << line;
    const std::string labels = line.substr(name_end, value - name_end);
    if (!labels.empty()) expect_labels(labels);
    EXPECT_TRUE(samples.emplace(line.substr(0, value), parsed).second) << "twice: " << line;
  }
  static void expect_labels(const std::string& labels) {
    EXPECT_TRUE(labels.starts_with('{') && labels.ends_with('}')) << labels;
    bool quoted = false;
    for (size_t i = 1; i + 1 < labels.size(); ++i) {
      if (quoted && labels[i] == '\\') {
        ++i;
        EXPECT_THAT(labels[i], testing::AnyOf('\\', '"', 'n')) << labels;
      } else if (labels[i] == '"') {
        quoted = !quoted;
      }
    }
    EXPECT_FALSE(quoted) << labels;
  }

  std::set<std::string> helped_;
  std::string family_;
};

TEST(Metrics, AreWhatAScraperReads) {
  const Scrape scrape(to_prometheus(sample()));
  EXPECT_EQ(scrape.samples.at("lastcall_build_info{version=\"1.2.3\",io=\"epoll\"}"), 1);
  EXPECT_EQ(scrape.samples.at("process_start_time_seconds"), 1'700'000'000.25);
  EXPECT_EQ(scrape.samples.at("process_open_fds"), 30);
  EXPECT_EQ(scrape.samples.at("process_max_fds"), 1024);
  EXPECT_EQ(scrape.samples.at("lastcall_ready"), 0);
  EXPECT_EQ(scrape.samples.at("lastcall_phase{phase=\"draining\"}"), 1);
  EXPECT_EQ(scrape.samples.at("lastcall_stop_remaining_seconds"), 22.4);
  EXPECT_EQ(scrape.samples.at("lastcall_loop_lag_seconds{reactor=\"1\"}"), 0.0015);
  EXPECT_EQ(scrape.samples.at("lastcall_responses_total{reactor=\"1\",code=\"1xx\"}"), 1);
  EXPECT_EQ(scrape.samples.at("lastcall_responses_total{reactor=\"1\",code=\"5xx\"}"), 5);
  EXPECT_EQ(scrape.samples.at("lastcall_responses_total{reactor=\"0\",code=\"5xx\"}"), 0);
}

TEST(Metrics, OnePhaseIsAtOne) {
  for (uint8_t phase = 0; phase < 5; ++phase) {
    ServerStatus status = sample();
    status.phase = static_cast<Phase>(phase);
    const Scrape scrape(to_prometheus(status));
    double sum = 0;
    for (const auto& [name, value] : scrape.samples) {
      if (name.starts_with("lastcall_phase{")) sum += value;
    }
    EXPECT_EQ(sum, 1);
    EXPECT_EQ(scrape.samples.at("lastcall_phase{phase=\"" + std::string(to_string(status.phase)) + "\"}"), 1);
  }
}

TEST(Metrics, EveryReactorIsInEveryFamilyOfThem) {
  const Scrape scrape(to_prometheus(sample()));
  std::map<std::string, int> of_reactors;
  for (const auto& [name, value] : scrape.samples) {
    if (name.contains("{reactor=")) ++of_reactors[name.substr(0, name.find('{'))];
  }
  EXPECT_EQ(of_reactors.size(), 13u);
  for (const auto& [name, count] : of_reactors) {
    const int labels = name == "lastcall_responses_total" ? 5 : name == "lastcall_turned_away_total" ? 6 : 1;
    EXPECT_EQ(count, 2 * labels) << name;
  }
}

TEST(Metrics, LabelsAreEscaped) {
  const std::string text = to_prometheus(sample());
  EXPECT_THAT(text, HasSubstr(R"(lastcall_listener_info{address="unix:/a\"b\\c\nd",gate="unix"} 1)"));
  static_cast<void>(Scrape(text));
}

TEST(Metrics, CountersAreWrittenInFull) {
  EXPECT_THAT(to_prometheus(sample()),
              HasSubstr("lastcall_connections_accepted_total{reactor=\"1\"} 18446744073709551615\n"));
}

TEST(Metrics, NothingRemainsWhereNoStopLasts) {
  ServerStatus status = sample();
  status.stop_remaining.reset();
  EXPECT_FALSE(Scrape(to_prometheus(status)).types.contains("lastcall_stop_remaining_seconds"));
}

TEST(Metrics, OfNothingAreValidAllTheSame) {
  EXPECT_EQ(Scrape(to_prometheus(ServerStatus{})).samples.at("lastcall_ready"), 0);
}

}  // namespace
}  // namespace lastcall
