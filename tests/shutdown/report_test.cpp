#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include <lastcall/core/fd.hpp>
#include <lastcall/shutdown/report.hpp>

namespace lastcall {
namespace {

namespace fs = std::filesystem;

class Folder : public testing::Test {
 protected:
  Folder() {
    std::string name = (fs::temp_directory_path() / "lastcall-report-XXXXXX").string();
    if (!::mkdtemp(name.data())) std::abort();
    folder_ = name;
  }
  ~Folder() override { fs::remove_all(folder_); }

  static std::string read(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  [[nodiscard]] size_t files() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()));
  }

  fs::path folder_;
};

DrainReport sample() {
  return {.reason = "SIGTERM",
          .io = "epoll",
          .exit_code = 2,
          .duration_ms = 1234,
          .deadline_ms = 1500,
          .phases = {{Phase::draining, 0, 1200}, {Phase::forcing, 1200, 1230}},
          .reactors = {{0, 10, 1, 2, 6, 0, 1}},
          .aborted = {{"127.0.0.1:5", "GET", "/x", "writing", 900, 77, "deadline"}},
          .late_requests = 3,
          .background = {4, 5, 6},
          .timeline = {{0, 2, 8, 0, 5}, {1230, 0, 0, 1, 6}}};
}

TEST(Report, IsTheContractsObjectToTheLetter) {
  EXPECT_EQ(
      to_json(sample()),
      R"({"reason":"SIGTERM","io":"epoll","exit_code":2,"duration_ms":1234,)"
      R"("phases":[{"name":"draining","start_ms":0,"end_ms":1200},{"name":"forcing","start_ms":1200,"end_ms":1230}],)"
      R"("reactors":[{"id":0,"accepted":10,"accepted_while_stopping":1,"idle_closed":2,"completed":6,"handed_over":0,"aborted":1}],)"
      R"("aborted":[{"peer":"127.0.0.1:5","method":"GET","target":"/x","state":"writing","age_ms":900,)"
      R"("bytes_sent":77,"why":"deadline"}],"late_requests":3,)"
      R"("background":{"completed":4,"failed":5,"abandoned":6},)"
      R"("gate":{"certified":false,"cookies":false,"held_ms":0,"listeners":[]},"deadline_ms":1500,"aborted_unlisted":0,)"
      R"("timeline":[{"at_ms":0,"idle":2,"active":8,"aborted":0,"completed":5},)"
      R"({"at_ms":1230,"idle":0,"active":0,"aborted":1,"completed":6}]})");
}

TEST(Report, EmptyListsAreArrays) {
  auto parsed = nlohmann::json::parse(to_json({}));
  EXPECT_EQ(parsed["phases"], nlohmann::json::array());
  EXPECT_EQ(parsed["reactors"], nlohmann::json::array());
  EXPECT_EQ(parsed["aborted"], nlohmann::json::array());
  EXPECT_EQ(parsed["timeline"], nlohmann::json::array());
}

TEST(Report, AnyBytesInATargetGiveValidJson) {
  DrainReport report = sample();
  for (int byte = 0; byte < 256; ++byte) {
    report.aborted[0].target = std::string("/a") + static_cast<char>(byte) + "\"z";
    ASSERT_TRUE(nlohmann::json::accept(to_json(report))) << byte;
  }
  report.aborted[0].target = "/\xff";
  EXPECT_EQ(nlohmann::json::parse(to_json(report))["aborted"][0]["target"], "/\xef\xbf\xbd");
}

TEST_F(Folder, FileIsReplacedAndNothingElseIsLeft) {
  fs::path path = folder_ / "report.json";
  std::ofstream(path) << std::string(10000, 'x');
  auto before = fs::file_size(path);
  ASSERT_TRUE(write_report(sample(), path.string()));
  EXPECT_NE(fs::file_size(path), before);
  EXPECT_EQ(read(path), to_json(sample()) + "\n");
  EXPECT_EQ(files(), 1u);
}

TEST_F(Folder, WhoReadsTheOldFileKeepsIt) {
  fs::path path = folder_ / "report.json";
  std::ofstream(path) << "old";
  std::ifstream reader(path);
  ASSERT_TRUE(write_report(sample(), path.string()));
  std::string text;
  reader >> text;
  EXPECT_EQ(text, "old");
}

TEST_F(Folder, AStaleTemporaryIsNoObstacle) {
  fs::path path = folder_ / "report.json";
  std::ofstream(path.string() + ".tmp." + std::to_string(::getpid())) << "stale";
  ASSERT_TRUE(write_report(sample(), path.string()));
  EXPECT_EQ(read(path), to_json(sample()) + "\n");
  EXPECT_EQ(files(), 1u);
}

TEST_F(Folder, ErrorsNameThePathAndLeaveNothing) {
  auto missing = write_report(sample(), (folder_ / "no" / "report.json").string());
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ENOENT);
  EXPECT_THAT(missing.error().message, testing::HasSubstr((folder_ / "no" / "report.json").string()));

  fs::create_directory(folder_ / "dir");
  EXPECT_FALSE(write_report(sample(), (folder_ / "dir").string()));
  EXPECT_EQ(files(), 1u);
}

TEST_F(Folder, APipeIsWrittenInPlace) {
  fs::path path = folder_ / "pipe";
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  auto alone = write_report(sample(), path.string());
  ASSERT_FALSE(alone);
  EXPECT_EQ(alone.error().code, ENXIO);

  Fd reader(::open(path.c_str(), O_RDONLY | O_NONBLOCK));
  ASSERT_TRUE(write_report(sample(), path.string()));
  EXPECT_TRUE(fs::is_fifo(path));
  std::string text(4096, '\0');
  ssize_t got = ::read(reader.get(), text.data(), text.size());
  ASSERT_GT(got, 0);
  text.resize(static_cast<size_t>(got));
  EXPECT_EQ(text, to_json(sample()) + "\n");
}

TEST_F(Folder, DevNullStaysADevice) {
  ASSERT_TRUE(write_report(sample(), "/dev/null"));
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
}

TEST(Report, DashIsStandardOutput) {
  testing::internal::CaptureStdout();
  Result<void> written = write_report(sample(), "-");
  std::string text = testing::internal::GetCapturedStdout();
  EXPECT_TRUE(written);
  EXPECT_EQ(text, to_json(sample()) + "\n");
}

}  // namespace
}  // namespace lastcall
