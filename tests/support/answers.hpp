#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lastcall::test {

/// One HTTP/1.x response as a client reads it.
struct Answer {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> fields;
  std::string body;
  bool whole = false;        ///< false: the stream ended in the middle of it
  bool until_close = false;  ///< the body lasts to the end of the stream

  /// Value of the first field of that name (as written), or "".
  [[nodiscard]] std::string field(std::string_view name) const;
  [[nodiscard]] size_t count(std::string_view name) const;
  [[nodiscard]] bool closes() const { return field("Connection") == "close"; }
};

/// Reads a stream of responses; `methods`: of the requests, for HEAD ("GET" when there are fewer). Interim
/// answers (100) take no method. nullopt when the bytes are not responses; the last one may be cut short.
[[nodiscard]] std::optional<std::vector<Answer>> parse_answers(std::string_view stream,
                                                               const std::vector<std::string>& methods = {});

/// The one answer that `stream` must be; otherwise an Answer of status 0.
[[nodiscard]] Answer parse_answer(std::string_view stream, std::string_view method = "GET");

}  // namespace lastcall::test
