#include <chrono>
#include <stdexcept>

#include <lastcall/http/event_stream.hpp>

namespace lastcall {
namespace {

void add_line(std::string& text, std::string_view field, std::string_view value) {
  text.append(field).append(": ").append(value).append("\n");
}

/// A line for each line of the value, which end in CRLF, LF or CR.
void add_lines(std::string& text, std::string_view field, std::string_view value) {
  for (;;) {
    const size_t end = value.find_first_of("\r\n");
    add_line(text, field, value.substr(0, end));
    if (end == std::string_view::npos) return;
    value.remove_prefix(end + (value.substr(end, 2) == "\r\n" ? 2 : 1));
  }
}

void check_one_line(std::string_view value) {
  if (value.find_first_of(std::string_view("\r\n\0", 3)) != std::string_view::npos)
    throw std::invalid_argument("the type and the id of an event are one line");
}

}  // namespace

EventStream::EventStream(Response& response) : response_(response) {
  response.header("Content-Type", "text/event-stream").header("Cache-Control", "no-store");
  response.header("X-Accel-Buffering", "no");  // nginx would collect events
}

WriteBody EventStream::send(const ServerSentEvent& event) {
  check_one_line(event.event);
  check_one_line(event.id);
  text_.clear();
  if (!event.event.empty()) add_line(text_, "event", event.event);
  if (!event.id.empty()) add_line(text_, "id", event.id);
  if (event.retry) {
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(*event.retry).count();
    add_line(text_, "retry", std::to_string(ms));
  }
  add_lines(text_, "data", event.data);
  text_.append("\n");
  return response_.write(text_);
}

WriteBody EventStream::comment(std::string_view text) {
  text_.clear();
  add_lines(text_, "", text);
  text_.append("\n");
  return response_.write(text_);
}

}  // namespace lastcall
