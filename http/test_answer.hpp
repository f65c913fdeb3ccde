#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lastcall {

/// What a TestClient got for a request: an answer, whole and well-formed, or the reason why there is none.
struct TestAnswer {
  using Fields = std::vector<std::pair<std::string, std::string>>;  ///< names with their values

  int status = 0;      ///< 0: there is no answer, see `error`
  std::string reason;  ///< "OK"
  Fields headers;      ///< in the order sent, names as sent
  std::string body;    ///< decoded
  Fields trailers;     ///< of a chunked body
  std::string error;   ///< empty when there is an answer; otherwise a sentence for a person

  /// Value of the first field of that name (case-insensitive), or nullopt.
  [[nodiscard]] std::optional<std::string_view> header(std::string_view name) const noexcept;
  /// There is an answer, of whatever status.
  [[nodiscard]] explicit operator bool() const noexcept { return status != 0; }
};

/// @cond internal
/// Reads one answer off a stream, as strictly as RFC 9112 lets a client be. Interim answers before it (1xx,
/// but 101, which ends HTTP on its connection) are skipped.
class TestAnswerReader {
 public:
  enum class Outcome : uint8_t { more, whole, bad };
  static constexpr size_t kMostHeadBytes = 64 * 1024;         ///< of a head or a trailer section
  static constexpr size_t kMostBodyBytes = size_t{64} << 20;  ///< decoded

  /// `to_head`: it answers a HEAD request.
  explicit TestAnswerReader(bool to_head) noexcept : to_head_(to_head) {}

  /// whole: the answer is there, and rest() is what came behind it. bad: what() says why, for good.
  Outcome feed(std::string_view bytes);
  /// The stream has ended in order.
  Outcome end();
  [[nodiscard]] bool begun() const noexcept { return state_ != State::head || !rest_.empty(); }
  [[nodiscard]] const std::string& what() const noexcept { return what_; }
  [[nodiscard]] const std::string& rest() const noexcept { return rest_; }
  [[nodiscard]] TestAnswer take() noexcept { return std::move(answer_); }

 private:
  enum class State : uint8_t { head, length, chunk_line, chunk, chunk_end, trailers, to_the_end, whole, bad };

  bool step(std::string_view& bytes);
  bool take_head(std::string_view& bytes);
  bool read_head(std::string_view head);
  bool read_status(std::string_view line);
  bool read_fields(std::string_view lines, TestAnswer::Fields& fields);
  bool choose_framing();
  bool take_body(std::string_view& bytes);
  bool take_chunk_line(std::string_view& bytes);
  bool take_chunk_end(std::string_view& bytes);
  bool take_trailers(std::string_view& bytes);
  bool refuse(std::string_view what);

  TestAnswer answer_;
  std::string rest_;  // bytes that could not be used yet
  std::string what_;
  uint64_t left_ = 0;  // of the body or the chunk
  State state_ = State::head;
  bool to_head_;
};
/// @endcond

}  // namespace lastcall
