#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <iostream>
#include <optional>
#include <thread>

#include <lastcall/core/clock.hpp>

#include "admin_client.hpp"
#include "admin_commands.hpp"
#include "status_text.hpp"
#include "terminal.hpp"

namespace lastcall::tool {
namespace {

using Json = nlohmann::json;

constexpr Duration kInterval = 1s;

/// What is known of the server: the newest status, the one before it, and what went wrong since.
class Watched {
 public:
  explicit Watched(const AdminClient& client) : client_(client) {}

  void look() {
    const Instant now = monotonic_now();
    problem_ = ask();
    if (!problem_.empty() || !newest_) return;
    seconds_ = std::chrono::duration<double>(now - looked_).count();
    looked_ = now;
  }

  [[nodiscard]] bool known() const noexcept { return newest_.has_value(); }
  [[nodiscard]] const std::string& problem() const noexcept { return problem_; }

  /// Lines of at most that many columns; 0: of any.
  [[nodiscard]] std::vector<std::string> lines(size_t columns, bool colour) const {
    std::vector<std::string> shown;
    if (!problem_.empty()) {
      shown.push_back((known() ? "lost, as it was before: " : "waiting: ") + printable(problem_));
      if (columns != 0 && shown.back().size() > columns) shown.back().resize(columns);
    }
    if (!known()) return shown;
    const StatusView view{
        .before = before_ ? &*before_ : nullptr, .seconds = seconds_, .columns = columns, .colour = colour};
    std::vector<std::string> status = describe_status(*newest_, view);
    shown.insert(shown.end(), std::make_move_iterator(status.begin()), std::make_move_iterator(status.end()));
    return shown;
  }

 private:
  /// What went wrong; empty: nothing.
  std::string ask() try {
    const Result<AdminAnswer> answer = client_.ask("GET", "/status?requests=1");
    if (!answer) return answer.error().message;
    if (answer->status != 200)
      return fmt::format("{} answered with status {}", client_.address(), answer->status);
    Json status = Json::parse(answer->body);
    static_cast<void>(describe_status(status));  // throws where it is none
    before_ = std::move(newest_);
    newest_ = std::move(status);
    return {};
  } catch (const Json::exception& what) {
    return fmt::format("the answer of {} is no status of lastcall: {}", client_.address(), what.what());
  }

  const AdminClient& client_;
  std::optional<Json> newest_;
  std::optional<Json> before_;
  Instant looked_{};
  double seconds_ = 0;
  std::string problem_;
};

void run_on_terminal(Watched& watched) {
  Terminal terminal;
  for (Instant due = monotonic_now();;) {
    terminal.draw(watched.lines(terminal.size().columns, true));
    due = std::max(due + kInterval, monotonic_now());
    for (bool waiting = true; waiting;) {
      switch (terminal.wait_until(due)) {
        case Terminal::Wish::quit: return;
        case Terminal::Wish::redraw: terminal.draw(watched.lines(terminal.size().columns, true)); break;
        case Terminal::Wish::none: waiting = false; break;
      }
    }
    watched.look();
  }
}

/// Into a file or a pipe, until that is gone, or the server.
void run_on_stream(Watched& watched, bool once) {
  for (;;) {
    for (const std::string& line : watched.lines(0, false)) std::cout << line << "\n";
    std::cout << std::endl;
    if (once || !std::cout || !watched.problem().empty()) return;
    std::this_thread::sleep_for(kInterval);
    watched.look();
  }
}

}  // namespace

int run_top(const AdminClient& client, bool once) {
  Watched watched(client);
  watched.look();
  if (!watched.known()) {
    std::cerr << "lastcall: " << watched.problem() << "\n";
    return 1;
  }
  if (once || !Terminal::is_there()) {
    run_on_stream(watched, once);
  } else {
    run_on_terminal(watched);
  }
  return 0;
}

}  // namespace lastcall::tool
