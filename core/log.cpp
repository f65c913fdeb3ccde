#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <string>
#include <utility>

#include <lastcall/core/clock.hpp>
#include <lastcall/core/fd.hpp>
#include <lastcall/core/log.hpp>
#include <lastcall/core/log_format.hpp>

namespace lastcall {
namespace {

std::atomic<LogFormat> chosen_format{LogFormat::text};
std::atomic<LogLevel> chosen_level{LogLevel::info};
std::atomic<bool> may_wait{true};
std::atomic<uint64_t> dropped{0};  // lines, since the last one that was written
constexpr Duration kPatience = 20ms;
constexpr Duration kAsLongAsItTakes = Duration::max();

/// Once a line was lost, the next ones do not wait: one after the other they could hold up a stop for
/// seconds.
Duration patience() noexcept {
  if (may_wait.load(std::memory_order_relaxed)) return kAsLongAsItTakes;
  return dropped.load(std::memory_order_relaxed) == 0 ? kPatience : 0ms;
}

/// What is on standard error below the log. Only for whoever holds a Turn.
struct Footer {
  std::string text;
  std::string erase;
};

/// Standard error as an open file of our own that never blocks. A poll(2) before a write is not enough: what
/// is shared with others may fill up, and a terminal may be halted, in between.
class UnblockingError {
 public:
  /// Its descriptor; -1 where standard error is nothing that blocks, or cannot be opened again.
  int get() noexcept {
    struct stat now {};
    if (::fstat(STDERR_FILENO, &now) != 0) return -1;
    if (now.st_dev == device_ && now.st_ino == inode_) return fd_.get();
    device_ = now.st_dev;
    inode_ = now.st_ino;
    const bool blocks = S_ISFIFO(now.st_mode) || S_ISCHR(now.st_mode);
    fd_.reset(blocks ? ::open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC) : -1);
    return fd_.get();
  }
  void close() noexcept {
    fd_.reset();
    device_ = 0;
    inode_ = 0;
  }

 private:
  Fd fd_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

struct Writers {
  std::mutex mutex;
  std::condition_variable free;
  bool busy = false;
  bool cut = false;  // the last line was not written to its end
  Footer footer;
  UnblockingError error;
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
  explicit Turn(Duration patience) : patience_(patience) {
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
  /// The next ones will wait, or will not any more.
  void forget_error() noexcept {
    if (held_) writers_.error.close();
  }

  /// False when it found room for some of it at most, in time.
  bool write(std::string_view bytes) {
    const int fd = patience_ == kAsLongAsItTakes ? -1 : writers_.error.get();
    std::string whole;
    if (std::exchange(writers_.cut, false)) bytes = whole.append("\n").append(bytes);
    for (int tries = 0; !bytes.empty(); ++tries) {
      const ssize_t written = ::write(fd >= 0 ? fd : STDERR_FILENO, bytes.data(), bytes.size());
      if (written == 0) return true;
      if (written > 0) {
        bytes.remove_prefix(static_cast<size_t>(written));
        writers_.cut = true;
      } else if (errno == EAGAIN && tries < kMostTries && poll_for_room(patience_)) {
        continue;
      } else if (errno != EINTR) {
        return errno != EAGAIN;  // or standard error is gone: there is nowhere left to say so
      }
    }
    writers_.cut = false;
    return true;
  }

 private:
  static constexpr int kMostTries = 1000;  // of a terminal that has room for a few bytes each time

  /// A hang-up or an error counts as room: writing is what tells.
  static bool poll_for_room(Duration patience) noexcept {
    pollfd error{.fd = STDERR_FILENO, .events = POLLOUT, .revents = 0};
    const int timeout_ms = patience == kAsLongAsItTakes ? -1 : static_cast<int>(to_ms(patience));
    return ::poll(&error, 1, timeout_ms) != 0;
  }

  Writers& writers_ = writers();
  Duration patience_;
  bool held_ = false;
  bool has_room_ = false;
};

/// What was lost before the line is told with it; the footer is taken off and put back.
std::string with_surroundings(std::string line, LogFormat format, uint64_t lines_lost, const Footer& footer) {
  if (lines_lost > 0) {
    LogField field("count", lines_lost);
    std::string lost =
        format_log_line(format, wall_now(), LogLevel::warning, "log_lines_dropped", {&field, 1});
    line = lost + '\n' + line;
  }
  line += '\n';
  return footer.text.empty() ? line : footer.erase + line + footer.text;
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
  const uint64_t lost = turn.usable() ? dropped.exchange(0, std::memory_order_relaxed) : 0;
  if (!turn.usable() || !turn.write(with_surroundings(std::move(line), format, lost, turn.footer()))) {
    dropped.fetch_add(lost + 1, std::memory_order_relaxed);
  }
} catch (...) {
  // Out of memory, or standard error is gone: there is nowhere left to say so.
}

LogFormat log_format() noexcept {
  return chosen_format.load(std::memory_order_relaxed);
}

void log_may_wait(bool wait) noexcept {
  may_wait.store(wait, std::memory_order_relaxed);
  if (wait) Turn(kPatience).forget_error();
}

bool log_footer(std::string text, std::string erase) noexcept try {
  Turn turn(erase.empty() ? kPatience : 0ms);
  if (!turn.usable()) return false;
  if (!turn.write(turn.footer().erase + text)) return false;
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
