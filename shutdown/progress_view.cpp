#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include <lastcall/core/log_format.hpp>
#include <lastcall/shutdown/progress_view.hpp>

namespace lastcall {
namespace {

constexpr size_t kMostCells = 40;
constexpr size_t kFewestCells = 4;     // below, a bar says nothing: only the numbers are shown
constexpr size_t kCellsForWords = 10;  // "3 active" rather than "3/" where this much is left for the bar

std::string printable(std::string text) {
  std::ranges::replace_if(
      text, [](char c) { return c < ' ' || c > '~'; }, '?');
  return text;
}

/// One column stays empty: many terminals wrap when the last one is written.
void fit(std::vector<std::string>& lines, TerminalSize size) {
  for (std::string& line : lines) {
    line = printable(std::move(line));
    if (line.size() >= size.columns) line.resize(size.columns > 0 ? size.columns - 1 : 0);
  }
}

/// Tenths of a second, cut down; whole seconds from a minute on.
std::string seconds(Duration duration) {
  int64_t tenths = to_ms(std::max(duration, Duration(0))) / 100;
  return tenths >= 600 ? fmt::format("{}s", tenths / 10) : fmt::format("{}.{}s", tenths / 10, tenths % 10);
}

void add(ReactorProgress& sum, const ReactorProgress& one) {
  sum.active += one.active;
  sum.idle += one.idle;
  sum.began += one.began;
  if (sum.held_by.empty()) sum.held_by = one.held_by;
}

void add(ReactorOutcome& sum, const ReactorOutcome& one) {
  sum.began += one.began;
  sum.accepted += one.accepted;
  sum.completed += one.completed;
  sum.idle_closed += one.idle_closed;
  sum.handed_over += one.handed_over;
  sum.aborted += one.aborted;
}

template <class T>
T sum_of(const std::vector<T>& all, size_t from) {
  T sum;
  for (size_t i = from; i < all.size(); ++i) add(sum, all[i]);
  return sum;
}

template <class T>
struct Row {
  std::string label;
  T what;
};

/// One row a reactor, or the first few and one for the rest: at most `most`.
template <class T>
std::vector<Row<T>> rows_of(const std::vector<T>& reactors, size_t most) {
  std::vector<Row<T>> rows;
  size_t single = reactors.size() <= most ? reactors.size() : std::max<size_t>(most, 1) - 1;
  for (size_t i = 0; i < single; ++i) rows.push_back({"r" + std::to_string(i), reactors[i]});
  if (single == reactors.size()) return rows;
  std::string label = single == 0 ? "all" : fmt::format("+{}", reactors.size() - single);
  rows.push_back({std::move(label), sum_of(reactors, single)});
  return rows;
}

template <class T>
size_t label_width(const std::vector<Row<T>>& rows) {
  size_t width = 0;
  for (const Row<T>& row : rows) width = std::max(width, row.label.size());
  return width;
}

size_t digits(uint64_t number) {
  return fmt::formatted_size("{}", number);
}

/// The numbers behind the bars, in columns.
std::vector<std::string> numbers_of(const std::vector<Row<ReactorProgress>>& rows, bool words) {
  size_t active = 0, idle = 0, began = 0;
  for (const auto& [label, reactor] : rows) {
    active = std::max(active, digits(reactor.active));
    idle = std::max(idle, digits(reactor.idle));
    began = std::max(began, digits(reactor.began));
  }
  std::vector<std::string> numbers;
  for (const auto& [label, reactor] : rows) {
    numbers.push_back(
        words ? fmt::format("{:>{}} active {:>{}} idle of {:>{}}", reactor.active, active, reactor.idle, idle,
                            reactor.began, began)
              : fmt::format("{:>{}}/{} of {}", reactor.active, active, reactor.idle, reactor.began));
  }
  return numbers;
}

void add_reactors(std::vector<std::string>& lines, const std::vector<Row<ReactorProgress>>& rows,
                  size_t columns) {
  if (rows.empty()) return;
  size_t label = label_width(rows);
  // "r0 [bar] numbers", and the column that stays empty
  auto cells_beside = [&](const std::vector<std::string>& numbers) {
    size_t widest = std::ranges::max_element(numbers, {}, &std::string::size)->size();
    size_t taken = label + 4 + widest + 1;
    return columns > taken ? columns - taken : 0;
  };
  std::vector<std::string> numbers = numbers_of(rows, true);
  if (cells_beside(numbers) < kCellsForWords) numbers = numbers_of(rows, false);
  size_t cells = std::min(cells_beside(numbers), kMostCells);
  for (size_t i = 0; i < rows.size(); ++i) {
    const ReactorProgress& reactor = rows[i].what;
    std::string line = fmt::format("{:<{}} ", rows[i].label, label);
    if (cells >= kFewestCells) {
      line += fmt::format("[{}] ", render_bar(reactor.active, reactor.idle, reactor.began, cells));
    }
    line += numbers[i];
    if (!reactor.held_by.empty()) line += ", held by " + reactor.held_by;
    lines.push_back(std::move(line));
  }
}

std::string headline(const StopProgress& progress) {
  ReactorProgress sum = sum_of(progress.reactors, 0);
  std::string line =
      fmt::format("{} {} of {}: {} active, {} idle", to_string(progress.phase), seconds(progress.elapsed),
                  format_duration(progress.allowed), sum.active, sum.idle);
  if (progress.aborted > 0) line += fmt::format(", {} aborted", progress.aborted);
  return line;
}

std::string line_of(const OldestRequest& oldest) {
  std::string line = "oldest";
  if (oldest.age) line += ' ' + seconds(*oldest.age);
  return line + ' ' + (oldest.route.empty() ? "(no route yet)" : oldest.route);
}

}  // namespace

std::string render_bar(uint64_t active, uint64_t idle, uint64_t began, size_t cells) {
  uint64_t whole = std::max<uint64_t>({began, active + idle, 1});
  auto share = [&](uint64_t count) {
    auto part = static_cast<size_t>(static_cast<double>(count) / static_cast<double>(whole) *
                                    static_cast<double>(cells));
    return count > 0 ? std::max<size_t>(part, 1) : 0;
  };
  size_t active_cells = std::min(share(active), cells);
  size_t open_cells = std::min(std::max(share(active + idle), active_cells + (idle > 0)), cells);
  // Idle ones are not hidden by the rounding of the active ones.
  if (idle > 0 && active_cells == cells && cells > 1) --active_cells;
  return std::string(active_cells, '#') + std::string(open_cells - active_cells, '-') +
         std::string(cells - open_cells, '.');
}

std::vector<std::string> render_progress(const StopProgress& progress, TerminalSize size) {
  size_t room = std::max<uint32_t>(size.rows, 2) - 1;
  size_t others = progress.oldest && room > 2 ? 2 : 1;
  std::vector<std::string> lines{headline(progress)};
  if (room > others) add_reactors(lines, rows_of(progress.reactors, room - others), size.columns);
  if (others == 2) lines.push_back(line_of(*progress.oldest));
  fit(lines, size);
  return lines;
}

std::vector<std::string> render_outcome(const std::vector<ReactorOutcome>& reactors, TerminalSize size) {
  std::vector<Row<ReactorOutcome>> rows = rows_of(reactors, std::max<uint32_t>(size.rows, 2) - 1);
  size_t label = label_width(rows);
  std::vector<std::string> lines;
  for (const auto& [name, reactor] : rows) {
    std::string line = fmt::format("{:<{}} {} open", name, label, reactor.began);
    if (reactor.accepted > 0) line += fmt::format(" and {} accepted", reactor.accepted);
    line += fmt::format(": {} completed, {} idle closed, ", reactor.completed, reactor.idle_closed);
    if (reactor.handed_over > 0) line += fmt::format("{} handed over, ", reactor.handed_over);
    line += fmt::format("{} aborted", reactor.aborted);
    lines.push_back(std::move(line));
  }
  fit(lines, size);
  return lines;
}

}  // namespace lastcall
