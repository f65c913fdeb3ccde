#include <algorithm>
#include <charconv>

#include <lastcall/http/chars.hpp>
#include <lastcall/http/method.hpp>
#include <lastcall/http/request_head.hpp>
#include <lastcall/http/test_answer.hpp>

namespace lastcall {
namespace {

bool is_value(std::string_view text) noexcept {
  return chars::skip(text.data(), text.data() + text.size(), chars::kValue) == text.data() + text.size();
}

/// All of `text`, digits alone.
std::optional<uint64_t> number(std::string_view text, int base) {
  uint64_t value = 0;
  auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (code != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

std::optional<std::string_view> TestAnswer::header(std::string_view name) const noexcept {
  for (const auto& [key, value] : headers) {
    if (equal_ignoring_case(key, name)) return value;
  }
  return std::nullopt;
}

TestAnswerReader::Outcome TestAnswerReader::feed(std::string_view bytes) {
  rest_.append(bytes);
  std::string_view left = rest_;
  while (state_ != State::whole && state_ != State::bad && step(left)) {
  }
  rest_.erase(0, rest_.size() - left.size());
  if (state_ == State::bad) return Outcome::bad;
  return state_ == State::whole ? Outcome::whole : Outcome::more;
}

TestAnswerReader::Outcome TestAnswerReader::end() {
  if (state_ == State::to_the_end) state_ = State::whole;
  if (state_ == State::whole) return Outcome::whole;
  if (state_ != State::bad)
    refuse(begun() ? "the connection ended in the middle of the answer"
                   : "the connection ended without an answer");
  return Outcome::bad;
}

/// Uses the front of `bytes`; false when it needs more of them.
bool TestAnswerReader::step(std::string_view& bytes) {
  switch (state_) {
    case State::head: return take_head(bytes);
    case State::length:
    case State::chunk:
    case State::to_the_end: return take_body(bytes);
    case State::chunk_line: return take_chunk_line(bytes);
    case State::chunk_end: return take_chunk_end(bytes);
    case State::trailers: return take_trailers(bytes);
    case State::whole:
    case State::bad: return false;
  }
  return false;
}

bool TestAnswerReader::take_head(std::string_view& bytes) {
  const size_t end = bytes.find("\r\n\r\n");
  if (std::min(end, bytes.size()) > kMostHeadBytes) return refuse("its head is longer than 64 KiB");
  constexpr std::string_view kVersion = "HTTP/1.1 ";
  if (bytes.substr(0, kVersion.size()) != kVersion.substr(0, bytes.size()))
    return refuse("it does not begin with HTTP/1.1");
  if (end == std::string_view::npos) return false;
  const std::string_view head = bytes.substr(0, end + 2);
  bytes.remove_prefix(end + 4);
  return read_head(head);
}

bool TestAnswerReader::read_head(std::string_view head) {
  answer_ = {};
  const size_t line = head.find("\r\n");
  if (!read_status(head.substr(0, line)) || !read_fields(head.substr(line + 2), answer_.headers))
    return false;
  return choose_framing();
}

/// "HTTP/1.1 200 OK" (RFC 9112, 4); the space behind the number is there also without a reason.
bool TestAnswerReader::read_status(std::string_view line) {
  const std::optional<uint64_t> status = line.size() >= 13 ? number(line.substr(9, 3), 10) : std::nullopt;
  if (!status || *status < 100 || *status > 599 || line[12] != ' ' || !is_value(line.substr(13)))
    return refuse("its status line is malformed");
  answer_.status = static_cast<int>(*status);
  answer_.reason = line.substr(13);
  return true;
}

bool TestAnswerReader::read_fields(std::string_view lines, TestAnswer::Fields& fields) {
  while (!lines.empty()) {
    const size_t end = lines.find("\r\n");
    const std::string_view line = lines.substr(0, end);
    lines.remove_prefix(end + 2);
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos || !chars::is_token(line.substr(0, colon)) ||
        !is_value(line.substr(colon + 1)))
      return refuse("a header field of it is malformed");
    fields.emplace_back(line.substr(0, colon), chars::trim(line.substr(colon + 1)));
  }
  return true;
}

/// RFC 9112, 6.3.
bool TestAnswerReader::choose_framing() {
  const auto count = [this](std::string_view name) {
    return std::ranges::count_if(answer_.headers,
                                 [name](const auto& f) { return equal_ignoring_case(f.first, name); });
  };
  const auto coding = answer_.header("Transfer-Encoding");
  const auto length = answer_.header("Content-Length");
  if (count("Content-Length") + count("Transfer-Encoding") > 1)
    return refuse("it has two lengths: Content-Length and Transfer-Encoding, or one of them twice");
  if (coding && *coding != "chunked") return refuse("its Transfer-Encoding is not chunked");
  const std::optional<uint64_t> bytes = length ? number(*length, 10) : std::nullopt;
  if (length && !bytes) return refuse("its Content-Length is no number");
  const int status = answer_.status;
  if ((status < 200 || status == 204) && (coding || length))
    return refuse("its status can have no body, but it has a length (RFC 9110, 8.6)");
  if (status < 200 && status != 101) return true;  // on to the final one
  if (to_head_ || status == 101 || status == 204 || status == 304) {
    state_ = State::whole;
  } else if (coding) {
    state_ = State::chunk_line;
  } else if (length) {
    left_ = *bytes;
    state_ = left_ == 0 ? State::whole : State::length;
  } else {
    left_ = UINT64_MAX;
    state_ = State::to_the_end;
  }
  return true;
}

bool TestAnswerReader::take_body(std::string_view& bytes) {
  if (bytes.empty()) return false;
  const size_t size = std::min<uint64_t>(left_, bytes.size());
  if (answer_.body.size() + size > kMostBodyBytes) return refuse("its body is longer than 64 MiB");
  answer_.body.append(bytes.substr(0, size));
  bytes.remove_prefix(size);
  if (state_ == State::to_the_end) return false;
  left_ -= size;
  if (left_ == 0) state_ = state_ == State::length ? State::whole : State::chunk_end;
  return true;
}

bool TestAnswerReader::take_chunk_line(std::string_view& bytes) {
  constexpr size_t kMostChunkLine = 32;  // no extensions: nothing of ours has them
  const size_t end = bytes.substr(0, kMostChunkLine).find("\r\n");
  if (end == std::string_view::npos)
    return bytes.size() < kMostChunkLine ? false : refuse("a chunk of it has no size");
  const std::optional<uint64_t> size = number(bytes.substr(0, end), 16);
  if (!size) return refuse("a chunk of it has no size");
  bytes.remove_prefix(end + 2);
  left_ = *size;
  state_ = left_ == 0 ? State::trailers : State::chunk;
  return true;
}

bool TestAnswerReader::take_chunk_end(std::string_view& bytes) {
  if (bytes.size() < 2) return false;
  if (!bytes.starts_with("\r\n")) return refuse("a chunk of it is longer than its size says");
  bytes.remove_prefix(2);
  state_ = State::chunk_line;
  return true;
}

bool TestAnswerReader::take_trailers(std::string_view& bytes) {
  size_t end = 0;  // of the fields; the empty line behind them
  if (!bytes.starts_with("\r\n")) {
    end = bytes.find("\r\n\r\n");
    if (std::min(end, bytes.size()) > kMostHeadBytes) return refuse("its trailers are longer than 64 KiB");
    if (end == std::string_view::npos) return false;
    end += 2;
  }
  if (!read_fields(bytes.substr(0, end), answer_.trailers)) return false;
  bytes.remove_prefix(end + 2);
  state_ = State::whole;
  return true;
}

bool TestAnswerReader::refuse(std::string_view what) {
  state_ = State::bad;
  what_ = what;
  return false;
}

}  // namespace lastcall
