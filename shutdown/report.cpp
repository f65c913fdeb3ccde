#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <string_view>

#include <lastcall/core/fd.hpp>
#include <lastcall/shutdown/report.hpp>

namespace lastcall {
namespace {

using Json = nlohmann::ordered_json;  // keys in the order of the contract

Json json_of(const PhaseSpan& span) {
  return {{"name", to_string(span.phase)}, {"start_ms", span.start_ms}, {"end_ms", span.end_ms}};
}

Json json_of(const GateReport::Listener& listener) {
  return {{"address", listener.address}, {"tier", listener.tier}};
}

Json json_of(const ReactorTotals& reactor) {
  return {{"id", reactor.id},
          {"accepted", reactor.accepted},
          {"accepted_while_stopping", reactor.accepted_while_stopping},
          {"idle_closed", reactor.idle_closed},
          {"completed", reactor.completed},
          {"handed_over", reactor.handed_over},
          {"aborted", reactor.aborted}};
}

std::string quoted(const std::string& text) {
  return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
}

// By hand: there may be thousands, and little time.
void append(std::string& json, const AbortedExchange& exchange) {
  json += R"({"peer":)" + quoted(exchange.peer);
  json += R"(,"method":)" + quoted(exchange.method);
  json += R"(,"target":)" + quoted(exchange.target);
  json += R"(,"state":)" + quoted(exchange.state);
  json += R"(,"age_ms":)" + std::to_string(exchange.age_ms);
  json += R"(,"bytes_sent":)" + std::to_string(exchange.bytes_sent);
  json += R"(,"why":)" + quoted(exchange.why);
  if (!exchange.route.empty()) json += R"(,"route":)" + quoted(exchange.route);
  json += '}';
}

Json json_of(const TimelineSample& sample) {
  return {{"at_ms", sample.at_ms},
          {"idle", sample.idle},
          {"active", sample.active},
          {"aborted", sample.aborted},
          {"completed", sample.completed}};
}

template <class T>
Json json_of(const std::vector<T>& items) {
  Json array = Json::array();
  for (const T& item : items) array.push_back(json_of(item));
  return array;
}

// 0, or errno.
int write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno;
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return 0;
}

// O_NONBLOCK lets opening a pipe without a reader fail (ENXIO) instead of holding up the stop.
int write_in_place(const std::string& path, std::string_view bytes) {
  Fd file(::open(path.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC | O_NONBLOCK));
  if (!file) return errno;
  ::fcntl(file.get(), F_SETFL, O_WRONLY);
  return write_all(file.get(), bytes);
}

int replace_file(const std::string& path, std::string_view bytes) {
  std::string temporary = path + ".tmp." + std::to_string(::getpid());
  ::unlink(temporary.c_str());  // of a process that had our number and did not finish
  Fd file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (!file) return errno;
  int failed = write_all(file.get(), bytes);
  if (failed == 0 && ::rename(temporary.c_str(), path.c_str()) != 0) failed = errno;
  if (failed != 0) ::unlink(temporary.c_str());
  // A file that a container runtime mounted, such as /dev/termination-log, cannot be replaced.
  return failed == EBUSY ? write_in_place(path, bytes) : failed;
}

bool is_special(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode);
}

}  // namespace

std::string to_json(const DrainReport& report) {
  Json json{{"reason", report.reason},
            {"io", report.io},
            {"exit_code", report.exit_code},
            {"duration_ms", report.duration_ms},
            {"phases", json_of(report.phases)},
            {"reactors", json_of(report.reactors)},
            {"aborted", nullptr},
            {"late_requests", report.late_requests},
            {"background",
             {{"completed", report.background.completed},
              {"failed", report.background.failed},
              {"abandoned", report.background.abandoned}}},
            {"gate",
             {{"certified", report.gate.certified},
              {"cookies", report.gate.cookies},
              {"held_ms", report.gate.held_ms},
              {"listeners", json_of(report.gate.listeners)}}},
            {"deadline_ms", report.deadline_ms},
            {"aborted_unlisted", report.aborted_unlisted},
            {"timeline", json_of(report.timeline)}};
  std::string text = json.dump(-1, ' ', false, Json::error_handler_t::replace);
  std::string aborted = "[";
  for (const AbortedExchange& exchange : report.aborted) {
    if (aborted.size() > 1) aborted += ',';
    append(aborted, exchange);
  }
  aborted += ']';
  constexpr std::string_view kPlace = R"("aborted":null)";  // of strings before it, none can look like this
  text.replace(text.find(kPlace) + kPlace.size() - 4, 4, aborted);
  return text;
}

Result<void> write_report(const DrainReport& report, const std::string& path) {
  std::string bytes = to_json(report) + '\n';
  int failed = path == "-"        ? write_all(STDOUT_FILENO, bytes)
               : is_special(path) ? write_in_place(path, bytes)
                                  : replace_file(path, bytes);
  if (failed != 0) return system_error("write report " + (path == "-" ? "to standard output" : path), failed);
  return {};
}

}  // namespace lastcall
