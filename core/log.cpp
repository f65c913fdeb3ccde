#include <poll.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <utility>

#include <lastcall/core/clock.hpp>
#include <lastcall/core/log.hpp>
#include <lastcall/core/log_format.hpp>

namespace lastcall {
namespace {

std::atomic<LogFormat> chosen_format{LogFormat::text};
std::atomic<LogLevel> chosen_level{LogLevel::info};
std::atomic<bool> may_wait{true};
std::atomic<uint64_t> dropped{0};  // lines, since the last one that was written
constexpr Duration kPatience = 20ms;

/// What is on standard error below the log. Only for whoever holds a Turn.
struct Footer {
  std::string text;
  std::string erase;
};

struct Writers {
  std::mutex mutex;
  std::condition_variable free;
  bool busy = false;
  Footer footer;
};

// Never destroyed: threads may log while the process leaves.
Writers& writers() {
  static auto* only = new Writers;
  return *only;
}

/// The right to write to standard error, if it was to be had in time. A mutex that can be waited for would
/// do, but gcc 12's ThreadSanitizer does not know pthread_mutex_clocklock.
class Turn {
 public:
  static constexpr Duration kAsLongAsItTakes = Duration::max();

  explicit Turn(Duration patience) {
    std::unique_lock lock(writers_.mutex);
    auto is_free = [this] { return !writers_.busy; };
    if (patience == kAsLongAsItTakes) {
      writers_.free.wait(lock, is_free);
    } else if (!writers_.free.wait_for(lock, patience, is_free)) {
      return;
    }
    writers_.busy = held_ = true;
    lock.unlock();
    has_room_ = patience == kAsLongAsItTakes || poll_for_room(patience);
  }
  ~Turn() {
    if (!held_) return;
    {
      std::lock_guard lock(writers_.mutex);
      writers_.busy = false;
    }
    writers_.free.notify_one();
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

  /// Whether it is ours, and standard error takes a line.
  [[nodiscard]] bool usable() const noexcept { return held_ && has_room_; }
  [[nodiscard]] Footer& footer() noexcept { return writers_.footer; }

 private:
  /// A hang-up or an error counts as room: writing is what tells.
  static bool poll_for_room(Duration patience) noexcept {
    pollfd error{.fd = STDERR_FILENO, .events = POLLOUT, .revents = 0};
    return ::poll(&error, 1, static_cast<int>(to_ms(patience))) != 0;
  }

  Writers& writers_ = writers();
  bool held_ = false;
  bool has_room_ = false;
};

/// Once a line was lost, the next ones do not wait: one after the other they could hold up a stop for
/// seconds.
Duration patience() noexcept {
  if (may_wait.load(std::memory_order_relaxed)) return Turn::kAsLongAsItTakes;
  return dropped.load(std::memory_order_relaxed) == 0 ? kPatience : 0ms;
}

// Never destroyed, too. The sink writes and flushes a line under one lock.
spdlog::logger& logger() {
  static spdlog::logger* only = [] {
    auto made =
        std::make_unique<spdlog::logger>("lastcall", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("%v");
    made->set_level(spdlog::level::trace);
    return made.release();
  }();
  return *only;
}

/// What was lost before the line is told with it; the footer is taken off and put back.
std::string with_surroundings(std::string line, LogFormat format, const Footer& footer) {
  if (uint64_t count = dropped.exchange(0, std::memory_order_relaxed); count > 0) {
    LogField field("count", count);
    std::string lost =
        format_log_line(format, wall_now(), LogLevel::warning, "log_lines_dropped", {&field, 1});
    line = lost + '\n' + line;
  }
  if (footer.text.empty()) return line;
  line = footer.erase + line + '\n' + footer.text;
  line.pop_back();  // the sink ends the last line
  return line;
}

}  // namespace

LogField::LogField(std::string_view k, Duration value) : key(k), text(format_duration(value)) {}

void log_configure(LogFormat format, LogLevel level) {
  chosen_format.store(format, std::memory_order_relaxed);
  chosen_level.store(level, std::memory_order_relaxed);
}

bool log_enabled(LogLevel level) noexcept {
  return level != LogLevel::off && level >= chosen_level.load(std::memory_order_relaxed);
}

void log_event(LogLevel level, std::string_view name, std::initializer_list<LogField> fields) noexcept try {
  if (!log_enabled(level)) return;
  LogFormat format = chosen_format.load(std::memory_order_relaxed);
  std::string line = format_log_line(format, wall_now(), level, name, fields);
  Turn turn(patience());
  if (!turn.usable()) {
    dropped.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  line = with_surroundings(std::move(line), format, turn.footer());
  logger().log(spdlog::level::info, spdlog::string_view_t(line));
} catch (...) {
  // Out of memory, or standard error is gone: there is nowhere left to say so.
}

LogFormat log_format() noexcept {
  return chosen_format.load(std::memory_order_relaxed);
}

void log_may_wait(bool wait) noexcept {
  may_wait.store(wait, std::memory_order_relaxed);
}

bool log_footer(std::string text, std::string erase) noexcept try {
  Turn turn(erase.empty() ? kPatience : 0ms);
  if (!turn.usable()) return false;
  std::string bytes = turn.footer().erase + text;
  [[maybe_unused]] ssize_t written = ::write(STDERR_FILENO, bytes.data(), bytes.size());
  if (erase.empty()) text.clear();
  turn.footer() = {.text = std::move(text), .erase = std::move(erase)};
  return true;
} catch (...) {
  return false;
}

Result<LogLevel> parse_log_level(std::string_view text) {
  for (LogLevel level :
       {LogLevel::debug, LogLevel::info, LogLevel::warning, LogLevel::error, LogLevel::off}) {
    if (text == to_string(level)) return level;
  }
  return error("unknown log level \"" + std::string(text) + "\": choose debug, info, warning, error or off");
}

Result<LogFormat> parse_log_format(std::string_view text) {
  if (text == "text") return LogFormat::text;
  if (text == "json") return LogFormat::json;
  return error("unknown log format \"" + std::string(text) + "\": choose text or json");
}

}  // namespace lastcall
