#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <string_view>

#include <lastcall/core/log.hpp>
#include <lastcall/shutdown/progress_terminal.hpp>

namespace lastcall {
namespace {

constexpr TerminalSize kUnknownSize{};

TerminalSize terminal_size() noexcept {
  winsize window{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &window) != 0) return kUnknownSize;
  TerminalSize size = kUnknownSize;
  if (window.ws_col > 0) size.columns = window.ws_col;
  if (window.ws_row > 0) size.rows = window.ws_row;
  return size;
}

std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + '\n';
  return text;
}

// The cursor is below the lines: up, to the first column, and clear everything from there on.
std::string eraser_of(const std::vector<std::string>& lines) {
  return "\x1b[" + std::to_string(lines.size()) + "A\r\x1b[J";
}

}  // namespace

bool ProgressTerminal::is_useful() noexcept {
  const char* kind = std::getenv("TERM");
  return kind != nullptr && *kind != '\0' && std::string_view(kind) != "dumb" &&
         ::isatty(STDERR_FILENO) == 1 && log_format() == LogFormat::text && log_enabled(LogLevel::info);
}

void ProgressTerminal::draw(const StopProgress& progress, Instant now) {
  if (now < due_) return;
  due_ = after(now, kRedrawInterval);
  std::vector<std::string> lines = render_progress(progress, terminal_size());
  drawn_ = log_footer(joined(lines), eraser_of(lines)) || drawn_;
}

void ProgressTerminal::finish(const std::vector<ReactorOutcome>& outcome) {
  due_ = kNever;
  if (!drawn_) return;
  log_footer(joined(render_outcome(outcome, terminal_size())), "");
}

}  // namespace lastcall
