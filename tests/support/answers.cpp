#include "tests/support/answers.hpp"

#include <algorithm>
#include <charconv>

namespace lastcall::test {
namespace {

enum class Read { whole, cut, bad };

std::optional<uint64_t> number(std::string_view text, int base) {
  uint64_t value = 0;
  auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (text.empty() || code != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// The line up to CRLF, without it, off the front of `stream`; nullopt when there is none.
std::optional<std::string_view> take_line(std::string_view& stream) {
  size_t end = stream.find("\r\n");
  if (end == std::string_view::npos) return std::nullopt;
  std::string_view line = stream.substr(0, end);
  stream.remove_prefix(end + 2);
  return line;
}

Read read_head(std::string_view& stream, Answer& answer) {
  size_t end = stream.find("\r\n\r\n");
  std::string_view expected = "HTTP/1.1 ";
  if (stream.substr(0, expected.size()) != expected.substr(0, stream.size())) return Read::bad;
  if (end == std::string_view::npos) return Read::cut;
  std::string_view head = stream.substr(0, end + 2);
  stream.remove_prefix(end + 4);
  std::string_view status = *take_line(head);
  if (status.size() < 13 || status[12] != ' ') return Read::bad;
  answer.status = static_cast<int>(number(status.substr(9, 3), 10).value_or(0));
  if (answer.status < 100) return Read::bad;
  while (!head.empty()) {
    std::string_view line = *take_line(head);
    size_t colon = line.find(": ");
    if (colon == std::string_view::npos || line.find_first_of("\r\n") != std::string_view::npos)
      return Read::bad;
    answer.fields.emplace_back(line.substr(0, colon), line.substr(colon + 2));
  }
  return Read::whole;
}

Read read_chunks(std::string_view& stream, Answer& answer) {
  for (;;) {
    if (stream.find("\r\n") == std::string_view::npos) return Read::cut;
    std::optional<uint64_t> size = number(*take_line(stream), 16);
    if (!size) return Read::bad;
    if (stream.size() < *size + 2) return Read::cut;
    answer.body.append(stream.substr(0, *size));
    stream.remove_prefix(*size);
    if (!stream.starts_with("\r\n")) return Read::bad;
    stream.remove_prefix(2);
    if (*size == 0) return Read::whole;
  }
}

Read read_body(std::string_view& stream, Answer& answer, bool head_only) {
  bool chunked = answer.field("Transfer-Encoding") == "chunked";
  if (answer.count("Content-Length") + answer.count("Transfer-Encoding") > 1) return Read::bad;
  if (head_only || answer.status < 200 || answer.status == 204 || answer.status == 304) return Read::whole;
  if (chunked) return read_chunks(stream, answer);
  if (answer.count("Content-Length") == 0) {
    answer.until_close = true;
    answer.body = std::exchange(stream, {});
    return answer.closes() ? Read::whole : Read::bad;
  }
  std::optional<uint64_t> length = number(answer.field("Content-Length"), 10);
  if (!length) return Read::bad;
  answer.body = stream.substr(0, *length);
  stream.remove_prefix(answer.body.size());
  return answer.body.size() == *length ? Read::whole : Read::cut;
}

}  // namespace

std::string Answer::field(std::string_view name) const {
  auto found =
      std::ranges::find(fields, name, [](const auto& field) { return std::string_view(field.first); });
  return found == fields.end() ? std::string() : found->second;
}

size_t Answer::count(std::string_view name) const {
  return static_cast<size_t>(
      std::ranges::count(fields, name, [](const auto& f) { return std::string_view(f.first); }));
}

std::optional<std::vector<Answer>> parse_answers(std::string_view stream,
                                                 const std::vector<std::string>& methods) {
  std::vector<Answer> answers;
  size_t method = 0;
  while (!stream.empty()) {
    Answer answer;
    Read read = read_head(stream, answer);
    bool final = answer.status >= 200;
    bool head_only = method < methods.size() && methods[method] == "HEAD";
    if (read == Read::whole) read = read_body(stream, answer, head_only);
    if (read == Read::bad) return std::nullopt;
    answer.whole = read == Read::whole;
    answers.push_back(std::move(answer));
    if (read == Read::cut) break;
    if (final) ++method;
  }
  return answers;
}

Answer parse_answer(std::string_view stream, std::string_view method) {
  auto answers = parse_answers(stream, {std::string(method)});
  return answers && answers->size() == 1 && answers->front().whole ? answers->front() : Answer{};
}

}  // namespace lastcall::test
