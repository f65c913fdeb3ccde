#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace lastcall::support {

/// As much of a terminal as the bars of a stop use: text, carriage return, line feed, cursor up (ESC [ n A),
/// erase to the end of the screen (ESC [ J), wrapping. Without a height: nothing scrolls away. Anything else
/// after ESC shows up as text.
class TerminalScreen {
 public:
  explicit TerminalScreen(size_t columns) : columns_(columns) {}

  /// Bytes as a program writes them, cut anywhere.
  void write(std::string_view bytes);

  /// From the top to the last one that is not empty. A line that wrapped is one line.
  [[nodiscard]] std::vector<std::string> lines() const;
  [[nodiscard]] size_t erasures() const noexcept { return erasures_; }
  /// Whether what was erased held a line longer than the screen is wide: what goes up by lines misses its
  /// start.
  [[nodiscard]] bool erased_wrapped_line() const noexcept { return erased_wrapped_line_; }

 private:
  struct Row {
    std::string text;
    bool continues = false;  // the line goes on in the next row
  };

  void put(char c);
  void escape(char last);
  void line_feed();
  void erase_below();

  size_t columns_;
  std::vector<Row> rows_ = {Row{}};
  size_t row_ = 0;
  size_t column_ = 0;
  std::string escape_;  // the sequence so far, from ESC on
  size_t erasures_ = 0;
  bool erased_wrapped_line_ = false;
};

}  // namespace lastcall::support
