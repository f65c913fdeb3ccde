#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstring>

#include <lastcall/http/response_head.hpp>
#include <lastcall/http/status.hpp>

namespace lastcall {
namespace {

void put_two(char* out, unsigned value) noexcept {
  out[0] = static_cast<char>('0' + value / 10 % 10);
  out[1] = static_cast<char>('0' + value % 10);
}

char* put(char* out, std::string_view text) noexcept {
  std::memcpy(out, text.data(), text.size());
  return out + text.size();
}

constexpr std::string_view kLineEnd = "\r\n";
constexpr std::string_view kStatusLineStart = "HTTP/1.1 ";
constexpr std::string_view kChunked = "Transfer-Encoding: chunked\r\n";
constexpr std::string_view kType = "Content-Type: ";
constexpr std::string_view kLength = "Content-Length: ";
constexpr std::string_view kClose = "Connection: close\r\n";
constexpr std::string_view kKeepAlive = "Connection: keep-alive\r\n";
constexpr size_t kMaxFixedBytes =
    192;  // status line with the longest phrase, type, length, connection, empty line

}  // namespace

void write_http_date(Duration wall, char* out) noexcept {
  using namespace std::chrono;
  auto since_epoch = sys_time<Duration>(wall);
  auto day = floor<days>(since_epoch);
  year_month_day date(day);
  hh_mm_ss time(floor<seconds>(since_epoch - day));
  constexpr std::string_view kDays = "SunMonTueWedThuFriSat";
  constexpr std::string_view kMonths = "JanFebMarAprMayJunJulAugSepOctNovDec";
  std::memcpy(out, "Sun, 00 Jan 0000 00:00:00 GMT", kHttpDateBytes);
  std::memcpy(out, kDays.data() + size_t{weekday(day).c_encoding()} * 3, 3);
  put_two(out + 5, static_cast<unsigned>(date.day()));
  std::memcpy(out + 8, kMonths.data() + (size_t{static_cast<unsigned>(date.month())} - 1) * 3, 3);
  auto year = static_cast<unsigned>(static_cast<int>(date.year()));
  put_two(out + 12, year / 100);
  put_two(out + 14, year % 100);
  put_two(out + 17, static_cast<unsigned>(time.hours().count()));
  put_two(out + 20, static_cast<unsigned>(time.minutes().count()));
  put_two(out + 23, static_cast<unsigned>(time.seconds().count()));
}

char* write_decimal(uint64_t value, char* out) noexcept {
  if (value < 100) {  // as lengths of short bodies are
    const auto small = static_cast<unsigned>(value);
    if (small >= 10) *out++ = static_cast<char>('0' + small / 10);
    *out++ = static_cast<char>('0' + small % 10);
    return out;
  }
  return std::to_chars(out, out + 20, value).ptr;
}

ResponseHeadWriter::ResponseHeadWriter(std::string_view server) {
  server_line_.append("Server: ").append(server).append("\r\n");
  refresh(Duration::zero());
}

void ResponseHeadWriter::refresh(Duration wall) {
  second_ = std::chrono::floor<std::chrono::seconds>(wall);
  char date[kHttpDateBytes];
  write_http_date(wall, date);
  date_line_.assign("Date: ").append(date, kHttpDateBytes).append("\r\n");
  ok_prefix_.assign("HTTP/1.1 200 OK\r\n").append(server_line_).append(date_line_);
  usual_type_ = {};
}

void ResponseHeadWriter::prepare_usual(std::string_view lasting_type) {
  usual_type_ = lasting_type;
  const size_t size =
      ok_prefix_.size() + kType.size() + lasting_type.size() + kLineEnd.size() + kLength.size();
  usual_size_ = size <= kUsualBytes ? size : 0;
  if (usual_size_ == 0) return;
  char* at = put(usual_, ok_prefix_);
  at = put(at, kType);
  at = put(at, lasting_type);
  at = put(at, kLineEnd);
  put(at, kLength);
}

void ResponseHeadWriter::write_usual(std::string_view body, Buffer& out) const {
  constexpr size_t kMostBehind = 20 + 2 * kLineEnd.size();  // of the length, and the empty line
  char* const begin = out.prepare(kUsualBytes + kMostBehind + body.size());
  std::memcpy(begin, usual_, kUsualBytes);  // a size that the compiler knows; what is too much is overwritten
  char* at = write_decimal(body.size(), begin + usual_size_);
  at = put(at, "\r\n\r\n");
  at = put(at, body);
  out.commit(static_cast<size_t>(at - begin));
}

void ResponseHeadWriter::write(const ResponseHead& head, Buffer& out) const {
  char* const begin = out.prepare(kMaxFixedBytes + server_line_.size() + date_line_.size() +
                                  head.content_type.size() + head.fields.size());
  char* at = begin;
  if (head.status == 200 && !head.omit_date && !head.omit_server) {
    at = put(at, ok_prefix_);
  } else {
    at = put(at, kStatusLineStart);
    at = write_decimal(head.status, at);
    *at++ = ' ';
    at = put(at, reason_phrase(head.status));
    at = put(at, "\r\n");
    if (!head.omit_server) at = put(at, server_line_);
    if (!head.omit_date) at = put(at, date_line_);
  }
  if (!head.fields.empty()) at = put(at, head.fields);
  if (!head.content_type.empty()) {
    at = put(at, kType);
    at = put(at, head.content_type);
    at = put(at, "\r\n");
  }
  if (head.framing == ResponseHead::Framing::length) {
    at = put(at, kLength);
    at = write_decimal(head.length, at);
    at = put(at, "\r\n");
  } else if (head.framing == ResponseHead::Framing::chunked) {
    at = put(at, kChunked);
  }
  if (head.persistence == ResponseHead::Persistence::close) at = put(at, kClose);
  if (head.persistence == ResponseHead::Persistence::keep_alive) at = put(at, kKeepAlive);
  at = put(at, "\r\n");
  out.commit(static_cast<size_t>(at - begin));
}

}  // namespace lastcall
