#include "answer_reader.hpp"

#include <strings.h>

#include <algorithm>
#include <charconv>

namespace lastcall::load {
namespace {

bool same(std::string_view a, std::string_view b) {
  return a.size() == b.size() && ::strncasecmp(a.data(), b.data(), a.size()) == 0;
}

std::string_view trim(std::string_view text) {
  size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

bool has_token(std::string_view list, std::string_view token) {
  for (;;) {
    size_t comma = list.find(',');
    if (same(trim(list.substr(0, comma)), token)) return true;
    if (comma == std::string_view::npos) return false;
    list.remove_prefix(comma + 1);
  }
}

bool read_number(std::string_view text, uint64_t& number, int base) {
  auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  return code == std::errc() && end == text.data() + text.size();
}

}  // namespace

void AnswerReader::start(bool to_head) noexcept {
  state_ = State::head;
  started_ = false;
  to_head_ = to_head;
  text_.clear();
}

size_t AnswerReader::feed(std::string_view bytes) {
  size_t used = 0;
  while (used < bytes.size() && !complete() && !malformed()) {
    started_ = true;
    std::string_view rest = bytes.substr(used);
    switch (state_) {
      case State::head: used += feed_head(rest); break;
      case State::counted_body:
      case State::chunk_data: used += feed_counted(rest); break;
      case State::endless_body: used += rest.size(); break;
      default: used += feed_line(rest); break;
    }
  }
  return used;
}

bool AnswerReader::end_of_stream() noexcept {
  if (state_ == State::endless_body) state_ = State::complete;
  return complete();
}

size_t AnswerReader::feed_head(std::string_view bytes) {
  constexpr std::string_view kBegin = "HTTP/1.";
  size_t before = text_.size();
  text_.append(bytes.substr(0, kMostHeadBytes + 1 - before));
  size_t size = std::min(text_.size(), kBegin.size());
  size_t end = text_.find("\r\n\r\n", before < 3 ? 0 : before - 3);
  if (text_.compare(0, size, kBegin, 0, size) != 0 ||
      (end == std::string::npos && text_.size() > kMostHeadBytes)) {
    state_ = State::malformed;
    return bytes.size();
  }
  if (end == std::string::npos) return bytes.size();
  text_.resize(end + 2);
  if (!read_head()) state_ = State::malformed;
  text_.clear();
  return end + 4 - before;
}

/// text_ holds the head's lines, each with its CRLF.
bool AnswerReader::read_head() {
  std::string_view head = text_;
  size_t end = head.find("\r\n");
  if (!read_status_line(head.substr(0, end))) return false;
  counted_ = chunked_ = false;
  left_ = 0;
  for (head.remove_prefix(end + 2); !head.empty(); head.remove_prefix(end + 2)) {
    end = head.find("\r\n");
    if (!read_field(head.substr(0, end))) return false;
  }
  if (status_ >= 200 || status_ == 101) begin_body();
  return true;
}

bool AnswerReader::read_status_line(std::string_view line) {
  // HTTP/1.1 200 OK
  uint64_t status = 0;
  if (line.size() < 12 || line[8] != ' ' || !read_number(line.substr(9, 3), status, 10)) return false;
  if (status < 100 || (line.size() > 12 && line[12] != ' ')) return false;
  status_ = static_cast<int>(status);
  closes_ = line[7] == '0';
  return true;
}

bool AnswerReader::read_field(std::string_view line) {
  size_t colon = line.find(':');
  if (colon == std::string_view::npos) return false;
  std::string_view name = line.substr(0, colon);
  std::string_view value = trim(line.substr(colon + 1));
  if (same(name, "Content-Length")) {
    counted_ = true;
    return read_number(value, left_, 10);
  }
  if (same(name, "Transfer-Encoding")) chunked_ = has_token(value, "chunked");
  if (same(name, "Connection")) {
    if (has_token(value, "close")) closes_ = true;
    if (has_token(value, "keep-alive") && status_ != 101) closes_ = false;
  }
  return true;
}

/// RFC 9112, section 6.3.
void AnswerReader::begin_body() {
  if (status_ == 101) closes_ = true;  // another protocol follows, which is not ours
  if (to_head_ || status_ == 101 || status_ == 204 || status_ == 304) {
    state_ = State::complete;
  } else if (chunked_) {
    state_ = State::chunk_size;
  } else if (counted_) {
    state_ = left_ == 0 ? State::complete : State::counted_body;
  } else {
    state_ = State::endless_body;
    closes_ = true;
  }
}

size_t AnswerReader::feed_counted(std::string_view bytes) {
  size_t used = std::min<uint64_t>(left_, bytes.size());
  left_ -= used;
  if (left_ == 0) state_ = state_ == State::chunk_data ? State::chunk_end : State::complete;
  return used;
}

size_t AnswerReader::feed_line(std::string_view bytes) {
  size_t end = bytes.find('\n');
  size_t used = end == std::string_view::npos ? bytes.size() : end + 1;
  text_.append(bytes.substr(0, std::min(used, kMostLineBytes + 1)));
  if (text_.size() > kMostLineBytes) {
    state_ = State::malformed;
  } else if (end != std::string_view::npos) {
    end_line();
    text_.clear();
  }
  return used;
}

void AnswerReader::end_line() {
  std::string_view line = text_;
  if (!line.ends_with("\r\n")) {
    state_ = State::malformed;
    return;
  }
  line.remove_suffix(2);
  if (state_ == State::chunk_end) {
    state_ = line.empty() ? State::chunk_size : State::malformed;
  } else if (state_ == State::trailer) {
    if (line.empty()) state_ = State::complete;
  } else if (!read_number(trim(line.substr(0, line.find(';'))), left_, 16)) {
    state_ = State::malformed;
  } else {
    state_ = left_ == 0 ? State::trailer : State::chunk_data;
  }
}

}  // namespace lastcall::load
