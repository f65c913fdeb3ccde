#include "tests/support/terminal_screen.hpp"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <utility>

namespace lastcall::support {

void TerminalScreen::write(std::string_view bytes) {
  for (char c : bytes) {
    if (!escape_.empty()) {
      escape_ += c;
      bool in_sequence = escape_.size() == 2 ? c == '[' : std::isdigit(static_cast<unsigned char>(c)) != 0;
      if (!in_sequence) escape(c);
    } else if (c == '\x1b') {
      escape_ = c;
    } else if (c == '\n') {
      line_feed();
    } else if (c == '\r') {
      column_ = 0;
    } else {
      put(c);
    }
  }
}

void TerminalScreen::put(char c) {
  if (column_ == columns_) {
    rows_[row_].continues = true;
    line_feed();
    column_ = 0;
  }
  std::string& text = rows_[row_].text;
  text.resize(std::max(text.size(), column_ + 1), ' ');
  text[column_++] = c;
}

void TerminalScreen::line_feed() {
  if (++row_ == rows_.size()) rows_.emplace_back();
}

void TerminalScreen::escape(char last) {
  std::string sequence = std::exchange(escape_, {});
  if (last == 'A') {
    row_ -= std::min<size_t>(row_, std::strtoul(sequence.c_str() + 2, nullptr, 10));
  } else if (last == 'J') {
    erase_below();
  } else {
    for (char c : sequence) put(c);
  }
}

void TerminalScreen::erase_below() {
  ++erasures_;
  for (size_t i = row_; i < rows_.size(); ++i) erased_wrapped_line_ |= rows_[i].continues;
  rows_.resize(row_ + 1);
  rows_[row_].text.resize(std::min(rows_[row_].text.size(), column_));
  rows_[row_].continues = false;
}

std::vector<std::string> TerminalScreen::lines() const {
  std::vector<std::string> lines;
  bool goes_on = false;
  for (const Row& row : rows_) {
    if (goes_on) {
      lines.back() += row.text;
    } else {
      lines.push_back(row.text);
    }
    goes_on = row.continues;
  }
  while (!lines.empty() && lines.back().empty()) lines.pop_back();
  return lines;
}

}  // namespace lastcall::support
