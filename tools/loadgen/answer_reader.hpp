#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace lastcall::load {

/// Finds where an HTTP/1 answer ends, and what of it a client acts on: status, and whether the connection
/// ends with it. Interim answers (1xx) are passed over; bodies are counted, not kept.
class AnswerReader {
 public:
  static constexpr size_t kMostHeadBytes = 64 * 1024;
  static constexpr size_t kMostLineBytes = 4096;  ///< of a chunk's size or a trailer

  /// Before each answer. `to_head`: it answers a HEAD request, and so has no body.
  void start(bool to_head) noexcept;
  /// Takes bytes up to the end of the answer and returns how many.
  size_t feed(std::string_view bytes);
  /// The stream ended in order: true when that completes the answer, one without a length.
  bool end_of_stream() noexcept;

  [[nodiscard]] bool started() const noexcept { return started_; }  ///< a byte came
  [[nodiscard]] bool complete() const noexcept { return state_ == State::complete; }
  [[nodiscard]] bool malformed() const noexcept { return state_ == State::malformed; }
  [[nodiscard]] int status() const noexcept { return status_; }
  [[nodiscard]] bool closes() const noexcept {
    return closes_;
  }  ///< no request may follow on this connection

 private:
  enum class State : uint8_t {
    head,
    counted_body,
    endless_body,
    chunk_size,
    chunk_data,
    chunk_end,
    trailer,
    complete,
    malformed
  };

  size_t feed_head(std::string_view bytes);
  size_t feed_line(std::string_view bytes);
  size_t feed_counted(std::string_view bytes);
  void end_line();
  bool read_head();
  bool read_status_line(std::string_view line);
  bool read_field(std::string_view line);
  void begin_body();

  State state_ = State::head;
  bool started_ = false;
  bool to_head_ = false;
  bool closes_ = false;
  bool chunked_ = false;
  bool counted_ = false;
  int status_ = 0;
  uint64_t left_ = 0;  // of the body, or of the chunk
  std::string text_;   // of the head or the line that is not complete
};

}  // namespace lastcall::load
